"""Indexing: what is taken out of a Tensor, and what is put in.

In each, ``g`` is the gradient of the output.
"""

from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.kernels.products import sum_along
from numpy_impl.tensor.comparison import bitwise_xor
from numpy_impl.tensor.elementwise import _mask, sub
from numpy_impl.tensor.graph import fitted
from numpy_impl.tensor.joining import cat
from numpy_impl.tensor.promotion import along_axes, quiet
from numpy_impl.tensor.shape import _axis, broadcast_to, clone, movedim, reshape
from numpy_impl.tensor.tensor import Operand, Tensor, TensorLike, record, to_array
from numpy_impl.tensor.views import become, viewed
from numpy_impl.types import Array


def _plain(part: Any) -> Any:
    """An index, or a part of one, as NumPy takes it."""
    if isinstance(part, list):
        return np.asarray([_plain(p) for p in part], None if part else np.int64)
    if isinstance(part, Tensor):
        part = part._data
    if isinstance(part, np.ndarray):
        if part.dtype == np.uint8:
            raise IndexError("an index must not be uint8: a mask is bool, places are int64")
        return part.item() if not part.ndim and part.dtype.kind in "iu" else part
    return part


def _is_basic(part: Any) -> bool:
    """Whether it meets each element at most once: a number, a slice, ``...`` or None."""
    if isinstance(part, bool):
        return False
    return part is None or part is ... or isinstance(part, slice | int | np.integer)


def _steps(index: Any, x: Array) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """An index as a basic one, and one with arrays for what that gives (or None).

    torch takes numbers first, so that they don't count as arrays: ``x[0, :, [1, 2]]`` is
    ``x[0][:, [1, 2]]``; NumPy's order of axes differs.
    """
    parts = [_plain(part) for part in (index if isinstance(index, tuple) else (index,))]
    if all(map(_is_basic, parts)):
        return tuple(parts), None
    # how many axes each part stands for
    widths = [p.ndim if isinstance(p, np.ndarray) and p.dtype == np.bool_ else
              0 if p is None or p is ... or isinstance(p, bool) else 1
              for p in parts]  # fmt: skip
    rest = x.ndim - sum(widths)
    if rest < 0:
        raise IndexError(f"too many indices for shape {x.shape}: {sum(widths)}")
    if not any(p is ... for p in parts):
        parts, widths = [*parts, ...], [*widths, 0]
    basic: list[Any] = []
    advanced: list[Any] = []
    for part, width in zip(parts, widths, strict=True):
        if part is ...:
            basic += [slice(None)] * rest
            advanced += [slice(None)] * rest
        elif _is_basic(part):
            basic.append(part)
            advanced += [] if isinstance(part, int | np.integer) else [slice(None)]
        else:
            basic += [slice(None)] * width
            advanced.append(part)
    return (*basic, ...), tuple(advanced)  # with ... it is a view, also of a single element


def _put(array: Array, index: Any, value: Any) -> None:
    """``array[index] = value`` with torch's rules."""
    basic, advanced = _steps(index, array)
    if advanced is None:
        array[basic] = value
    else:
        array[basic][advanced] = value


def getitem(input: TensorLike, index: Any) -> Tensor:
    """``input[index]``: numbers, slices, None, ``...``, masks, arrays or Tensors of places."""
    x = to_array(input)
    basic, advanced = _steps(index, x)
    if advanced is None:
        if ... not in basic:
            basic = (*basic, ...)  # a view also of a single element
        return viewed(input, "index", lambda array: array[basic])

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        np.add.at(grad[basic], advanced, g)  # an element may be named several times
        return grad

    return record(x[basic][advanced], "index", (input, backward))


def _with_item(input: TensorLike, index: Any, value: Any) -> Tensor:
    """``input`` with ``value`` at ``index``, which gets the gradient there."""
    x, new = to_array(input), to_array(value)
    output = x.copy()
    # axes of size 1 in front are too many for what is there
    spare = max(np.ndim(new) - np.ndim(_at(x, index)), 0) if np.ndim(new) else 0
    if spare and new.shape[:spare] == (1,) * spare:
        new = new.reshape(new.shape[spare:])
    _put(output, index, new)

    def to_input(g: Array) -> Array:
        grad = np.array(g)
        _put(grad, index, 0)
        return grad

    def to_value(g: Array) -> Array:
        return fitted(_at(g, index), np.shape(new), g.dtype).reshape(to_array(value).shape)

    return record(output, "index_put", (input, to_input), (value, to_value))


