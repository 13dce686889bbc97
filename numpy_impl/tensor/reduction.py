"""Operations along axes: sums, moments, extremes, softmax, sorting.

``dim`` is an axis, several, or None for all; ``keepdim`` keeps it with size 1. In each, ``g`` is
the gradient of the output.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.tensor import elementwise
from numpy_impl.tensor.elementwise import as_float, maximum, minimum
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray
Dim = int | tuple[int, ...] | list[int] | None


class ValuesAndIndices(NamedTuple):
    """What max, min, sort and topk return along an axis."""

    values: Tensor
    indices: Tensor


def _axes(x: Array, dim: Dim) -> tuple[int, ...]:
    """``dim`` as positive axes; a 0-d array has the axes 0 and -1, as in torch."""
    if dim is None or (isinstance(dim, tuple | list) and not dim):
        return tuple(range(x.ndim))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    count = x.ndim or 1  # (max is torch's here)
    for d in dims:
        if not -count <= d < count:
            raise IndexError(
                f"dim must lie within {-count}..{count - 1} for shape {x.shape}, got {d}"
            )
    return tuple(d % x.ndim for d in dims) if x.ndim else ()


def _axis(x: Array, dim: int) -> int:
    axes = _axes(x, dim)
    return axes[0] if axes else 0


def _kept(g: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    """The gradient with the reduced axes, of size 1, again."""
    return g if keepdim else np.expand_dims(g, axes)


def sum(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum along ``dim``; of integers an int64."""
    x = to_array(input)
    axes = _axes(x, dim)
    if dtype is None and x.dtype.kind in "biu":
        dtype = np.int64
    output = x.sum(axes, dtype=dtype, keepdims=keepdim)
    return record(
        output,
        "sum",
        (input, lambda g: np.broadcast_to(_kept(g, axes, keepdim), x.shape)),
    )


