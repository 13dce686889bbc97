"""Operations along axes: sums, moments, running sums, norms, softmax.

``dim`` is an axis, several, or None for all; ``keepdim`` keeps it with size 1. In each, ``g`` is
the gradient of the output.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.kernels.products import sum_along
from numpy_impl.tensor.comparison import isnan, logical_not
from numpy_impl.tensor.elementwise import div, masked_fill
from numpy_impl.tensor.functions import _sign
from numpy_impl.tensor.functions import abs as absolute
from numpy_impl.tensor.promotion import along_axes, as_float, needs_float
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array, Axes, DType


def _axes(x: Array, dim: Axes) -> tuple[int, ...]:
    """``dim`` as positive axes; a 0-d array has the axes 0 and -1, as in torch."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(x.ndim))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    n = max(x.ndim, 1)
    for d in dims:
        if isinstance(d, bool) or not isinstance(d, int | np.integer):
            raise TypeError(f"dim must be an int, got {d!r}")
        if not -n <= d < n:
            raise IndexError(f"dim must lie within {-n}..{n - 1} for shape {x.shape}, got {d}")
    axes = tuple(int(d) % n for d in dims)
    if len(set(axes)) < len(axes):
        raise RuntimeError(f"dim must name each axis once, got {dim}")
    return axes if x.ndim else ()


def _axis(x: Array, dim: Any) -> int:
    if isinstance(dim, tuple | list) or dim is None:
        raise TypeError(f"dim must be an int, got {dim!r}")
    axes = _axes(x, dim)
    return axes[0] if axes else 0