def _at(array: Array, index: Any) -> Array:
    basic, advanced = _steps(index, array)
    found: Array = array[basic] if advanced is None else array[basic][advanced]
    return found


def setitem(input: Tensor, index: Any, value: Any) -> None:
    """``input[index] = value``: the Tensor becomes one with these values in place."""
    input._check_in_place()
    view = input._view
    is_recorded = grad_mode.enabled and isinstance(value, Tensor) and value._requires_grad
    if input._keeps_its_array() and not is_recorded:
        _put(input._data, index, to_array(value))  # no need to copy all of it
        if view is not None:
            view.memory.forget()
    else:
        become(input, _with_item, index, value)


# -- slices of an axis -----------------------------------------------------------------------------


def _places(index: TensorLike, size: int, ndim: int | None = None) -> Array:
    """Places along an axis, checked: negative ones don't count from behind, as in torch."""
    places = np.asarray(to_array(index))
    if places.dtype not in (np.int64, np.int32):
        raise TypeError(f"index must be int64 or int32, got {places.dtype}")
    if ndim is not None and places.ndim != ndim:
        raise RuntimeError(f"index must have {ndim} axes as input has, got shape {places.shape}")
    if places.size and not (places.min() >= 0 and places.max() < size):
        raise IndexError(f"index must lie within 0..{size - 1}, got {places.min()}..{places.max()}")
    return places


def _slices(x: Array, dim: int, index: TensorLike) -> tuple[Any, ...]:
    axis = _axis(dim, x.ndim)
    places = _places(index, x.shape[axis] if x.ndim else 1)
    if places.ndim > 1:
        raise IndexError(f"index must be a vector, got shape {places.shape}")
    return (slice(None),) * axis + (np.atleast_1d(places),)


def index_select(input: TensorLike, dim: int, index: TensorLike) -> Tensor:
    """The slices of ``dim`` that ``index`` names."""
    x = to_array(input)
    if not x.ndim:
        return reshape(index_select(reshape(input, 1), dim, index), ())
    return getitem(input, _slices(x, dim, index))


@quiet
def index_add(
    input: TensorLike, dim: int, index: TensorLike, source: TensorLike, *, alpha: float = 1
) -> Tensor:
    """``input`` with ``alpha * source`` added to the slices of ``dim`` that ``index`` names."""
    x, values = to_array(input), to_array(source)
    at = _slices(x, dim, index)
    if values.shape != x[at].shape:
        raise RuntimeError(f"source must have the shape {x[at].shape}, got {values.shape}")
    output = x.copy()
    np.add.at(output, at, alpha * values)
    return record(output, "index_add", (input, lambda g: g), (source, lambda g: alpha * g[at]))


def index_copy(input: TensorLike, dim: int, index: TensorLike, source: TensorLike) -> Tensor:
    """``input`` with ``source`` for the slices of ``dim`` that ``index`` names."""
    x = to_array(input)
    at = _slices(x, dim, index)
    if to_array(source).shape != x[at].shape:
        raise RuntimeError(
            f"source must have the shape {x[at].shape}, got {to_array(source).shape}"
        )
    return _with_item(input, at, source)


def index_fill(input: TensorLike, dim: int, index: TensorLike, value: Operand) -> Tensor:
    """``input`` with one value in the slices of ``dim`` that ``index`` names."""
    return _with_item(input, _slices(to_array(input), dim, index), value)


def select(input: TensorLike, dim: int, index: int) -> Tensor:
    """The slice ``index`` of ``dim``, without that axis."""
    return getitem(input, (slice(None),) * _axis(dim, to_array(input).ndim) + (int(index),))


def narrow(input: TensorLike, dim: int, start: int, length: int) -> Tensor:
    """``length`` slices of ``dim`` from ``start`` on, which may count from behind."""
    x = to_array(input)
    axis = _axis(dim, x.ndim)
    size = x.shape[axis]
    first = int(start) + size if int(start) < 0 else int(start)
    if not (0 <= first <= first + length <= size and length >= 0):
        raise RuntimeError(f"start {start} and length {length} must lie within size {size}")
    return getitem(input, (slice(None),) * axis + (slice(first, first + length),))


