"""Functions of one element at a time: in slices that stay in the cache, on several threads."""

import functools
import inspect
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from numpy_impl.kernels.masks import as_mask, as_opposite_mask, choose, select
from numpy_impl.kernels.memory import empty_like
from numpy_impl.kernels.pieces import pieces
from numpy_impl.kernels.threads import IN_CACHE, slicewise

Array = np.ndarray
F = TypeVar("F", bound=Callable[..., Array])
# a decorator: inf * 0, inf - inf, x / 0 and log(0) give what they give, without NumPy's warnings
silently = np.errstate(divide="ignore", over="ignore", invalid="ignore")


def elementwise(function: F) -> F:
    """The function itself, slice by slice: ``elementwise(f)(x, *options) == f(x, *options)``.

    Infinities and NaN are computed with, as in torch, without NumPy's warnings.

    Args:
        function: of one or more arrays of one shape, which come first and have no default, and of
            options, which have one. An array may be None or a single number (0-d). If it takes
            ``out``, it must write its result there.
    """
    parameters = inspect.signature(function).parameters.values()
    count = sum(p.default is p.empty for p in parameters)
    takes_out = any(p.name == "out" for p in parameters)

    @functools.wraps(function)
    @silently
    def call(*arguments: Array, **options: object) -> Array:
        arrays, others = arguments[:count], arguments[count:]
        sliced = [a for a in arrays if a is not None and a.ndim]
        if not sliced or sliced[0].size < IN_CACHE:
            return np.asarray(function(*arguments, **options))
        output = empty_like(sliced[0])

        def fill(*slices: Array) -> None:
            for out, *parts in pieces(*slices):
                rest = iter(parts)
                given = [a if a is None or not a.ndim else next(rest) for a in arrays]
                if takes_out:
                    function(*given, *others, **options, out=out)
                else:
                    out[...] = function(*given, *others, **options)

        slicewise(fill, output, *sliced)
        return output

    return call  # type: ignore[return-value]


def curve(function: Callable[..., None]) -> Callable[..., tuple[Array, Array | None]]:
    """``y, slope = f(x, *options), f'(x, *options)``, slice by slice, by one function for both.

    With ``keeps=False`` there is no slope, but None: neither in the result nor for the function.

    Args:
        function: of x, y, the slope and options; it fills y, and the slope if there is one.
    """
    return _filled_together(function, None)


def gate(function: Callable[..., None]) -> Callable[..., tuple[Array, Array | None]]:
    """``y, mask = f(x, *options), -(f'(x, *options) != 0)``, as :func:`curve`, for slopes 0 and 1.

    Args:
        function: of x, y, a condition (bool) and options; it fills y, and makes a mask for
            :func:`where_mask` of the condition if there is one.
    """
    return _filled_together(function, np.bool_)


def _filled_together(
    function: Callable[..., None], dtype: type | None
) -> Callable[..., tuple[Array, Array | None]]:
    """Of a function that fills y and another array, of that dtype or of x's."""

    @functools.wraps(function)
    @silently
    def call(x: Array, *options: object, keeps: bool = True) -> tuple[Array, Array | None]:
        y = empty_like(x)
        other = empty_like(x, dtype) if keeps else None

        def fill(x: Array, y: Array, other: Array | None = None) -> None:
            for a, b, c in pieces(x, y, other):
                function(a, b, c, *options)

        if not x.ndim:  # its intermediate results would be no arrays
            function(x[None], y[None], None if other is None else other[None], *options)
        elif x.size < IN_CACHE:
            function(x, y, other, *options)
        else:
            slicewise(fill, x, y, *(() if other is None else (other,)))
        return y, other if other is None or dtype is None else other.view(np.int8)

    return call


@silently
def times(values: Array, factors: Array) -> Array:
    """``values * factors``: arrays of one shape."""
    output = empty_like(factors)
    slicewise(lambda a, b, out: np.multiply(a, b, out=out), values, factors, output)
    return output


def positive_part(x: Array) -> Array:
    """``np.maximum(x, 0)``, twice as fast: by an array of zeros; NaN stays NaN."""
    output = empty_like(x)
    slicewise(_fill_positive_part, x, output)
    return output


def _fill_positive_part(x: Array, out: Array) -> None:
    out.fill(0)
    np.maximum(x, out, out=out)


def is_positive(x: Array) -> Array:
    """``~(x <= 0)`` as a mask for :func:`where_mask`; true for NaN."""
    mask = np.empty_like(x, np.bool_)
    slicewise(_fill_is_positive, x, mask)
    return mask.view(np.int8)


def _fill_is_positive(x: Array, mask: Array) -> None:
    np.less_equal(x, 0, out=mask)
    as_opposite_mask(mask)


def where_mask(mask: Array, values: Array, factor: float = 1.0) -> Array:
    """``np.where(mask, factor * values, 0)``, about ten times as fast.

    With a mask of :func:`is_positive` or :func:`gate`.
    """
    output = empty_like(values)
    if factor == 1:
        slicewise(select, values, mask, output)
    else:

        def fill(values: Array, mask: Array, out: Array) -> None:
            for v, m, o in pieces(values, mask, out):
                select(np.multiply(v, factor, out=o), m, o)

        slicewise(fill, values, mask, output)
    return output


@silently
def scale_negative(values: Array, x: Array, slope: float | Array) -> Array:
    """``np.where(x > 0, values, slope * values)``, by masks instead of branches.

    Slopes broadcast, and are the same along the first axis.
    """
    slope = np.asarray(slope, values.dtype)
    output = empty_like(values)

    def fill(values: Array, x: Array, out: Array) -> None:
        np.multiply(values, slope, out=out)
        choose(values, out, as_mask(np.greater(x, 0)), out)

    slicewise(fill, values, x, output)
    return output


def leak(x: Array, slope: float) -> Array:
    """``np.where(x > 0, x, slope * x)``."""
    if (
        0 < x.dtype.type(slope) <= 1
    ):  # then that is the larger of the two (not for 0: inf * 0 is NaN)
        return _larger(x, slope)
    return scale_negative(x, x, slope)


@elementwise
def _larger(x: Array, slope: float = 1.0, out: Array | None = None) -> Array:
    scaled = np.multiply(x, x.dtype.type(slope), out=out)
    return np.maximum(x, scaled, out=out)
