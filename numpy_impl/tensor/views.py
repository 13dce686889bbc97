"""Changes in place, and parts of a Tensor that reach it when they are changed.

Results own their memory. But what torch makes a view of (``x[0]``, ``x.T``, ``x.view(...)``) notes
where it was taken from, so that ``x[0][1] = 5`` and ``x[:, :2].zero_()`` change ``x``, as in torch.
The other way is not noticed: a part keeps its values when ``x`` changes; changed in place after
that, it raises.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar
from weakref import ref

import numpy as np

from numpy_impl.grad_mode import grad_mode, no_grad
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array

Take = Callable[[Array], Array]
DEEPEST = 200  # part of a part of a part ... that can be changed in place
_Self = TypeVar("_Self", bound=Tensor)


class View(NamedTuple):
    """Where a Tensor was taken from.

    Attributes:
        source: the Tensor, which is not kept alive by its parts.
        shape: of the source.
        take: the part of an array of that shape, as a NumPy view.
        above: where the source itself was taken from.
        detached: whether no gradient passes between them.
        depth: how many are above.
    """

    source: ref[Tensor]
    shape: tuple[int, ...]
    take: Take
    above: "View | None"
    detached: bool = False
    depth: int = 0


def own(array: Array) -> Array:
    """A copy in C order, which keeps what is computed from it fast."""
    return np.array(array, order="C")


def viewed(
    input: TensorLike, name: str, take: Take, backward: Callable[[Array], Array] | None = None
) -> Tensor:
    """The Tensor of ``take(input)``, which reaches ``input`` when it is changed in place.

    Args:
        input: where it is taken from.
        name: of the operation.
        take: makes a NumPy view of an array.
        backward: from the output's gradient to the input's; unless given, the part of zeros that
            ``take`` gives is filled.
    """
    x = to_array(input)
    output = own(take(x))
    shape = x.shape

    def filled(g: Array) -> Array:
        grad = np.zeros(shape, g.dtype)
        take(grad)[...] = g
        return grad

    result = record(output, name, (input, backward or filled))
    if isinstance(input, Tensor):
        _note(result, input, take, False)
    return result


def detached(input: Tensor) -> Tensor:
    """The same array, outside the graph."""
    result = Tensor(input._data)
    _note(result, input, _all, True)
    return result


def _note(part: Tensor, source: Tensor, take: Take, detached: bool) -> None:
    """Let ``part`` know where it was taken from."""
    above = source._view
    depth = 0 if above is None else above.depth + 1
    if depth > DEEPEST:  # a loop, whose chain of parts must not grow for ever
        is_lost = above is not None and above.take is _too_deep
        if not is_lost and not _reaches(above) and is_contiguous_view(source):
            above, depth = None, 0
        elif is_lost or depth > DEEPEST + 10:
            above, take = None, _too_deep
    part._view = View(ref(source), source.shape, take, above, detached, depth)


def _all(array: Array) -> Array:
    return array[...]


def _too_deep(array: Array) -> Array:
    """In place of a part that was taken from too deep within."""
    return array


def _reaches(view: View | None) -> bool:
    """Whether a Tensor of which this is a part is still there."""
    while view is not None and view.source() is None:
        view = view.above
    return view is not None


def become(tensor: _Self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> _Self:
    """Let ``tensor`` take the value, and the place in the graph, of ``function(tensor, ...)``."""
    tensor._check_in_place()
    source = source_of(tensor)
    _replace(tensor, function(apart(tensor), *args, **kwargs))
    put_back(tensor, source)
    return tensor


def apart(tensor: Tensor) -> Tensor:
    """The same array at the same place in the graph, which is no part of anything."""
    result = Tensor(tensor._data)
    result._node, result._index = tensor._node, tensor._index
    result._requires_grad = tensor._requires_grad
    return result


def _replace(tensor: Tensor, result: Tensor) -> None:
    """Let ``tensor`` take the value of ``result``, and its place in the graph."""
    if result.shape != tensor.shape:
        raise RuntimeError(
            f"a Tensor of shape {tensor.shape} can't become one of {result.shape} in place"
        )
    if not np.can_cast(result.dtype, tensor.dtype, "same_kind"):
        raise RuntimeError(f"a Tensor of {tensor.dtype} can't hold a result of {result.dtype}")
    if result._node is None and tensor._keeps_its_array():
        tensor._data[...] = result._data
    else:
        tensor._data = result._data.astype(tensor.dtype, copy=False)
        if grad_mode.enabled:  # else its place in the graph stays what it was
            tensor._node, tensor._index = result._node, result._index
            tensor._requires_grad = result._requires_grad


def source_of(tensor: Tensor) -> View | None:
    """What a change in place of ``tensor`` reaches: the nearest Tensor that is still there.

    Raises:
        RuntimeError: if that was changed since, may not be changed, or if several elements of
            ``tensor`` are one of it.
    """
    if tensor._view is not None and tensor._view.take is _too_deep:
        raise RuntimeError(
            f"a part of a part, {DEEPEST} times over, can't be changed in place: clone() it first"
        )
    view = _living(tensor._view) if _reaches(tensor._view) else None
    source = None if view is None else view.source()
    if view is None or source is None or _layout(tensor._view) is None:
        return None
    part = view.take(own(source._data))
    if _overlaps(part):
        raise RuntimeError(
            "what has been expanded or unfolded can't be changed in place where several of its "
            "elements are one: clone() it first"
        )
    if not np.array_equal(part, tensor._data, equal_nan=part.dtype.kind == "f"):
        raise RuntimeError(
            "the Tensor that this is a part of has been changed in place since it was taken: take "
            "the part again, or clone() it to change it alone"
        )
    if not view.detached:
        source._check_in_place()
    return view


def _overlaps(part: Array) -> bool:
    """Whether two elements lie at the same place."""
    if not part.size:
        return False
    reach = 0
    for step, n in sorted(zip(map(abs, part.strides), part.shape, strict=True)):
        if n > 1 and step <= reach:
            places = sum(
                np.arange(n).reshape(-1, *[1] * (part.ndim - axis - 1)) * part.strides[axis]
                for axis, n in enumerate(part.shape)
            )
            return len(np.unique(places)) < part.size
        reach += (n - 1) * step
    return False


def put_back(tensor: Tensor, view: View | None) -> None:
    """Give the source the new values of its part."""
    source = None if view is None else view.source()
    if view is None or source is None:
        return
    if view.detached:
        with no_grad():
            become(source, _with_part, view.take, tensor)
    else:
        become(source, _with_part, view.take, tensor)


def _with_part(input: Tensor, take: Take, part: Tensor) -> Tensor:
    """``input`` with ``part`` where ``take`` takes it from."""
    output = own(input._data)
    take(output)[...] = part._data

    def to_input(g: Array) -> Array:
        grad = own(g)
        take(grad)[...] = 0
        return grad

    return record(output, "put_back", (input, to_input), (part, lambda g: own(take(own(g)))))


def _living(view: View | None) -> View | None:
    """From the nearest source that is still there, past those that are not."""
    if view is None or view.source() is not None:
        return view
    above, take = view.above, view.take
    if above is None or _layout(above) is None:
        return None
    through = View(
        above.source,
        above.shape,
        lambda x: take(above.take(x)),
        above.above,
        view.detached or above.detached,
    )
    return _living(through)


def _layout(view: View | None) -> Array | None:
    """An array that lies in memory as torch's does; None where torch has copied."""
    if view is None:
        return None
    above = _layout(view.above)
    x = np.empty(view.shape, np.bool_) if above is None else above
    part = view.take(x)
    return part if not part.size or np.may_share_memory(part, x) else None


def is_contiguous_view(tensor: Tensor) -> bool:
    """Whether torch's ``contiguous()`` would give the Tensor itself."""
    layout = _layout(tensor._view)
    return layout is None or layout.flags.c_contiguous