def repeat_interleave(
    input: TensorLike,
    repeats: int | TensorLike | None = None,
    dim: int | None = None,
    *,
    output_size: int | None = None,
) -> Tensor:
    """Each element ``repeats`` times in a row along ``dim``, in all ``output_size`` if given.

    With ``repeats`` alone the places 0, 1, ..., each as often as it says.
    """
    if repeats is None:
        counts = to_array(input)
        input, repeats = np.arange(len(counts), dtype=counts.dtype), counts
    if output_size is not None:
        repeated = repeat_interleave(input, repeats, dim)
        size = repeated.shape[dim or 0]
        if size != output_size:
            raise RuntimeError(f"output_size must be {size} for these repeats, got {output_size}")
        return repeated
    if dim is None:
        input, dim = reshape(input, -1), 0
    x = to_array(input)
    axis = _axis(dim, x.ndim)
    if isinstance(repeats, int) and repeats > 0:
        split = (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])
        output = np.repeat(x, repeats, axis)
        return record(
            output, "repeat_interleave", (input, lambda g: sum_along(g.reshape(split), axis + 1))
        )
    return index_select(input, axis, np.repeat(np.arange(x.shape[axis]), to_array(repeats)))


def unfold(input: TensorLike, dimension: int, size: int, step: int) -> Tensor:
    """Windows of ``size`` along an axis, ``step`` apart, with their elements in a new last axis."""
    if not to_array(input).ndim:
        return reshape(unfold(reshape(input, 1), dimension, size, step)[:1], size)
    x = to_array(input)
    axis = _axis(dimension, x.ndim)
    if not 0 <= size <= x.shape[axis] or step < 1:
        raise RuntimeError(
            f"size must lie within 0..{x.shape[axis]} and step be positive, got {size} and {step}"
        )
    last, front = x.shape[axis] - size, (slice(None),) * axis
    if not size:
        windows = getitem(input, (*front, np.arange(0, last + 1, step)[:, None][:, :0]))
        return movedim(windows, axis + 1, -1)

    def take(x: Array) -> Array:
        windows = np.lib.stride_tricks.sliding_window_view(x, size, axis, writeable=True)
        return windows[(*front, slice(None, None, step))]

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        for k in range(size):  # the k-th elements of all windows are different ones
            grad[(*front, slice(k, last + k + 1, step))] += g[..., k]
        return grad

    return viewed(input, "unfold", take, backward)


@along_axes
def diff(
    input: TensorLike,
    n: int = 1,
    dim: int = -1,
    prepend: TensorLike | None = None,
    append: TensorLike | None = None,
) -> Tensor:
    """The differences of neighbours along ``dim``, ``n`` times over.

    ``prepend`` and ``append`` are put before and behind first, unless ``n`` is 0.
    """
    x = to_array(input)
    if not x.ndim:
        raise RuntimeError("diff needs a Tensor with axes, got a number")
    if n < 0:
        raise RuntimeError(f"n must not be negative, got {n}")
    parts = [part for part in (prepend, input, append) if part is not None]
    output: Any = cat(parts, dim) if len(parts) > 1 and n else input
    minus = bitwise_xor if to_array(output).dtype == np.bool_ else sub
    for _ in range(n):
        size = to_array(output).shape[_axis(dim, x.ndim)]
        rest = max(size - 1, 0)
        output = minus(narrow(output, dim, min(size, 1), rest), narrow(output, dim, 0, rest))
    return output if n and isinstance(output, Tensor) else clone(output)


# -- masks and places of elements ------------------------------------------------------------------


def masked_select(input: TensorLike, mask: TensorLike) -> Tensor:
    """The elements where the mask is true, in one axis."""
    x, chosen = np.broadcast_arrays(to_array(input), _mask(mask, "mask"))
    return getitem(broadcast_to(input, x.shape), np.asarray(chosen))


def masked_scatter(input: TensorLike, mask: TensorLike, source: TensorLike) -> Tensor:
    """``input`` with the first elements of ``source``, in order, where the mask is true."""
    x, chosen = np.broadcast_arrays(to_array(input), _mask(mask, "mask"))
    count = int(chosen.sum())
    if to_array(source).size < count:
        raise RuntimeError(f"source must have {count} elements, got {to_array(source).size}")
    values = getitem(reshape(source, -1), slice(0, count))
    return _with_item(broadcast_to(input, x.shape), np.asarray(chosen), values)


