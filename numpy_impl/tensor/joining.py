"""Joining Tensors, and splitting one.

Results own their memory, whatever torch makes a view of. In each, ``g`` is the gradient of the
output.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, overload

import numpy as np

from numpy_impl.tensor.promotion import along_axes, result_type
from numpy_impl.tensor.shape import _axis, reshape, unsqueeze
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.tensor.views import viewed
from numpy_impl.types import Array


@along_axes
def cat(tensors: Sequence[TensorLike], dim: int = 0) -> Tensor:
    """Joined along an axis that they have."""
    tensors = list(tensors)
    arrays = [to_array(tensor) for tensor in tensors]
    if any(not isinstance(a, np.ndarray) or not a.ndim for a in arrays):
        raise RuntimeError("tensors must be Tensors with axes; stack joins those without")
    if not arrays:
        raise ValueError("tensors must not be empty")
    # torch lets an empty vector join anything
    kept = [i for i, a in enumerate(arrays) if a.shape != (0,)] or [0]
    axis = _axis(dim, arrays[kept[0]].ndim)
    dtype = result_type(*arrays)
    try:
        output = np.concatenate([arrays[i] for i in kept], axis, dtype=dtype)
    except ValueError:
        raise RuntimeError(
            f"tensors must agree in all sizes but that of axis {dim}, got "
            f"{', '.join(str(a.shape) for a in arrays)}"
        ) from None
    ends = np.cumsum([arrays[i].shape[axis] for i in kept])
    pairs = []
    for i, end in zip(kept, ends, strict=True):
        part = (slice(None),) * axis + (slice(int(end) - arrays[i].shape[axis], int(end)),)
        pairs.append((tensors[i], lambda g, part=part: g[part]))
    return record(output, "cat", *pairs)


concat = concatenate = cat


@along_axes
def stack(tensors: Sequence[TensorLike], dim: int = 0) -> Tensor:
    """Joined along a new axis."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("tensors must not be empty")
    shapes = {to_array(tensor).shape for tensor in tensors}
    if len(shapes) > 1:
        raise RuntimeError(f"tensors must have one shape, got {', '.join(map(str, shapes))}")
    axis = _axis(dim, to_array(tensors[0]).ndim + 1)
    arrays = [to_array(tensor) for tensor in tensors]
    output = np.stack(arrays, axis, dtype=result_type(*arrays))
    pairs = []
    for i, tensor in enumerate(tensors):
        part = (slice(None),) * axis + (i,)
        pairs.append((tensor, lambda g, part=part: g[part]))
    return record(output, "stack", *pairs)


def _each(tensors: tuple[Any, ...], function: Callable[[Any], Any]) -> Any:
    """``function`` of one Tensor, or of each of several."""
    if len(tensors) == 1 and not isinstance(tensors[0], tuple | list):
        return function(tensors[0])
    several = tensors[0] if len(tensors) == 1 else tensors
    return tuple(function(tensor) for tensor in several)


@overload
def atleast_1d(tensor: Tensor, /) -> Tensor: ...
@overload
def atleast_1d(*tensors: Tensor) -> tuple[Tensor, ...]: ...
@overload
def atleast_1d(*tensors: Any) -> Any: ...
def atleast_1d(*tensors: Any) -> Any:
    """With one axis at least: (1,)."""
    return _each(tensors, lambda v: v if to_array(v).ndim else reshape(v, 1))


@overload
def atleast_2d(tensor: Tensor, /) -> Tensor: ...
@overload
def atleast_2d(*tensors: Tensor) -> tuple[Tensor, ...]: ...
@overload
def atleast_2d(*tensors: Any) -> Any: ...
def atleast_2d(*tensors: Any) -> Any:
    """With two axes at least: (1, N)."""
    return _each(tensors, lambda v: v if to_array(v).ndim > 1 else reshape(v, 1, -1))


@overload
def atleast_3d(tensor: Tensor, /) -> Tensor: ...
@overload
def atleast_3d(*tensors: Tensor) -> tuple[Tensor, ...]: ...
@overload
def atleast_3d(*tensors: Any) -> Any: ...
def atleast_3d(*tensors: Any) -> Any:
    """With three axes at least: (1, N, 1), (M, N, 1)."""
    return _each(tensors, lambda v: v if to_array(v).ndim > 2 else unsqueeze(atleast_2d(v), -1))


