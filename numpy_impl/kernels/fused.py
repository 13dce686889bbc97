"""``values * scale + shift``, rounded once, in NumPy, which rounds twice."""

import math
from typing import Any

import numpy as np

from numpy_impl.types import Array


def scale_and_shift(values: Array, scale: Any, shift: Any) -> Array:
    """``values * scale + shift`` in place, rounded once: torch's compilers fuse the two (FMA).

    Source: Boldo and Melquiond 2008, https://doi.org/10.1109/TC.2007.70819
    """
    if shift == 0:
        if scale != 1:
            values *= scale
    elif values.dtype == np.float32:
        scale, shift = float(scale), float(shift)
        product = values.astype(np.float64)
        product *= scale  # 24 digits times 24 digits: exact
        if abs(scale) * 2**-27 <= abs(shift) <= abs(scale) * 2**3:
            product += shift  # exact as well, for uniform values: they are multiples of 2**-24
            values[...] = product
        else:
            values[...] = _sum_to_odd(product, shift)
    else:
        exponent = math.frexp(max(abs(scale), abs(shift)))[1]  # so that no part overflows
        scale, shift = math.ldexp(scale, -exponent), math.ldexp(shift, -exponent)
        product, product_error = _two_product(values, scale)
        rest, first_error = _two_sum(product_error, shift)
        total, second_error = _two_sum(product, rest)
        np.ldexp(total + _sum_to_odd(first_error, second_error), exponent, out=values)
    return values


def _sum_to_odd(a: Any, b: Any) -> Array:
    """The sum, its last bit set where it is not exact: rounding it again then errs no further."""
    total: Array
    total, lost = _two_sum(a, b)
    (where,) = ((lost != 0) & (total.view(np.int64) & 1 == 0)).nonzero()
    total[where] = np.nextafter(total[where], np.copysign(np.inf, lost[where]))
    return total


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded sum and its exact error (Knuth)."""
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    """The rounded product and its exact error (Dekker), by halves of 26 digits."""
    (a1, a2), (b1, b2) = _halves(a), _halves(b)
    product = a * b
    return product, ((a1 * b1 - product) + a1 * b2 + a2 * b1) + a2 * b2


def _halves(a: Any) -> tuple[Any, Any]:
    scaled = a * (2.0**27 + 1)
    high = scaled - (scaled - a)
    return high, a - high
