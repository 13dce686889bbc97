"""Extremes along an axis, order, counting.

A chosen value gets its gradient at the place it came from. In each, ``g`` is the gradient of the
output.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, overload

import numpy as np

from numpy_impl.tensor.elementwise import maximum, minimum
from numpy_impl.tensor.promotion import along_axes
from numpy_impl.tensor.reduction import _axis, _kept, _shared, amax, amin
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array


class ValuesAndIndices(NamedTuple):
    """What max, min, median, sort and topk return along an axis."""

    values: Tensor
    indices: Tensor


class MinAndMax(NamedTuple):
    """What aminmax returns."""

    min: Tensor
    max: Tensor


def _chosen(
    input: TensorLike, index: Array, axis: int, keepdim: bool, name: str
) -> ValuesAndIndices:
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

    shown = index.astype(np.int64)
    if not keepdim:
        values, shown = values.squeeze(axis), shown.squeeze(axis)
    return ValuesAndIndices(record(values, name, (input, backward)), Tensor(shown))


def _extreme(
    input: TensorLike,
    dim: Any,
    keepdim: bool,
    other: TensorLike | None,
    name: str,
    pairwise: Callable[..., Tensor],
    find: Callable[..., Array],
    over: Callable[..., Array],
) -> Any:
    if other is not None or isinstance(dim, Tensor | np.ndarray):
        return pairwise(input, dim if other is None else other)
    if dim is None:
        return _shared(input, None, False, name, over, nan_too=True)
    x = to_array(input)
    axis = _axis(x, dim)
    index = find(x, axis=axis, keepdims=True) if x.ndim else x
    return _chosen(input, index, axis, keepdim, name)


@overload
def max(input: TensorLike) -> Tensor: ...
@overload
def max(input: TensorLike, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
@overload
def max(input: TensorLike, other: TensorLike, /) -> Tensor: ...
@overload
def max(input: TensorLike, *, other: TensorLike) -> Tensor: ...
@along_axes
def max(
    input: TensorLike, dim: Any = None, keepdim: bool = False, *, other: TensorLike | None = None
) -> Any:
    """The largest value; along ``dim`` (values, indices); of two Tensors element by element.

    Along ``dim`` the first of equal ones gets the gradient, without it all share it.
    """
    return _extreme(input, dim, keepdim, other, "max", maximum, np.argmax, np.amax)


@overload
def min(input: TensorLike) -> Tensor: ...
@overload
def min(input: TensorLike, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
@overload
def min(input: TensorLike, other: TensorLike, /) -> Tensor: ...
@overload
def min(input: TensorLike, *, other: TensorLike) -> Tensor: ...
@along_axes
def min(
    input: TensorLike, dim: Any = None, keepdim: bool = False, *, other: TensorLike | None = None
) -> Any:
    """The smallest value; see :func:`max`."""
    return _extreme(input, dim, keepdim, other, "min", minimum, np.argmin, np.amin)


@along_axes
def aminmax(input: TensorLike, *, dim: int | None = None, keepdim: bool = False) -> MinAndMax:
    """The smallest and the largest value; equal ones share the gradient."""
    axes = () if dim is None else dim
    return MinAndMax(amin(input, axes, keepdim), amax(input, axes, keepdim))


def _place(input: TensorLike, dim: int | None, keepdim: bool, find: Callable[..., Any]) -> Tensor:
    x = to_array(input)
    axis = None if dim is None else _axis(x, dim)
    return Tensor(np.asarray(find(x, axis if x.ndim else None, keepdims=keepdim), np.int64))


@along_axes
def argmax(input: TensorLike, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest value is: the first one's index."""
    return _place(input, dim, keepdim, np.argmax)


