"""Operations that move values: shapes and axes.

In each, ``g`` is the gradient of the output.
"""

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl.kernels.products import sum_along
from numpy_impl.tensor.place import own
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.tensor.views import detached, is_contiguous, viewed
from numpy_impl.types import Array, Axes, Size


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


# -- shapes ----------------------------------------------------------------------------------------


def reshape(input: TensorLike, *shape: Size) -> Tensor:
    """The same values in another shape; one size may be -1."""
    old, sizes = to_array(input).shape, _sizes(shape)
    try:
        return viewed(input, "reshape", lambda x: x.reshape(sizes), lambda g: g.reshape(old))
    except ValueError:
        size = math.prod(old)
        raise RuntimeError(f"shape {sizes} does not fit {size} elements of {old}") from None


def view(input: TensorLike, *shape: Any) -> Tensor:
    """:func:`reshape`; with a dtype instead of sizes a cast of the bytes."""
    if len(shape) == 1 and not isinstance(shape[0], Sequence | int | np.integer | Tensor):
        whole = input if isinstance(input, Tensor) else Tensor(input)
        return detached(whole, lambda x: x.view(shape[0]))
    return reshape(input, *shape)


def view_as(input: TensorLike, other: TensorLike) -> Tensor:
    """The same values in the shape of ``other``."""
    return reshape(input, to_array(other).shape)


reshape_as = view_as


