"""Operations that move values: shapes, axes, indexing, joining and splitting.

Results own their memory, whatever torch makes a view of. In each, ``g`` is the gradient of the
output.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl.tensor.elementwise import result_type
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """Sizes given one by one or as one sequence."""
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    return tuple(int(size) for size in sizes)


def _axis(dim: int, ndim: int, name: str = "dim") -> int:
    if not -ndim <= dim < ndim:
        raise IndexError(f"{name} must lie within -{ndim}..{ndim - 1}, got {dim}")
    return dim % ndim


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
    return reshape(input, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def squeeze(input: Any, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Without the axes of size 1, or those of them in ``dim``."""
    shape = to_array(input).shape
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    gone = {_axis(d, max(len(shape), 1)) for d in dims}
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
    if not x.ndim:
        return permute(input, ())
    order = list(range(x.ndim))
    a, b = _axis(dim0, x.ndim, "dim0"), _axis(dim1, x.ndim, "dim1")
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
    rest = [axis for axis in range(x.ndim) if axis not in sources]
    for place, axis in sorted(zip(places, sources, strict=True)):
        rest.insert(place, axis)
    return permute(input, rest)


moveaxis = movedim


def expand(input: Any, *sizes: Any) -> Tensor:
    """Axes of size 1 repeated to ``sizes``; -1 keeps a size, new axes come first."""
    x, wanted = to_array(input), _sizes(sizes)
    shape = (1,) * (len(wanted) - x.ndim) + x.shape
    full = tuple(n if w == -1 else w for n, w in zip(shape, wanted, strict=True))
    return broadcast_to(input, full)


def broadcast_to(input: Any, shape: Sequence[int]) -> Tensor:
    """Repeated along axes of size 1 (and new first ones) to ``shape``."""
    x = to_array(input)
    try:
        output = _own(np.broadcast_to(x, tuple(shape)))
    except ValueError:
        raise RuntimeError(f"shape {x.shape} can't be expanded to {tuple(shape)}") from None
    return record(output, "expand", (input, lambda g: g))


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


def repeat_interleave(input: Any, repeats: Any, dim: int | None = None) -> Tensor:
    """Each element ``repeats`` times in a row along ``dim``."""
    if dim is None:
        input, dim = ravel(input), 0
    x, counts = to_array(input), to_array(repeats)
    axis = _axis(dim, x.ndim)
    source = np.repeat(np.arange(x.shape[axis]), counts)
    return index_select(input, axis, source)


def flip(input: Any, *dims: Any) -> Tensor:
    """Reversed along the axes."""
    x, axes = to_array(input), _sizes(dims)
    return record(_own(np.flip(x, axes)), "flip", (input, lambda g: np.flip(g, axes)))


def roll(input: Any, shifts: Any, dims: Any = None) -> Tensor:
    """Shifted along the axes; what falls off comes back at the other end."""
    x = to_array(input)
    back = tuple(-s for s in shifts) if isinstance(shifts, tuple | list) else -shifts
    return record(np.roll(x, shifts, dims), "roll", (input, lambda g: np.roll(g, back, dims)))