@along_axes
def argmin(input: TensorLike, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest value is: the first one's index."""
    return _place(input, dim, keepdim, np.argmin)


# -- order -----------------------------------------------------------------------------------------


def _order(x: Array, axis: int, descending: bool) -> Array:
    """The indices that sort ``x``: equal ones in their old order, NaN as the largest."""
    if not descending:
        return np.argsort(x, axis, kind="stable")
    # from behind, so that equal ones keep their order when the result is turned round
    turned = np.argsort(np.flip(x, axis), axis, kind="stable")
    places: Array = x.shape[axis] - 1 - np.flip(turned, axis)
    return places


@along_axes
def sort(
    input: TensorLike, dim: int = -1, descending: bool = False, stable: bool = True
) -> ValuesAndIndices:
    """The values in order along ``dim``, and where they were; equal ones in their old order."""
    x = to_array(input)
    axis = _axis(x, dim)
    return _chosen(input, _order(x, axis, descending) if x.ndim else x, axis, True, "sort")


def argsort(
    input: TensorLike, dim: int = -1, descending: bool = False, stable: bool = True
) -> Tensor:
    """The indices of :func:`sort`."""
    return sort(input, dim, descending, stable).indices


@along_axes
def topk(
    input: TensorLike, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesAndIndices:
    """The ``k`` largest (or smallest) values along ``dim``, in order, and where they are."""
    x = to_array(input)
    axis = _axis(x, dim)
    size = x.shape[axis] if x.ndim else 1
    if not 0 <= k <= size:
        raise ValueError(f"k must lie in 0..{size}, got {k}")
    index = _order(x, axis, largest)[(slice(None),) * axis + (slice(0, k),)] if x.ndim else x
    return _chosen(input, index, axis, True, "topk")


@along_axes
def kthvalue(input: TensorLike, k: int, dim: int = -1, keepdim: bool = False) -> ValuesAndIndices:
    """The ``k``-th smallest value along ``dim``, and where it is."""
    x = to_array(input)
    axis = _axis(x, dim)
    size = x.shape[axis] if x.ndim else 1
    if not 1 <= k <= size:
        raise ValueError(f"k must lie in 1..{size}, got {k}")
    index = np.take(_order(x, axis, False), [k - 1], axis) if x.ndim else x
    return _chosen(input, index, axis, keepdim, "kthvalue")


@overload
def median(input: TensorLike) -> Tensor: ...
@overload
def median(input: TensorLike, dim: int, keepdim: bool = False) -> ValuesAndIndices: ...
@along_axes
def median(input: TensorLike, dim: int | None = None, keepdim: bool = False) -> Any:
    """The middle value, of an even number the lower one; along ``dim`` (values, indices).

    It is NaN where one is. Without ``dim`` equal ones share the gradient.
    """
    x = to_array(input)
    if dim is None and not x.size:
        return record(np.asarray(np.nan, x.dtype), "median", (input, lambda g: np.zeros_like(x)))
    if dim is None:
        values = median(x.flatten(), 0).values._data
        return _shared(input, None, False, "median", lambda x, **_: values, nan_too=True)
    axis = _axis(x, dim)
    if not x.ndim:
        return _chosen(input, x, axis, keepdim, "median")
    size = x.shape[axis]
    if not size:
        raise IndexError(f"median needs values along dim {dim}, got shape {x.shape}")
    middle = np.where(np.isnan(x).any(axis, keepdims=True), size - 1, (size - 1) // 2)
    index = np.take_along_axis(_order(x, axis, False), middle, axis)
    return _chosen(input, index, axis, keepdim, "median")


# -- counting: no gradient flows -------------------------------------------------------------------


@overload
def nonzero(input: TensorLike, *, as_tuple: Literal[False] = False) -> Tensor: ...
@overload
def nonzero(input: TensorLike, *, as_tuple: Literal[True]) -> tuple[Tensor, ...]: ...
def nonzero(input: TensorLike, *, as_tuple: bool = False) -> Any:
    """The indices of what is not 0: (number, axes), or a tuple with one Tensor for each axis."""
    x = to_array(input)
    found = np.atleast_1d(x).nonzero()
    if as_tuple:
        return tuple(Tensor(index) for index in found)
    return Tensor(np.stack(found, 1)[:, : x.ndim].astype(np.int64))


def argwhere(input: TensorLike) -> Tensor:
    """The indices of what is not 0, (number, axes)."""
    return nonzero(input)


@overload
def unique(
    input: TensorLike,
    sorted: bool = True,
    return_inverse: Literal[False] = False,
    return_counts: Literal[False] = False,
    dim: int | None = None,
) -> Tensor: ...
@overload
def unique(
    input: TensorLike,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any: ...
def unique(
    input: TensorLike,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different values in order; with ``return_...`` where they went, and how often they occur.

    ``dim``: of the slices of an axis.
    """
    options: dict[str, Any] = {"return_inverse": return_inverse, "return_counts": return_counts}
    found = np.unique(to_array(input), **options, axis=dim, equal_nan=False)
    if not isinstance(found, tuple):
        return Tensor(found)
    return tuple(Tensor(np.asarray(array)) for array in found)


def bincount(input: TensorLike, weights: TensorLike | None = None, minlength: int = 0) -> Tensor:
    """How often each whole number occurs in a vector, or the sum of its ``weights``."""
    x, parts = to_array(input), to_array(weights)
    if x.ndim != 1 or x.dtype.kind not in "iu" or (x < 0).any():
        raise ValueError(f"input must be a vector of integers from 0 on, got {x.dtype}{x.shape}")
    counts = np.bincount(x, parts, minlength)
    return Tensor(counts if parts is None or not x.size else counts.astype(parts.dtype, copy=False))


def histc(input: TensorLike, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many values fall into each of ``bins`` pieces of min..max (if equal: of the values)."""
    x = to_array(input)
    low, high = (min, max) if min != max or not x.size else (x.min(), x.max())
    if low > high:
        raise ValueError(f"max must not be less than min, got {min} and {max}")
    low, high = (low - 1, high + 1) if low == high else (low, high)
    return Tensor(np.histogram(x, bins, (low, high))[0].astype(x.dtype))


def searchsorted(
    sorted_sequence: TensorLike,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: Literal["left", "right"] | None = None,
    sorter: TensorLike | None = None,
) -> Tensor:
    """Where each value belongs in an ordered vector: before equal ones, with ``right`` behind.

    With several axes each row has values of its own: (..., N), (..., K) -> (..., K). One that is
    not in order comes with ``sorter``, the places of its elements in order. NaN belongs at the end.
    """
    boundaries, values = to_array(sorted_sequence), np.asarray(to_array(input))
    if sorter is not None:
        boundaries = np.take_along_axis(boundaries, to_array(sorter), -1)
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ValueError(f"side must be 'left' or 'right', and as right={right} says, got {side!r}")
    where: Literal["left", "right"] = "right" if right or side == "right" else "left"
    dtype = np.int32 if out_int32 else np.int64
    length = boundaries.shape[-1] if boundaries.ndim else 0
    is_nan = np.isnan(values) if values.dtype.kind == "f" else np.False_
    if boundaries.ndim == 1:
        places = np.searchsorted(boundaries, values, where)
        return Tensor(np.asarray(np.where(is_nan, length, places), dtype))
    if boundaries.shape[:-1] != values.shape[:-1] or not values.ndim:
        raise ValueError(
            "input must have the axes of sorted_sequence but for the last one, "
            f"{boundaries.shape[:-1]}, got shape {values.shape}"
        )
    found = np.empty(values.shape, dtype)
    for row in np.ndindex(values.shape[:-1]):
        found[row] = np.searchsorted(boundaries[row], values[row], where)
    found[is_nan] = length
    return Tensor(found)


def bucketize(
    input: Any, boundaries: TensorLike, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """:func:`searchsorted` with its arguments the other way round."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)
