"""Operations that move values: shapes, axes, joining and splitting.

Results own their memory, whatever torch makes a view of. In each, ``g`` is the gradient of the
output.
"""

import math
import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from numpy_impl.tensor.promotion import along_axes, result_type
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    try:
        return tuple(operator.index(size) for size in sizes)
    except TypeError:
        raise TypeError(f"sizes must be ints, got {sizes}") from None


def _axis(dim: int, ndim: int, name: str = "dim") -> int:
    """``dim`` as a positive axis; without axes 0 and -1 count, as in torch."""
    n = max(ndim, 1)
    if not isinstance(dim, int | np.integer):
        raise TypeError(f"{name} must be an int, got {dim!r}")
    if not -n <= dim < n:
        raise IndexError(f"{name} must lie within {-n}..{n - 1}, got {dim}")
    return int(dim) % n


def _own(array: Array) -> Array:
    """A copy in C order, which keeps what is computed from it fast."""
    return np.array(array, order="C")


# -- shapes ----------------------------------------------------------------------------------------


def reshape(input: Any, *shape: Any) -> Tensor:
    """The same values in another shape; one size may be -1."""
    x, sizes = to_array(input), _sizes(shape)
    return record(_reshaped(x, sizes), "reshape", (input, lambda g: g.reshape(x.shape)))


def _reshaped(x: Array, sizes: tuple[int, ...]) -> Array:
    try:
        return _own(x).reshape(sizes)
    except ValueError:
        raise RuntimeError(f"shape {sizes} does not fit {x.size} elements of {x.shape}") from None


def view(input: Any, *shape: Any) -> Any:
    """:func:`reshape`; with a dtype instead of sizes a cast of the bytes."""
    if len(shape) == 1 and not isinstance(shape[0], Sequence | int | np.integer | Tensor):
        return Tensor(_own(to_array(input)).view(shape[0]))
    return reshape(input, *shape)


def view_as(input: Any, other: Any) -> Tensor:
    """The same values in the shape of ``other``."""
    return reshape(input, to_array(other).shape)