def tril(input: Any, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two axes, zeros above."""
    x = to_array(input)
    return record(np.tril(x, diagonal), "tril", (input, lambda g: np.tril(g, diagonal)))


def triu(input: Any, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two axes, zeros below."""
    x = to_array(input)
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
    return record(np.diag(x, offset), "diag", (input, lambda g: np.diagonal(g, offset)))


def clone(input: Any) -> Tensor:
    """A copy; the gradient passes."""
    return record(np.array(to_array(input), order="K"), "clone", (input, lambda g: g))


def contiguous(input: Tensor) -> Tensor:
    """The Tensor itself: how its memory is laid out never shows."""
    return input


# -- indexing --------------------------------------------------------------------------------------


def _plain_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(_plain_index(part) for part in index)
    if isinstance(index, list):
        return [_plain_index(part) for part in index]
    if isinstance(index, Tensor):
        return index._data
    return index


def _is_basic(index: Any) -> bool:
    """Whether an index meets each element at most once: numbers, slices, ``...`` and None."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is ... or isinstance(part, slice | int | np.integer) for part in parts
    )


def getitem(input: Any, index: Any) -> Tensor:
    """``input[index]``, with NumPy's and torch's rules, which are the same."""
    x, at = to_array(input), _plain_index(index)

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        if _is_basic(at):
            grad[at] = g
        else:
            np.add.at(grad, at, g)  # an element may be named several times
        return grad

    return record(np.array(x[at]), "index", (input, backward))


def _with_item(input: Any, index: Any, value: Any) -> Tensor:
    x, at, new = to_array(input), _plain_index(index), to_array(value)
    output = x.copy()
    output[at] = new

    def backward(g: Array) -> Array:
        grad = np.array(g)
        grad[at] = 0
        return grad

    return record(output, "index_put", (input, backward), (value, lambda g: g[at]))


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``: the Tensor becomes one with these values in place."""
    input._check_in_place()
    if input._keeps_its_array():  # no need to copy all of it
        input._data[_plain_index(index)] = to_array(value)
    else:
        input._become(_with_item, index, value)


def index_select(input: Any, dim: int, index: Any) -> Tensor:
    """The slices of ``dim`` that ``index`` names."""
    x = to_array(input)
    return getitem(input, (slice(None),) * _axis(dim, x.ndim) + (np.asarray(to_array(index)),))


def select(input: Any, dim: int, index: int) -> Tensor:
    """The slice ``index`` of ``dim``, without that axis."""
    return getitem(input, (slice(None),) * _axis(dim, to_array(input).ndim) + (int(index),))


def narrow(input: Any, dim: int, start: int, length: int) -> Tensor:
    """``length`` slices of ``dim`` from ``start`` on."""
    axis = _axis(dim, to_array(input).ndim)
    return getitem(input, (slice(None),) * axis + (slice(start, start + length),))


def masked_select(input: Any, mask: Any) -> Tensor:
    """The elements where the mask is true, in one axis."""
    x, chosen = np.broadcast_arrays(to_array(input), to_array(mask))
    return getitem(broadcast_to(input, x.shape), np.asarray(chosen, bool))


def gather(input: Any, dim: int, index: Any) -> Tensor:
    """For each element of ``index``, the value it names along ``dim``, at its other places."""
    x, chosen = to_array(input), np.asarray(to_array(index))
    return getitem(input, _along(chosen, _axis(dim, x.ndim)))


def _along(index: Array, axis: int) -> tuple[Array, ...]:
    """``index`` along ``axis``, and each element's own place along the others."""
    places = list(np.ogrid[tuple(slice(0, n) for n in index.shape)])
    places[axis] = index
    return tuple(np.broadcast_arrays(*places))


def take_along_dim(input: Any, indices: Any, dim: int) -> Tensor:
    """:func:`gather`, with its arguments in another order."""
    return gather(input, dim, indices)


def scatter(input: Any, dim: int, index: Any, src: Any) -> Tensor:
    """``input`` with the values of ``src`` where ``index`` names along ``dim``."""
    x, chosen = to_array(input), np.asarray(to_array(index))
    at = _along(chosen, _axis(dim, x.ndim))
    if isinstance(src, Tensor | np.ndarray):
        src = getitem(src, tuple(slice(0, n) for n in chosen.shape))
    return _with_item(input, at, src)


def scatter_add(input: Any, dim: int, index: Any, src: Any) -> Tensor:
    """``input`` plus the values of ``src`` where ``index`` names along ``dim``."""
    x, chosen = to_array(input), np.asarray(to_array(index))
    at, part = _along(chosen, _axis(dim, x.ndim)), tuple(slice(0, n) for n in chosen.shape)
    values = to_array(src)
    output = x.copy()
    np.add.at(output, at, values[part])

    def to_source(g: Array) -> Array:
        grad = np.zeros(values.shape, g.dtype)
        grad[part] = g[at]
        return grad

    return record(output, "scatter_add", (input, lambda g: g), (src, to_source))


# -- joining and splitting -------------------------------------------------------------------------


def cat(tensors: Sequence[Any], dim: int = 0) -> Tensor:
    """Joined along an axis that they have."""
    arrays = [to_array(tensor) for tensor in tensors]
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


def hstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the second axis (vectors: the first)."""
    return cat(tensors, 0 if to_array(tensors[0]).ndim < 2 else 1)


def vstack(tensors: Sequence[Any]) -> Tensor:
    """Joined along the first axis; vectors become rows."""
    return cat([unsqueeze(t, 0) if to_array(t).ndim < 2 else t for t in tensors], 0)


def split(input: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """In pieces of a size (the last may be smaller), or of the sizes in a list."""
    x = to_array(input)
    axis = _axis(dim, x.ndim)
    size, sections = x.shape[axis], split_size_or_sections
    if isinstance(sections, int):
        starts = range(0, max(size, 1), max(sections, 1))
        sections = [min(sections, size - start) for start in starts]
    if np.sum(sections) != size:
        raise RuntimeError(f"sections must add up to {size}, got {list(sections)}")
    ends = np.cumsum(sections)
    return tuple(
        narrow(input, axis, int(end) - n, n) for n, end in zip(sections, ends, strict=True)
    )


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """In at most ``chunks`` pieces of one size (the last may be smaller)."""
    if chunks < 1:
        raise ValueError(f"chunks must be at least 1, got {chunks}")
    x = to_array(input)
    return split(input, -(-x.shape[_axis(dim, x.ndim)] // chunks) or 1, dim)


def unbind(input: Any, dim: int = 0) -> tuple[Tensor, ...]:
    """All slices of an axis."""
    x = to_array(input)
    return tuple(select(input, dim, i) for i in range(x.shape[_axis(dim, x.ndim)]))
