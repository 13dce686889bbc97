"""Methods that change a Tensor in place: torch's names with an underscore at the end."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from numpy_impl import random
from numpy_impl.tensor import (
    comparison,
    elementwise,
    functions,
    indexing,
    linalg,
    reduction,
    shape,
)
from numpy_impl.tensor.promotion import quiet
from numpy_impl.tensor.rows import SparseRows
from numpy_impl.tensor.tensor import Operand, Tensor, record, to_array
from numpy_impl.tensor.views import become
from numpy_impl.types import Array

_P = ParamSpec("_P")
_Self = TypeVar("_Self", bound=Tensor)


def in_place(
    function: Callable[Concatenate[Any, _P], Tensor],
) -> Callable[Concatenate[_Self, _P], _Self]:
    """The method that gives a Tensor the value of ``function`` of it."""

    def method(self: _Self, /, *args: _P.args, **kwargs: _P.kwargs) -> _Self:
        if args and isinstance(args[0], SparseRows) and function in _SIGNS:
            return _add_rows(self, _SIGNS[function], *args, **kwargs)
        return become(self, function, *args, **kwargs)

    method.__name__, method.__doc__ = f"{function.__name__}_", f"``{function.__name__}`` in place."
    return method


_SIGNS: dict[Any, int] = {elementwise.add: 1, elementwise.sub: -1}


def _add_rows(self: _Self, sign: int, grad: Any, alpha: Any = 1) -> _Self:
    """``self += alpha * grad``, or -=, for a gradient of few rows: a step written by hand."""
    step = sign * alpha * grad
    if self._view is None and self._keeps_its_array():  # no need to copy all of it
        self._check_in_place()
        self._data += step
        return self

    def function(before: Tensor) -> Tensor:
        values = before._data.copy()
        values += step
        return record(values, "add", (before, lambda g: g))

    return become(self, function)


@quiet
def copy_(self: _Self, src: Operand) -> _Self:
    """Take the values of ``src`` in place; the gradient goes to ``src``."""

    def function(before: Tensor) -> Tensor:
        source = src if isinstance(src, Tensor) else Tensor(np.asarray(src))
        values = shape.broadcast_to(source, before.shape)
        nothing = np.zeros(before.shape, before.dtype)
        return record(
            values._data.astype(before.dtype),
            "copy",
            (before, lambda g: nothing),
            (values, lambda g: g),
        )

    return become(self, function)


@quiet
def fill_(self: _Self, value: Operand) -> _Self:
    """Every element ``value``, a number or a Tensor of one, in place."""
    if np.ndim(to_array(value)):
        raise RuntimeError(f"value must be a number, got shape {np.shape(to_array(value))}")
    return copy_(self, value)


def fill_diagonal_(self: _Self, fill_value: Operand, wrap: bool = False) -> _Self:
    """``fill_value`` on the diagonal, in place; with ``wrap`` on each one of a tall matrix."""
    if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) > 1):
        raise RuntimeError(f"fill_diagonal_ needs a matrix or a cube, got shape {self.shape}")
    places = np.arange(min(self.shape))
    indexing.setitem(self, (places,) * self.ndim, fill_value)
    rows, columns = self.shape[0], self.shape[-1]
    for first in range(columns + 1, rows, columns + 1) if wrap and self.ndim == 2 else ():
        fill_diagonal_(self[first : first + columns], fill_value)
    return self


def zero_(self: _Self) -> _Self:
    """Every element 0, in place."""
    return fill_(self, 0)


def _drawn(self: _Self, fill: Callable[[Array], object]) -> _Self:
    values = np.empty(self.shape, self.dtype)
    fill(values)
    return copy_(self, Tensor(values))


def uniform_(
    self: _Self, a: float = 0, b: float = 1, *, generator: random.Generator | None = None
) -> _Self:
    """Uniform numbers between ``a`` and ``b``, in place."""
    return _drawn(self, lambda values: random.uniform_(values, a, b, generator))


def normal_(
    self: _Self, mean: float = 0, std: float = 1, *, generator: random.Generator | None = None
) -> _Self:
    """Normal numbers, in place."""
    mean, std = (v.item() if isinstance(v, Tensor) else v for v in (mean, std))
    return _drawn(self, lambda values: random.normal_(values, mean, std, generator))


def bernoulli_(self: _Self, p: float = 0.5, *, generator: random.Generator | None = None) -> _Self:
    """1 with the probability ``p``, else 0, in place."""
    return copy_(self, random.bernoulli_mask(self.shape, p, generator))


def random_(
    self: _Self, *bounds: int | None, generator: random.Generator | None = None, **named: int | None
) -> _Self:
    """Whole numbers in place: ``random_(to)`` below ``to``, ``random_(from, to)`` from ``from`` on.

    Without ``to``, or None for it, they go as far as the dtype does: of floating point up to which
    every one can be written; ``random_()`` gives those that are not negative.
    """
    count = len(bounds) + len(named)
    if count > 2 or named.keys() - {"from", "to"} or (bounds and "from" in named):
        raise TypeError(f"random_ takes (to) or (from, to), got {bounds} and {named}")
    if "from" in named:
        bounds = named["from"], named.get("to")
    elif named:
        bounds = *bounds, named["to"]
    if self.dtype.kind == "f":
        smallest, largest = None, 2 ** (np.finfo(self.dtype).nmant + 1)
    elif self.dtype == np.bool_:
        smallest, largest = 0, 1
    else:
        smallest, largest = int(np.iinfo(self.dtype).min), int(np.iinfo(self.dtype).max)
    if bounds:
        first, last = bounds if len(bounds) == 2 else (0, bounds[0])
        low, high = first or 0, largest + 1 if last is None else last
        if smallest is not None and (low < smallest or high > largest + 1):
            raise RuntimeError(
                f"random_: bounds of {self.dtype} must lie within {smallest} and {largest + 1}, "
                f"got {bounds}"
            )
        if last is None:
            return copy_(self, random._integers(low, high, self.shape, generator))
        return copy_(self, random.randint(low, high, self.shape, generator=generator))
    source, count = random._generator(generator), self.numel()
    bits = source.random64(count) if self.dtype.itemsize == 8 else source.random32(count)
    bits %= bits.dtype.type(largest + 1)
    return copy_(self, bits.astype(self.dtype).reshape(self.shape))


class InPlace:
    """What :class:`Methods` has of them."""

    abs_ = in_place(functions.abs)
    absolute_ = in_place(functions.absolute)
    acos_ = in_place(functions.acos)
    acosh_ = in_place(functions.acosh)
    add_ = in_place(elementwise.add)
    addcdiv_ = in_place(elementwise.addcdiv)
    addcmul_ = in_place(elementwise.addcmul)
    addmm_ = in_place(linalg.addmm)
    addmv_ = in_place(linalg.addmv)
    arccos_ = in_place(functions.arccos)
    arcsin_ = in_place(functions.arcsin)
    arctan_ = in_place(functions.arctan)
    arctan2_ = in_place(elementwise.arctan2)
    asin_ = in_place(functions.asin)
    asinh_ = in_place(functions.asinh)
    atan_ = in_place(functions.atan)
    atan2_ = in_place(elementwise.atan2)
    atanh_ = in_place(functions.atanh)
    baddbmm_ = in_place(linalg.baddbmm)
    bitwise_and_ = in_place(comparison.bitwise_and)
    bitwise_left_shift_ = in_place(comparison.bitwise_left_shift)
    bitwise_not_ = in_place(comparison.bitwise_not)
    bitwise_or_ = in_place(comparison.bitwise_or)
    bitwise_right_shift_ = in_place(comparison.bitwise_right_shift)
    bitwise_xor_ = in_place(comparison.bitwise_xor)
    ceil_ = in_place(functions.ceil)
    clamp_ = in_place(elementwise.clamp)
    clamp_max_ = in_place(elementwise.clamp_max)
    clamp_min_ = in_place(elementwise.clamp_min)
    clip_ = in_place(elementwise.clip)
    cos_ = in_place(functions.cos)
    cosh_ = in_place(functions.cosh)
    cumprod_ = in_place(reduction.cumprod)
    cumsum_ = in_place(reduction.cumsum)
    div_ = in_place(elementwise.div)
    divide_ = in_place(elementwise.divide)
    exp_ = in_place(functions.exp)
    exp2_ = in_place(functions.exp2)
    expm1_ = in_place(functions.expm1)
    fix_ = in_place(functions.fix)
    floor_ = in_place(functions.floor)
    floor_divide_ = in_place(elementwise.floor_divide)
    fmod_ = in_place(elementwise.fmod)
    frac_ = in_place(functions.frac)
    heaviside_ = in_place(elementwise.heaviside)
    hypot_ = in_place(elementwise.hypot)
    index_add_ = in_place(indexing.index_add)
    index_copy_ = in_place(indexing.index_copy)
    index_fill_ = in_place(indexing.index_fill)
    lerp_ = in_place(elementwise.lerp)
    log_ = in_place(functions.log)
    log10_ = in_place(functions.log10)
    log1p_ = in_place(functions.log1p)
    log2_ = in_place(functions.log2)
    logical_and_ = in_place(comparison.logical_and)
    logical_not_ = in_place(comparison.logical_not)
    logical_or_ = in_place(comparison.logical_or)
    logical_xor_ = in_place(comparison.logical_xor)
    logit_ = in_place(functions.logit)
    masked_fill_ = in_place(elementwise.masked_fill)
    masked_scatter_ = in_place(indexing.masked_scatter)
    mul_ = in_place(elementwise.mul)
    multiply_ = in_place(elementwise.multiply)
    nan_to_num_ = in_place(elementwise.nan_to_num)
    neg_ = in_place(elementwise.neg)
    negative_ = in_place(elementwise.negative)
    pow_ = in_place(elementwise.pow)
    reciprocal_ = in_place(functions.reciprocal)
    relu_ = in_place(elementwise.relu)
    remainder_ = in_place(elementwise.remainder)
    round_ = in_place(functions.round)
    rsqrt_ = in_place(functions.rsqrt)
    scatter_ = in_place(indexing.scatter)
    scatter_add_ = in_place(indexing.scatter_add)
    sgn_ = in_place(functions.sgn)
    sigmoid_ = in_place(elementwise.sigmoid)
    sign_ = in_place(functions.sign)
    sin_ = in_place(functions.sin)
    sinh_ = in_place(functions.sinh)
    sqrt_ = in_place(functions.sqrt)
    square_ = in_place(elementwise.square)
    sub_ = in_place(elementwise.sub)
    subtract_ = in_place(elementwise.subtract)
    tan_ = in_place(functions.tan)
    tanh_ = in_place(elementwise.tanh)
    tril_ = in_place(shape.tril)
    triu_ = in_place(shape.triu)
    true_divide_ = in_place(elementwise.true_divide)
    trunc_ = in_place(functions.trunc)
    xlogy_ = in_place(elementwise.xlogy)
    copy_ = copy_
    fill_ = fill_
    zero_ = zero_
    fill_diagonal_ = fill_diagonal_
    uniform_ = uniform_
    normal_ = normal_
    random_ = random_
    bernoulli_ = bernoulli_