def take(input: TensorLike, index: TensorLike) -> Tensor:
    """The elements at these places of the flattened input."""
    return getitem(reshape(input, -1), np.asarray(to_array(index)))


def _along(x: Array, dim: int, index: TensorLike, fits: Array | None = None) -> tuple[Array, ...]:
    """``index`` along ``dim``, and each element's own place along the other axes."""
    axis = _axis(dim, x.ndim)
    places = _places(index, x.shape[axis], x.ndim)
    for a in range(x.ndim):
        room = x.shape[a] if a != axis else None
        if fits is not None:
            room = min(n for n in (room, fits.shape[a]) if n is not None)
        if room is not None and places.shape[a] > room:
            raise RuntimeError(f"index of shape {places.shape} is larger than {room} in axis {a}")
    grid = list(np.ogrid[tuple(slice(0, n) for n in places.shape)])
    grid[axis] = places
    return tuple(np.broadcast_arrays(*grid))


def _with_axis(*values: Any) -> list[Any]:
    """Values without axes as vectors of one element; numbers as they are."""
    return [
        reshape(v, 1) if isinstance(v, Tensor | np.ndarray) and not v.ndim else v for v in values
    ]


def gather(input: TensorLike, dim: int, index: TensorLike) -> Tensor:
    """For each element of ``index``, the value it names along ``dim``, at its other places."""
    if not to_array(input).ndim:
        line, places = _with_axis(input, index)
        return reshape(gather(line, dim, places), to_array(index).shape)
    return getitem(input, _along(to_array(input), dim, index))


def take_along_dim(input: TensorLike, indices: TensorLike, dim: int | None = None) -> Tensor:
    """:func:`gather` with broadcasting; without ``dim`` of the flattened input."""
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    x, index = to_array(input), to_array(indices)
    axis = _axis(dim, x.ndim)
    try:
        shape = np.broadcast_shapes(
            (*x.shape[:axis], 1, *x.shape[axis + 1 :]),
            (*index.shape[:axis], 1, *index.shape[axis + 1 :]),
        )
    except ValueError:
        raise RuntimeError(f"indices of {index.shape} don't fit input of {x.shape}") from None

    def sized(value: Any, n: int) -> Any:
        return broadcast_to(value, (*shape[:axis], n, *shape[axis + 1 :]))

    return gather(sized(input, x.shape[axis]), axis, sized(indices, index.shape[axis]))


def scatter(input: TensorLike, dim: int, index: TensorLike, src: Operand) -> Tensor:
    """``input`` with the values of ``src`` where ``index`` names along ``dim``."""
    x = to_array(input)
    if not x.ndim:
        line, places, new = _with_axis(input, index, src)
        return reshape(scatter(line, dim, places, new), ())
    if not isinstance(src, Tensor | np.ndarray):
        return _with_item(input, _along(x, dim, index), src)
    at = _along(x, dim, index, to_array(src))
    return _with_item(input, at, getitem(src, tuple(slice(0, n) for n in at[0].shape)))


@quiet
def scatter_add(input: TensorLike, dim: int, index: TensorLike, src: TensorLike) -> Tensor:
    """``input`` plus the values of ``src`` where ``index`` names along ``dim``."""
    x, values = to_array(input), to_array(src)
    if not x.ndim:
        line, places, new = _with_axis(input, index, src)
        return reshape(scatter_add(line, dim, places, new), ())
    at = _along(x, dim, index, values)
    part = tuple(slice(0, n) for n in at[0].shape)
    output = x.copy()
    np.add.at(output, at, values[part])

    def to_source(g: Array) -> Array:
        grad = np.zeros(values.shape, g.dtype)
        grad[part] = g[at]
        return grad

    return record(output, "scatter_add", (input, lambda g: g), (src, to_source))


__all__ = [
    "diff",
    "gather",
    "getitem",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "masked_scatter",
    "masked_select",
    "narrow",
    "repeat_interleave",
    "scatter",
    "scatter_add",
    "select",
    "setitem",
    "take",
    "take_along_dim",
    "unfold",
]