reshape_as = view_as


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes from ``start_dim`` to ``end_dim`` into one."""
    shape = to_array(input).shape or (1,)
    start, end = _axis(start_dim, len(shape)), _axis(end_dim, len(shape))
    if start > end:
        raise RuntimeError(f"start_dim must not lie behind end_dim, got {start_dim}, {end_dim}")
    merged = math.prod(shape[start : end + 1])
    return reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


def ravel(input: Any) -> Tensor:
    """All values in one axis."""
    return reshape(input, (-1,))


def unflatten(input: Any, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split axis ``dim`` into several."""
    shape = to_array(input).shape
    axis = _axis(dim, len(shape))
    known = math.prod(size for size in sizes if size != -1)
    if list(sizes).count(-1) == 1 and known:  # also where the other axes have no elements
        sizes = [shape[axis] // known if size == -1 else size for size in sizes]
    return reshape(input, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def squeeze(input: Any, dim: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes of size 1, or those of them in ``dim``."""
    shape = to_array(input).shape
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    gone = {_axis(d, len(shape)) for d in dims}
    return reshape(input, tuple(n for i, n in enumerate(shape) if i not in gone or n != 1))


def unsqueeze(input: Any, dim: int) -> Tensor:
    """With a new axis of size 1 at ``dim``."""
    shape = to_array(input).shape
    axis = _axis(dim, len(shape) + 1)
    return reshape(input, (*shape[:axis], 1, *shape[axis:]))


def permute(input: Any, *dims: Any) -> Tensor:
    """The axes in another order."""
    x = to_array(input)
    order = tuple(_axis(d, x.ndim) for d in _sizes(dims))
    if sorted(order) != list(range(x.ndim)):
        raise RuntimeError(f"dims must name each of {x.ndim} axes once, got {_sizes(dims)}")
    back = np.argsort(order)
    return record(_own(x.transpose(order)), "permute", (input, lambda g: g.transpose(back)))


def transpose(input: Any, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged, the others as they are."""
    x = to_array(input)
    order = list(range(x.ndim))
    a, b = _axis(dim0, x.ndim, "dim0"), _axis(dim1, x.ndim, "dim1")
    if x.ndim:
        order[a], order[b] = order[b], order[a]
    return permute(input, order)


swapaxes = swapdims = transpose


def t(input: Any) -> Tensor:
    """The transposed matrix; fewer axes stay as they are."""
    ndim = to_array(input).ndim
    if ndim > 2:
        raise RuntimeError(f"t() needs at most 2 axes, got {ndim}")
    return permute(input, tuple(reversed(range(ndim))))


def movedim(input: Any, source: Any, destination: Any) -> Tensor:
    """Axes moved to other places, the others in their order."""
    x = to_array(input)
    sources = [source] if isinstance(source, int) else list(source)
    places = [destination] if isinstance(destination, int) else list(destination)
    sources = [_axis(s, x.ndim, "source") for s in sources]
    places = [_axis(d, x.ndim, "destination") for d in places]
    if len(sources) != len(places) or len(set(places)) < len(places):
        raise RuntimeError(
            f"source and destination must name as many axes, each once, got {source}, {destination}"
        )
    rest = [axis for axis in range(x.ndim) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        rest.insert(place, axis)
    return permute(input, rest if x.ndim else ())


moveaxis = movedim


def expand(input: Any, *sizes: Any) -> Tensor:
    """Axes of size 1 repeated to ``sizes``; -1 keeps a size, new axes come first."""
    x, wanted = to_array(input), _sizes(sizes)
    new = len(wanted) - x.ndim
    if new < 0 or -1 in wanted[:new]:
        raise RuntimeError(
            f"sizes must name all {x.ndim} axes, and -1 none of the new ones, got {wanted}"
        )
    full = tuple(n if w == -1 else w for n, w in zip((1,) * new + x.shape, wanted, strict=True))
    return broadcast_to(input, full)


def broadcast_to(input: Any, shape: Sequence[int]) -> Tensor:
    """Repeated along axes of size 1 (and new first ones) to ``shape``."""
    x = to_array(input)
    try:
        output = _own(np.broadcast_to(x, tuple(shape)))
    except ValueError:
        raise RuntimeError(f"shape {x.shape} can't be expanded to {tuple(shape)}") from None
    return record(output, "expand", (input, lambda g: g))


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """All repeated to their common shape."""
    shapes = [to_array(tensor).shape for tensor in tensors]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(f"shapes {', '.join(map(str, shapes))} don't fit together") from None
    return tuple(broadcast_to(tensor, shape) for tensor in tensors)


def expand_as(input: Any, other: Any) -> Tensor:
    """Expanded to the shape of ``other``."""
    return broadcast_to(input, to_array(other).shape)


def tile(input: Any, *repeats: Any) -> Tensor:
    """The whole Tensor that many times along each axis, the last ones if there are fewer."""
    x, counts = to_array(input), _sizes(repeats)
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    # (r0, n0, r1, n1, ...): a copy is one index of each r
    split = [size for pair in zip(counts, shape, strict=True) for size in pair]
    copies = tuple(range(0, len(split), 2))

    def backward(g: Array) -> Array:
        return g.reshape(split).sum(copies).reshape(x.shape)

    return record(np.tile(x, counts), "repeat", (input, backward))


def repeat(input: Any, *repeats: Any) -> Tensor:
    """The whole Tensor that many times along each axis."""
    if len(_sizes(repeats)) < to_array(input).ndim:
        raise RuntimeError("repeat needs at least as many numbers as the Tensor has axes")
    return tile(input, *repeats)


def flip(input: Any, *dims: Any) -> Tensor:
    """Reversed along the axes."""
    x = to_array(input)
    axes = tuple(_axis(d, x.ndim, "dims") for d in _sizes(dims))
    if len(set(axes)) < len(axes):
        raise RuntimeError(f"dims must name each axis once, got {_sizes(dims)}")
    axes = axes if x.ndim else ()
    return record(_own(np.flip(x, axes)), "flip", (input, lambda g: np.flip(g, axes)))


def roll(input: Any, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted along the axes; what falls off comes back at the other end."""
    x = to_array(input)
    back = tuple(-s for s in shifts) if isinstance(shifts, tuple | list) else -shifts
    return record(np.roll(x, shifts, dims), "roll", (input, lambda g: np.roll(g, back, dims)))


def fliplr(input: Any) -> Tensor:
    """Reversed along the second axis."""
    _with_ndim(input, 2, "fliplr")
    return flip(input, 1)


def flipud(input: Any) -> Tensor:
    """Reversed along the first axis."""
    _with_ndim(input, 1, "flipud")
    return flip(input, 0)


def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """Turned ``k`` times by 90 degrees, from the first of two axes towards the second."""
    x = to_array(input)
    if len(dims) != 2:
        raise RuntimeError(f"dims must name two axes, got {dims}")
    dims = dims[0], dims[1]
    return record(_own(np.rot90(x, k, dims)), "rot90", (input, lambda g: np.rot90(g, -k, dims)))


def _with_ndim(input: Any, ndim: int, name: str) -> Array:
    x = to_array(input)
    if x.ndim < ndim:
        raise RuntimeError(f"{name} needs {ndim} axes at least, got shape {x.shape}")
    return x


def tril(input: Any, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two axes, zeros above."""
    x = _with_ndim(input, 2, "tril")
    return record(np.tril(x, diagonal), "tril", (input, lambda g: np.tril(g, diagonal)))


def triu(input: Any, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two axes, zeros below."""
    x = _with_ndim(input, 2, "triu")
    return record(np.triu(x, diagonal), "triu", (input, lambda g: np.triu(g, diagonal)))


def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as a last axis."""
    x = to_array(input)

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        moved = np.moveaxis(grad, (dim1, dim2), (-2, -1))
        rows = np.arange(g.shape[-1]) + max(0, -offset)
        moved[..., rows, rows + offset] = g
        return grad

    return record(np.diagonal(x, offset, dim1, dim2).copy(), "diagonal", (input, backward))


_diagonal = diagonal


def diag(input: Any, diagonal: int = 0) -> Tensor:
    """A vector on the diagonal of a matrix of zeros, or the diagonal of a matrix."""
    x, offset = to_array(input), diagonal
    if x.ndim == 2:
        return _diagonal(input, offset)
    if x.ndim != 1:
        raise RuntimeError(f"diag needs a vector or a matrix, got shape {x.shape}")
    return record(np.diag(x, offset), "diag", (input, lambda g: np.diagonal(g, offset)))


def diag_embed(input: Any, offset: int = 0) -> Tensor:
    """The last axis on the diagonal of matrices of zeros."""
    x = to_array(input)
    rows = np.arange(x.shape[-1]) + max(0, -offset)
    size = x.shape[-1] + abs(offset)
    output = np.zeros((*x.shape[:-1], size, size), x.dtype)
    output[..., rows, rows + offset] = x
    return record(output, "diag_embed", (input, lambda g: g[..., rows, rows + offset]))


def clone(input: Any) -> Tensor:
    """A copy; the gradient passes."""
    return record(np.array(to_array(input), order="K"), "clone", (input, lambda g: g))


def contiguous(input: Tensor) -> Tensor:
    """The Tensor itself: how its memory is laid out never shows."""
    return input


# -- joining and splitting -------------------------------------------------------------------------


@along_axes
def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
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
def stack(tensors: Sequence[Any], dim: int = 0) -> Tensor:
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


def _each(tensors: tuple[Any, ...], function: Any) -> Any:
    """``function`` of one Tensor, or of each of several."""
    if len(tensors) == 1 and not isinstance(tensors[0], tuple | list):
        return function(tensors[0])
    several = tensors[0] if len(tensors) == 1 else tensors
    return tuple(function(tensor) for tensor in several)


def atleast_1d(*tensors: Any) -> Any:
    """With one axis at least: (1,)."""
    return _each(tensors, lambda v: v if to_array(v).ndim else reshape(v, 1))


def atleast_2d(*tensors: Any) -> Any:
    """With two axes at least: (1, N)."""
    return _each(tensors, lambda v: v if to_array(v).ndim > 1 else reshape(v, 1, -1))


def atleast_3d(*tensors: Any) -> Any:
    """With three axes at least: (1, N, 1), (M, N, 1)."""
    return _each(tensors, lambda v: v if to_array(v).ndim > 2 else unsqueeze(atleast_2d(v), -1))


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the second axis (vectors: the first)."""
    tensors = atleast_1d(tuple(tensors))
    return cat(tensors, 0 if to_array(tensors[0]).ndim < 2 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the first axis; vectors become rows."""
    return cat(atleast_2d(tuple(tensors)), 0)


def dstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the third axis."""
    return cat(atleast_3d(tuple(tensors)), 2)


def column_stack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the second axis; vectors become columns."""
    return cat([reshape(v, -1, 1) if to_array(v).ndim < 2 else v for v in tensors], 1)


def _piece(input: Any, axis: int, start: int, end: int) -> Tensor:
    x = to_array(input)
    part = (slice(None),) * axis + (slice(start, end),)

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        grad[part] = g
        return grad

    return record(x[part].copy(), "split", (input, backward))


def split(input: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
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


def _with_axes(input: Any, dim: int, name: str) -> tuple[Array, int]:
    x = to_array(input)
    if not x.ndim:
        raise RuntimeError(f"{name} needs a Tensor with axes, got a number")
    return x, _axis(dim, x.ndim)


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """In at most ``chunks`` pieces of one size (the last may be smaller)."""
    if chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    x, axis = _with_axes(input, dim, "chunk")
    if not x.shape[axis]:
        return split(input, [0] * chunks, dim)
    return split(input, -(-x.shape[axis] // chunks) or 1, dim)


def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
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


@along_axes
def unbind(input: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices of an axis."""
    x, axis = _with_axes(input, dim, "unbind")
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return tuple(reshape(_piece(input, axis, i, i + 1), shape) for i in range(x.shape[axis]))


def numel(input: Any) -> int:
    """The number of elements."""
    return to_array(input).size