def flatten(input: TensorLike, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes from ``start_dim`` to ``end_dim`` into one."""
    shape = to_array(input).shape or (1,)
    start, end = _axis(start_dim, len(shape)), _axis(end_dim, len(shape))
    if start > end:
        raise RuntimeError(f"start_dim must not lie behind end_dim, got {start_dim}, {end_dim}")
    merged = math.prod(shape[start : end + 1])
    return reshape(input, (*shape[:start], merged, *shape[end + 1 :]))


def ravel(input: TensorLike) -> Tensor:
    """All values in one axis."""
    return reshape(input, (-1,))


def unflatten(input: TensorLike, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split axis ``dim`` into several."""
    shape = to_array(input).shape
    axis = _axis(dim, len(shape))
    known = math.prod(size for size in sizes if size != -1)
    if list(sizes).count(-1) == 1 and known:  # also where the other axes have no elements
        sizes = [shape[axis] // known if size == -1 else size for size in sizes]
    return reshape(input, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def squeeze(input: TensorLike, dim: Axes = None) -> Tensor:
    """Without the axes of size 1, or those of them in ``dim``."""
    shape = to_array(input).shape
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    gone = {_axis(d, len(shape)) for d in dims}
    return reshape(input, tuple(n for i, n in enumerate(shape) if i not in gone or n != 1))


def unsqueeze(input: TensorLike, dim: int) -> Tensor:
    """With a new axis of size 1 at ``dim``."""
    shape = to_array(input).shape
    axis = _axis(dim, len(shape) + 1)
    return reshape(input, (*shape[:axis], 1, *shape[axis:]))


def permute(input: TensorLike, *dims: Size) -> Tensor:
    """The axes in another order."""
    x = to_array(input)
    order = tuple(_axis(d, x.ndim) for d in _sizes(dims))
    if sorted(order) != list(range(x.ndim)):
        raise RuntimeError(f"dims must name each of {x.ndim} axes once, got {_sizes(dims)}")
    back = np.argsort(order)
    return viewed(input, "permute", lambda x: x.transpose(order), lambda g: g.transpose(back))


def transpose(input: TensorLike, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged, the others as they are."""
    x = to_array(input)
    order = list(range(x.ndim))
    a, b = _axis(dim0, x.ndim, "dim0"), _axis(dim1, x.ndim, "dim1")
    if x.ndim:
        order[a], order[b] = order[b], order[a]
    return permute(input, order)


swapaxes = swapdims = transpose


def t(input: TensorLike) -> Tensor:
    """The transposed matrix; fewer axes stay as they are."""
    ndim = to_array(input).ndim
    if ndim > 2:
        raise RuntimeError(f"t() needs at most 2 axes, got {ndim}")
    return permute(input, tuple(reversed(range(ndim))))


def movedim(
    input: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]
) -> Tensor:
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


def expand(input: TensorLike, *sizes: Size) -> Tensor:
    """Axes of size 1 repeated to ``sizes``; -1 keeps a size, new axes come first."""
    x, wanted = to_array(input), _sizes(sizes)
    new = len(wanted) - x.ndim
    if new < 0 or -1 in wanted[:new]:
        raise RuntimeError(
            f"sizes must name all {x.ndim} axes, and -1 none of the new ones, got {wanted}"
        )
    full = tuple(n if w == -1 else w for n, w in zip((1,) * new + x.shape, wanted, strict=True))
    return broadcast_to(input, full)


def broadcast_to(input: TensorLike, shape: Sequence[int]) -> Tensor:
    """Repeated along axes of size 1 (and new first ones) to ``shape``."""
    x, shape = to_array(input), tuple(shape)
    if x.size == math.prod(shape) and x.ndim <= len(shape):
        return reshape(input, shape)

    def take(x: Array) -> Array:
        part = np.broadcast_to(x, shape)
        part.flags.writeable = x.flags.writeable
        return part

    try:
        return viewed(input, "expand", take, lambda g: g)
    except ValueError:
        raise RuntimeError(f"shape {x.shape} can't be expanded to {shape}") from None


def broadcast_tensors(*tensors: TensorLike) -> tuple[Tensor, ...]:
    """All repeated to their common shape."""
    shapes = [to_array(tensor).shape for tensor in tensors]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise RuntimeError(f"shapes {', '.join(map(str, shapes))} don't fit together") from None
    return tuple(broadcast_to(tensor, shape) for tensor in tensors)


def expand_as(input: TensorLike, other: TensorLike) -> Tensor:
    """Expanded to the shape of ``other``."""
    return broadcast_to(input, to_array(other).shape)


def tile(input: TensorLike, *repeats: Size) -> Tensor:
    """The whole Tensor that many times along each axis, the last ones if there are fewer."""
    x, counts = to_array(input), _sizes(repeats)
    counts = (1,) * (x.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.ndim) + x.shape
    # (r0, n0, r1, n1, ...): a copy is one index of each r
    split = [size for pair in zip(counts, shape, strict=True) for size in pair]
    copies = tuple(range(0, len(split), 2))

    def backward(g: Array) -> Array:
        summed: Array = sum_along(g.reshape(split), copies)
        return summed.reshape(x.shape)

    return record(np.tile(x, counts), "repeat", (input, backward))


def repeat(input: TensorLike, *repeats: Size) -> Tensor:
    """The whole Tensor that many times along each axis."""
    if len(_sizes(repeats)) < to_array(input).ndim:
        raise RuntimeError("repeat needs at least as many numbers as the Tensor has axes")
    return tile(input, *repeats)


def flip(input: TensorLike, *dims: Size) -> Tensor:
    """Reversed along the axes."""
    x = to_array(input)
    axes = tuple(_axis(d, x.ndim, "dims") for d in _sizes(dims))
    if len(set(axes)) < len(axes):
        raise RuntimeError(f"dims must name each axis once, got {_sizes(dims)}")
    axes = axes if x.ndim else ()
    return record(own(np.flip(x, axes)), "flip", (input, lambda g: np.flip(g, axes)))


def roll(input: TensorLike, shifts: int | Sequence[int], dims: Axes = None) -> Tensor:
    """Shifted along the axes; what falls off comes back at the other end."""
    x = to_array(input)
    back = -shifts if isinstance(shifts, int) else tuple(-s for s in shifts)
    return record(np.roll(x, shifts, dims), "roll", (input, lambda g: np.roll(g, back, dims)))


def fliplr(input: TensorLike) -> Tensor:
    """Reversed along the second axis."""
    _with_ndim(input, 2, "fliplr")
    return flip(input, 1)


def flipud(input: TensorLike) -> Tensor:
    """Reversed along the first axis."""
    _with_ndim(input, 1, "flipud")
    return flip(input, 0)


def rot90(input: TensorLike, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned ``k`` times by 90 degrees, from the first of two axes towards the second."""
    x = to_array(input)
    if len(dims) != 2:
        raise RuntimeError(f"dims must name two axes, got {dims}")
    dims = dims[0], dims[1]
    return record(own(np.rot90(x, k, dims)), "rot90", (input, lambda g: np.rot90(g, -k, dims)))


def _with_ndim(input: TensorLike, ndim: int, name: str) -> Array:
    x = to_array(input)
    if x.ndim < ndim:
        raise RuntimeError(f"{name} needs {ndim} axes at least, got shape {x.shape}")
    return x


def tril(input: TensorLike, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two axes, zeros above."""
    x = _with_ndim(input, 2, "tril")
    return record(np.tril(x, diagonal), "tril", (input, lambda g: np.tril(g, diagonal)))


def triu(input: TensorLike, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two axes, zeros below."""
    x = _with_ndim(input, 2, "triu")
    return record(np.triu(x, diagonal), "triu", (input, lambda g: np.triu(g, diagonal)))


def diagonal(input: TensorLike, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """The diagonal of two axes, as a last axis."""

    def take(x: Array) -> Array:
        part = np.diagonal(x, offset, dim1, dim2)
        part.flags.writeable = x.flags.writeable
        return part

    return viewed(input, "diagonal", take)


_diagonal = diagonal


def diag(input: TensorLike, diagonal: int = 0) -> Tensor:
    """A vector on the diagonal of a matrix of zeros, or the diagonal of a matrix."""
    x, offset = to_array(input), diagonal
    if x.ndim == 2:
        return clone(_diagonal(input, offset))
    if x.ndim != 1:
        raise RuntimeError(f"diag needs a vector or a matrix, got shape {x.shape}")
    return record(np.diag(x, offset), "diag", (input, lambda g: np.diagonal(g, offset)))


def diag_embed(input: TensorLike, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """The last axis on the diagonal of matrices of zeros, which are the axes dim1 and dim2."""
    x = to_array(input)
    if (dim1, dim2) != (-2, -1):
        axes = [_axis(dim, x.ndim + 1) for dim in (dim1, dim2)]
        return movedim(diag_embed(input, offset), (-2, -1), axes)
    rows = np.arange(x.shape[-1]) + max(0, -offset)
    size = x.shape[-1] + abs(offset)
    output = np.zeros((*x.shape[:-1], size, size), x.dtype)
    output[..., rows, rows + offset] = x
    return record(output, "diag_embed", (input, lambda g: g[..., rows, rows + offset]))


def clone(input: TensorLike) -> Tensor:
    """A copy; the gradient passes."""
    return record(np.array(to_array(input), order="K"), "clone", (input, lambda g: g))


def contiguous(input: Tensor) -> Tensor:
    """The Tensor itself, or apart from what it was taken from where torch makes a copy."""
    return input if is_contiguous(input) else clone(input)


def numel(input: TensorLike) -> int:
    """The number of elements."""
    return to_array(input).size