def mean(input: Any, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean along ``dim``; over nothing NaN."""
    x = to_array(input) if dtype is None else to_array(input).astype(dtype)
    if x.dtype.kind != "f":
        raise TypeError(f"mean needs a floating-point Tensor, got {x.dtype}: use .float() first")
    axes = _axes(x, dim)
    size = math.prod(x.shape[a] for a in axes)
    count = x.dtype.type(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        output = np.asarray(x.sum(axes, keepdims=keepdim) / count)
    return record(
        output,
        "mean",
        (input, lambda g: np.broadcast_to(_kept(g, axes, keepdim) / count, x.shape)),
    )


def var(
    input: Any,
    dim: Dim = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor:
    """The variance along ``dim``, divided by the number of values minus ``correction`` (1).

    ``unbiased=False`` is ``correction=0``.
    """
    x = as_float(input)
    if isinstance(dim, bool):  # torch's var(unbiased)
        unbiased = dim
    axes = _axes(x, None if isinstance(dim, bool) else dim)
    if correction is None:
        correction = int(unbiased)
    size = math.prod(x.shape[a] for a in axes)
    count = x.dtype.type(np.maximum(size - correction, 0))
    with np.errstate(divide="ignore", invalid="ignore"):
        centred = x - x.mean(axes, keepdims=True)
        output = np.square(centred).sum(axes, keepdims=keepdim) / count

    def backward(g: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(_kept(g, axes, keepdim) * (2 / count) * centred)

    return record(output, "var", (input, backward))


def std(
    input: Any,
    dim: Dim = None,
    unbiased: bool = True,
    keepdim: bool = False,
    *,
    correction: int | None = None,
) -> Tensor:
    """The square root of :func:`var`; where it is 0 the gradient is, too."""
    variance = var(input, dim, unbiased, keepdim, correction=correction)
    y = np.sqrt(variance._data)

    def backward(g: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(y == 0, 0, g / (2 * y))

    return record(y, "std", (variance, backward))


def prod(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """The product along ``dim``."""
    x = to_array(input)
    if dim is None:
        return prod(_flat(input), 0) if x.ndim else record(x.copy(), "prod", (input, lambda g: g))
    axis = _axis(x, dim)

    def backward(g: Array) -> Array:
        # of all others: those before times those behind, which is right for zeros, too
        lines = np.moveaxis(x, axis, -1)
        ones = np.ones((*lines.shape[:-1], 1), x.dtype)
        before = np.cumprod(np.concatenate((ones, lines[..., :-1]), -1), -1)
        behind = np.cumprod(np.concatenate((ones, lines[..., :0:-1]), -1), -1)[..., ::-1]
        return np.asarray(_kept(g, (axis,), keepdim) * np.moveaxis(before * behind, -1, axis))

    return record(x.prod(axis, keepdims=keepdim), "prod", (input, backward))


def _flat(input: Any) -> Tensor:
    x = to_array(input)
    return record(x.flatten(), "reshape", (input, lambda g: g.reshape(x.shape)))


def cumsum(input: Any, dim: int) -> Tensor:
    """The running sum along ``dim``."""
    x = to_array(input)
    axis = _axis(x, dim)

    def backward(g: Array) -> Array:
        return np.flip(np.flip(g, axis).cumsum(axis), axis) if x.ndim else g

    output = x.cumsum(axis).reshape(x.shape)
    return record(output, "cumsum", (input, backward))


# -- extremes --------------------------------------------------------------------------------------


def _chosen(input: Any, index: Array, axis: int, keepdim: bool, name: str) -> ValuesAndIndices:
    """The elements at ``index`` (with the axis kept), to which alone the gradient goes."""
    x = to_array(input)
    if not x.ndim:
        copy = record(x.copy(), name, (input, lambda g: g))
        return ValuesAndIndices(copy, Tensor(np.zeros((), np.int64)))
    values = np.take_along_axis(x, index, axis)

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        np.put_along_axis(grad, index, _kept(g, (axis,), keepdim), axis)
        return grad

    if not keepdim:
        values, shown = values.squeeze(axis), index.squeeze(axis)
    else:
        shown = index
    return ValuesAndIndices(record(values, name, (input, backward)), Tensor(shown.astype(np.int64)))


def _extreme(
    input: Any, dim: Any, keepdim: bool, other: Any, name: str, pairwise: Any, find: Any, over: Any
) -> Any:
    if other is not None or isinstance(dim, Tensor):
        return pairwise(input, dim if other is None else other)
    x = to_array(input)
    if dim is None:
        return over(input)
    axis = _axis(x, dim)
    index = find(x, axis=axis, keepdims=True) if x.ndim else x
    return _chosen(input, index, axis, keepdim, name)


def max(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The largest value; along ``dim`` (values, indices); of two Tensors element by element.

    Along ``dim`` the first of equal ones gets the gradient, without it all share it.
    """
    return _extreme(input, dim, keepdim, other, "max", maximum, np.argmax, amax)


def min(input: Any, dim: Any = None, keepdim: bool = False, *, other: Any = None) -> Any:
    """The smallest value; see :func:`max`."""
    return _extreme(input, dim, keepdim, other, "min", minimum, np.argmin, amin)


def _shared(input: Any, dim: Dim, keepdim: bool, name: str, function: Any) -> Tensor:
    x = to_array(input)
    axes = _axes(x, dim)
    output = function(x, axis=axes, keepdims=keepdim)

    def backward(g: Array) -> Array:
        found = _kept(np.asarray(output), axes, keepdim)
        equal = (x == found) | (np.isnan(x) & np.isnan(found))
        return np.asarray(_kept(g, axes, keepdim) * equal / equal.sum(axes, keepdims=True))

    return record(output, name, (input, backward))


def amax(input: Any, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The largest value along ``dim``; equal ones share the gradient."""
    return _shared(input, dim, keepdim, "amax", np.amax)


def amin(input: Any, dim: Dim = (), keepdim: bool = False) -> Tensor:
    """The smallest value along ``dim``; equal ones share the gradient."""
    return _shared(input, dim, keepdim, "amin", np.amin)


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest value is: the first one's index."""
    x = to_array(input)
    return Tensor(np.asarray(np.argmax(x, dim, keepdims=keepdim), np.int64))


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest value is: the first one's index."""
    x = to_array(input)
    return Tensor(np.asarray(np.argmin(x, dim, keepdims=keepdim), np.int64))


def any(input: Any, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether one is true along ``dim``."""
    x = to_array(input)
    return Tensor(np.asarray(x.any(_axes(x, dim), keepdims=keepdim)))


def all(input: Any, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all are true along ``dim``."""
    x = to_array(input)
    return Tensor(np.asarray(x.all(_axes(x, dim), keepdims=keepdim)))


def sort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = True
) -> ValuesAndIndices:
    """The values in order along ``dim``, and where they were; equal ones in their old order."""
    x = to_array(input)
    axis = _axis(x, dim)
    if not x.ndim:
        return _chosen(input, x, 0, True, "sort")
    if descending:
        # from behind, so that equal ones keep their order when the result is turned round
        turned = np.argsort(np.flip(x, axis), axis, kind="stable")
        index = x.shape[axis] - 1 - np.flip(turned, axis)
    else:
        index = np.argsort(x, axis, kind="stable")
    return _chosen(input, index, axis, True, "sort")


def argsort(input: Any, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices of :func:`sort`."""
    return sort(input, dim, descending, stable).indices


def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesAndIndices:
    """The ``k`` largest (or smallest) values along ``dim``, in order, and where they are."""
    x = to_array(input)
    axis = _axis(x, dim)
    size = x.shape[axis] if x.ndim else 1
    if not 0 <= k <= size:
        raise ValueError(f"k must lie in 0..{size}, got {k}")
    index = sort(x, axis, descending=largest).indices._data
    if not x.ndim:
        return _chosen(input, x, 0, True, "topk")
    first = index[(slice(None),) * axis + (slice(0, k),)]
    return _chosen(input, first, axis, True, "topk")


# -- norms and softmax -----------------------------------------------------------------------------


def norm(
    input: Any, p: Any = 2, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    r""":math:`(\sum |x|^p)^{1/p}` along ``dim``; at 0 the gradient is 0."""
    x = as_float(input) if dtype is None else to_array(input).astype(dtype)
    axes = _axes(x, dim)
    order = 2.0 if p in (None, "fro") else float(p)
    size = np.abs(x)
    if order == math.inf:
        return _shared(elementwise.abs(input), axes, keepdim, "norm", np.amax)
    if order == -math.inf:
        return _shared(elementwise.abs(input), axes, keepdim, "norm", np.amin)
    if order == 0:
        count = (x != 0).sum(axes, keepdims=keepdim).astype(x.dtype)
        return record(count, "norm", (input, lambda g: np.zeros_like(x)))
    total = (size**order).sum(axes, keepdims=True)
    whole = total ** (1 / order)

    def backward(g: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.sign(x) * (size / whole) ** (order - 1)
            return np.where((whole == 0) | (x == 0), 0, _kept(g, axes, keepdim) * slope)

    output = whole if keepdim else whole.squeeze(axes)
    return record(output, "norm", (input, backward))


def logsumexp(input: Any, dim: Dim, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along ``dim``, without overflow."""
    x = as_float(input)
    axes = _axes(x, dim)
    top = x.max(axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = np.log(np.exp(x - top).sum(axes, keepdims=True)) + top

    def backward(g: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return np.asarray(_kept(g, axes, keepdim) * np.exp(x - y))

    return record(y if keepdim else y.squeeze(axes), "logsumexp", (input, backward))


def softmax(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """``exp(x) / sum(exp(x))`` along ``dim``."""
    x = as_float(input) if dtype is None else to_array(input).astype(dtype)
    axis = _axis(x, dim)
    with np.errstate(invalid="ignore"):
        lines = np.atleast_1d(x)
        y = np.exp(lines - lines.max(axis, keepdims=True, initial=-np.inf))
        y = (y / y.sum(axis, keepdims=True)).reshape(x.shape)

    def backward(g: Array) -> Array:
        product = np.atleast_1d(g * y)
        return (product - np.atleast_1d(y) * product.sum(axis, keepdims=True)).reshape(x.shape)

    return record(y, "softmax", (input, backward))


def log_softmax(input: Any, dim: int, dtype: Any = None) -> Tensor:
    """``x - log(sum(exp(x)))`` along ``dim``."""
    x = as_float(input) if dtype is None else to_array(input).astype(dtype)
    axis = _axis(x, dim)
    with np.errstate(invalid="ignore", divide="ignore"):
        lines = np.atleast_1d(x)
        y = lines - lines.max(axis, keepdims=True, initial=-np.inf)
        y = (y - np.log(np.exp(y).sum(axis, keepdims=True))).reshape(x.shape)

    def backward(g: Array) -> Array:
        total = np.atleast_1d(g).sum(axis, keepdims=True)
        return (np.atleast_1d(g) - np.exp(np.atleast_1d(y)) * total).reshape(x.shape)

    return record(y, "log_softmax", (input, backward))