def _kept(g: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """The gradient with the reduced axes, of size 1, again."""
    return g if keepdim else np.expand_dims(g, axes)


def _sum_dtype(x: Array, dtype: DType) -> DType:
    return np.int64 if dtype is None and x.dtype.kind in "biu" else dtype


@along_axes
def sum(
    input: TensorLike, dim: Axes = None, keepdim: bool = False, *, dtype: DType = None
) -> Tensor:
    """The sum along ``dim``; of integers an int64."""
    x = to_array(input)
    axes = _axes(x, dim)
    if dtype is not None or x.dtype.kind in "biu":
        output = x.sum(axes, dtype=_sum_dtype(x, dtype), keepdims=keepdim)
    else:
        output = sum_along(x, axes, keepdim)
    return record(
        output,
        "sum",
        (input, lambda g: np.broadcast_to(_kept(g, axes, keepdim), x.shape)),
    )


@along_axes
def mean(
    input: TensorLike, dim: Axes = None, keepdim: bool = False, *, dtype: DType = None
) -> Tensor:
    """The mean along ``dim``; over nothing NaN."""
    x = needs_float(input, "mean", dtype)
    axes = _axes(x, dim)
    count = x.dtype.type(math.prod(x.shape[a] for a in axes))
    return record(
        sum_along(x, axes, keepdim) / count,
        "mean",
        (input, lambda g: np.broadcast_to(_kept(g, axes, keepdim) / count, x.shape)),
    )


def _without_nan(input: TensorLike) -> Tensor:
    return masked_fill(input, np.isnan(to_array(input)), 0)


@along_axes
def nansum(
    input: TensorLike, dim: Axes = None, keepdim: bool = False, *, dtype: DType = None
) -> Tensor:
    """The sum along ``dim`` of what is not NaN."""
    return sum(_without_nan(input), dim, keepdim, dtype=dtype)


@along_axes
def nanmean(
    input: TensorLike, dim: Axes = None, keepdim: bool = False, *, dtype: DType = None
) -> Tensor:
    """The mean along ``dim`` of what is not NaN."""
    x = needs_float(input, "nanmean", dtype)
    total = nansum(input, dim, keepdim, dtype=dtype)
    count = sum(logical_not(isnan(x)), dim, keepdim)
    return div(total, count)


@along_axes
def var(
    input: TensorLike,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The variance along ``dim``, divided by the number of values minus ``correction`` (1).

    ``unbiased=False`` is ``correction=0``.
    """
    x = needs_float(input, "var")
    if isinstance(dim, bool):  # torch's var(unbiased)
        unbiased, dim = dim, None
    axes = _axes(x, dim)
    if correction is None:
        correction = int(unbiased)
    size = math.prod(x.shape[a] for a in axes)
    count = x.dtype.type(max(size - correction, 0))
    centred = x - sum_along(x, axes, True) / x.dtype.type(size)
    return record(
        sum_along(np.square(centred), axes, keepdim) / count,
        "var",
        (input, lambda g: _kept(g, axes, keepdim) * (2 / count) * centred),
    )


@along_axes
def std(
    input: TensorLike,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """The square root of :func:`var`; where it is 0 the gradient is, too."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    y = np.sqrt(variance._data)
    return record(y, "std", (variance, lambda g: np.where(y == 0, 0, g / (2 * y))))


def var_mean(
    input: TensorLike,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`var` and :func:`mean`, in that order."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    return variance, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    input: TensorLike,
    dim: Axes = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """:func:`std` and :func:`mean`, in that order."""
    deviation = std(input, dim, unbiased, keepdim, correction=correction)
    return deviation, mean(input, None if isinstance(dim, bool) else dim, keepdim)


@along_axes
def prod(
    input: TensorLike, dim: int | None = None, keepdim: bool = False, *, dtype: DType = None
) -> Tensor:
    """The product along ``dim``; of integers an int64."""
    x = to_array(input)
    if dim is None:  # of all values in one axis
        flat = record(x.flatten(), "reshape", (input, lambda g: g.reshape(x.shape)))
        return prod(flat, 0, dtype=dtype)
    axis = _axis(x, dim)
    lines = np.moveaxis(np.atleast_1d(x), axis, -1)

    def backward(g: Array) -> Array:
        # of all others: those before times those behind, which is right for zeros, too
        ones = np.ones((*lines.shape[:-1], min(1, lines.shape[-1])), x.dtype)
        before = np.cumprod(np.concatenate((ones, lines[..., :-1]), -1), -1)
        behind = np.cumprod(np.concatenate((ones, lines[..., :0:-1]), -1), -1)[..., ::-1]
        others = np.moveaxis(before * behind, -1, axis)
        grad: Array = (_kept(g, (axis,), keepdim) if x.ndim else g) * others.reshape(x.shape)
        return grad

    output = lines.prod(-1, dtype=_sum_dtype(x, dtype))
    output = np.expand_dims(output, axis) if keepdim and x.ndim else output
    return record(output, "prod", (input, backward))


def _running(function: np.ufunc, x: Array, axis: int, dtype: DType = None) -> Array:
    """Running sums or products, in float64: one rounding a step would be too many for float32."""
    x = np.asarray(x, _sum_dtype(x, dtype))
    if x.dtype.kind != "f":
        return function.accumulate(x, axis, dtype=x.dtype)
    return function.accumulate(x, axis, dtype=np.float64).astype(x.dtype)


@along_axes
def cumsum(input: TensorLike, dim: int, *, dtype: DType = None) -> Tensor:
    """The running sum along ``dim``."""
    x = to_array(input)
    axis = _axis(x, dim)

    def backward(g: Array) -> Array:
        return np.flip(_running(np.add, np.flip(g, axis), axis), axis) if x.ndim else g

    output = _running(np.add, np.atleast_1d(x), axis, dtype).reshape(x.shape)
    return record(output, "cumsum", (input, backward))


@along_axes
def cumprod(input: TensorLike, dim: int, *, dtype: DType = None) -> Tensor:
    """The running product along ``dim``."""
    x = to_array(input)
    axis = _axis(x, dim)
    lines = np.moveaxis(np.atleast_1d(x), axis, -1)
    y = _running(np.multiply, lines, -1, dtype)

    def backward(g: Array) -> Array:
        # the product before i times (g_i + x_{i+1} (g_{i+1} + x_{i+2} (...))): right for zeros, too
        rest = np.array(np.moveaxis(np.atleast_1d(g), axis, -1), np.float64)
        for i in range(rest.shape[-1] - 2, -1, -1):
            rest[..., i] += lines[..., i + 1] * rest[..., i + 1]
        rest[..., 1:] *= y[..., :-1]
        return np.moveaxis(rest.astype(x.dtype), -1, axis).reshape(x.shape)

    output = np.moveaxis(y, -1, axis).reshape(x.shape)
    return record(output, "cumprod", (input, backward))


@along_axes
def any(input: TensorLike, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether one is true along ``dim``."""
    return _truth(np.any, input, dim, keepdim)


@along_axes
def all(input: TensorLike, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether all are true along ``dim``."""
    return _truth(np.all, input, dim, keepdim)


def _truth(function: Callable[..., Any], input: TensorLike, dim: Axes, keepdim: bool) -> Tensor:
    x = to_array(input)
    result = np.asarray(function(x, axis=_axes(x, dim), keepdims=keepdim))
    return Tensor(result.astype(np.uint8) if x.dtype == np.uint8 else result)  # as torch's


@along_axes
def count_nonzero(input: TensorLike, dim: Axes = None) -> Tensor:
    """How many values along ``dim`` are not 0."""
    x = to_array(input)
    return Tensor(np.asarray(np.count_nonzero(x, axis=_axes(x, dim)), np.int64))


# -- extremes that share their gradient ------------------------------------------------------------


def _shared(
    input: TensorLike,
    dim: Axes,
    keepdim: bool,
    name: str,
    function: Callable[..., Any],
    nan_too: bool = False,
) -> Tensor:
    """``nan_too``: NaN is equal to NaN; else its gradient is NaN, as in torch's amax."""
    x = to_array(input)
    axes = _axes(x, dim)
    output = np.asarray(function(x, axis=axes, keepdims=keepdim))

    def backward(g: Array) -> Array:
        found = _kept(output, axes, keepdim)
        equal = x == found
        if nan_too:
            equal |= np.isnan(x) & np.isnan(found)
        grad: Array = _kept(g, axes, keepdim) * equal / equal.sum(axes, keepdims=True)
        return grad

    return record(output, name, (input, backward))


@along_axes
def amax(input: TensorLike, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The largest value along ``dim``; equal ones share the gradient."""
    return _shared(input, dim, keepdim, "amax", np.amax)


@along_axes
def amin(input: TensorLike, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The smallest value along ``dim``; equal ones share the gradient."""
    return _shared(input, dim, keepdim, "amin", np.amin)


# -- norms and softmax -----------------------------------------------------------------------------


@along_axes
def norm(
    input: TensorLike,
    p: float | str | None = 2,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: DType = None,
) -> Tensor:
    r""":math:`(\sum |x|^p)^{1/p}` along ``dim``; at 0 the gradient is 0."""
    x = needs_float(input, "norm", dtype)
    if p not in (None, "fro") and not isinstance(p, int | float):
        raise ValueError(f"p must be a number or 'fro', got {p!r}")
    axes = _axes(x, dim)
    order = 2.0 if p in (None, "fro") else float(p)
    if math.isinf(order):
        values = record(x, "to", (input, lambda g: g))
        largest = np.amax if order > 0 else np.amin
        return _shared(absolute(values), axes, keepdim, "norm", largest)
    if order == 0:
        count = (x != 0).sum(axes, keepdims=keepdim).astype(x.dtype)
        return record(count, "norm", (input, lambda g: np.zeros_like(x)))
    size = np.abs(x)
    whole = sum_along(size**order, axes, True) ** (1 / order)

    def backward(g: Array) -> Array:
        slope = _sign(x) * (size / whole) ** (order - 1)
        flat = (whole == 0) | (x == 0) & (order < 1)
        return np.where(flat, 0, _kept(g, axes, keepdim) * slope)

    output = whole if keepdim else whole.squeeze(axes)
    return record(output, "norm", (input, backward))


@along_axes
def logsumexp(input: TensorLike, dim: Axes, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along ``dim``, without overflow."""
    x = as_float(input)
    axes = _axes(x, dim)
    top = x.max(axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    y = np.log(sum_along(np.exp(x - top), axes, True)) + top
    return record(
        y if keepdim else y.squeeze(axes),
        "logsumexp",
        (input, lambda g: _kept(g, axes, keepdim) * np.exp(x - y)),
    )


@along_axes
def softmax(input: TensorLike, dim: int, dtype: DType = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    x = needs_float(input, "softmax", dtype)
    axis = _axis(x, dim)
    lines = np.atleast_1d(x)
    y = np.exp(lines - lines.max(axis, keepdims=True, initial=-np.inf))
    y = (y / sum_along(y, axis, True)).reshape(x.shape)

    def backward(g: Array) -> Array:
        product = np.atleast_1d(g * y)
        grad: Array = product - np.atleast_1d(y) * sum_along(product, axis, True)
        return grad.reshape(x.shape)

    return record(y, "softmax", (input, backward))


@along_axes
def log_softmax(input: TensorLike, dim: int, dtype: DType = None) -> Tensor:
    """``x - log(sum(exp(x)))`` along ``dim``."""
    x = needs_float(input, "log_softmax", dtype)
    axis = _axis(x, dim)
    lines = np.atleast_1d(x)
    y = lines - lines.max(axis, keepdims=True, initial=-np.inf)
    y = (y - np.log(sum_along(np.exp(y), axis, True))).reshape(x.shape)

    def backward(g: Array) -> Array:
        total = sum_along(np.atleast_1d(g), axis, True)
        grad: Array = np.atleast_1d(g) - np.exp(np.atleast_1d(y)) * total
        return grad.reshape(x.shape)

    return record(y, "log_softmax", (input, backward))