def hstack(tensors: Sequence[TensorLike]) -> Tensor:
    """Joined along the second axis (vectors: the first)."""
    tensors = atleast_1d(tuple(tensors))
    return cat(tensors, 0 if to_array(tensors[0]).ndim < 2 else 1)


def vstack(tensors: Sequence[TensorLike]) -> Tensor:
    """Joined along the first axis; vectors become rows."""
    return cat(atleast_2d(tuple(tensors)), 0)


def dstack(tensors: Sequence[TensorLike]) -> Tensor:
    """Joined along the third axis."""
    return cat(atleast_3d(tuple(tensors)), 2)


def column_stack(tensors: Sequence[TensorLike]) -> Tensor:
    """Joined along the second axis; vectors become columns."""
    return cat([reshape(v, -1, 1) if to_array(v).ndim < 2 else v for v in tensors], 1)


def _piece(input: TensorLike, axis: int, start: int, end: int) -> Tensor:
    part = (slice(None),) * axis + (slice(start, end),)
    return viewed(input, "split", lambda array: array[part])


def split(
    input: TensorLike, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """In pieces of a size (the last may be smaller), or of the sizes in a list."""
    x, axis = _with_axes(input, dim, "split")
    size, sections = x.shape[axis], split_size_or_sections
    if isinstance(sections, int):
        if sections < 0 or (size and not sections):
            raise RuntimeError(f"the size of a piece must be positive, got {sections}")
        starts = range(0, max(size, 1), max(sections, 1))
        sections = [min(sections, size - start) for start in starts]
    if min(sections, default=0) < 0 or np.sum(sections) != size:
        raise RuntimeError(f"sections must add up to {size}, got {list(sections)}")
    ends = np.cumsum(sections)
    return tuple(
        _piece(input, axis, int(end) - n, int(end)) for n, end in zip(sections, ends, strict=True)
    )


def _with_axes(input: TensorLike, dim: int, name: str) -> tuple[Array, int]:
    x = to_array(input)
    if not x.ndim:
        raise RuntimeError(f"{name} needs a Tensor with axes, got a number")
    return x, _axis(dim, x.ndim)


def chunk(input: TensorLike, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """In at most ``chunks`` pieces of one size (the last may be smaller)."""
    if chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    x, axis = _with_axes(input, dim, "chunk")
    if not x.shape[axis]:
        return split(input, [0] * chunks, dim)
    return split(input, -(-x.shape[axis] // chunks) or 1, dim)


def tensor_split(
    input: TensorLike, indices_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """In that many pieces, as even as possible, or cut at the indices in a list."""
    x, axis = _with_axes(input, dim, "tensor_split")
    size, cuts = x.shape[axis], indices_or_sections
    if isinstance(cuts, int):
        if cuts < 1:
            raise RuntimeError(f"indices_or_sections must be at least 1, got {cuts}")
        small, rest = divmod(size, cuts)
        cuts = [small * i + min(i, rest) for i in range(1, cuts)]
    edges = [0, *cuts, size]
    return tuple(_piece(input, axis, a, b) for a, b in pairwise(edges))


def hsplit(input: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` along the second axis (of a vector: the first), in equal pieces."""
    return _split_evenly(input, indices_or_sections, 0 if to_array(input).ndim == 1 else 1, 1)


def vsplit(input: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` along the first of two or more axes, in equal pieces."""
    return _split_evenly(input, indices_or_sections, 0, 2)


def dsplit(input: TensorLike, indices_or_sections: int | Sequence[int]) -> tuple[Tensor, ...]:
    """:func:`tensor_split` along the third axis, in equal pieces."""
    return _split_evenly(input, indices_or_sections, 2, 3)


def _split_evenly(
    input: TensorLike, cuts: int | Sequence[int], axis: int, ndim: int
) -> tuple[Tensor, ...]:
    shape = to_array(input).shape
    if len(shape) < ndim:
        raise RuntimeError(f"input must have {ndim} axes at least, got shape {shape}")
    if isinstance(cuts, int) and (cuts < 1 or shape[axis] % cuts):
        raise RuntimeError(f"indices_or_sections must divide the size {shape[axis]}, got {cuts}")
    return tensor_split(input, cuts, axis)


@along_axes
def unbind(input: TensorLike, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices of an axis."""
    x, axis = _with_axes(input, dim, "unbind")
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return tuple(reshape(_piece(input, axis, i, i + 1), shape) for i in range(x.shape[axis]))
