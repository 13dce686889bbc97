"""Changes in place, and parts of a Tensor: what torch makes a view of.

A part (``x[0]``, ``x.T``, ``x.view(...)``, ``x.detach()``) has values of its own, so that nothing
which was computed from them ever becomes wrong, but behaves as a view: it knows its place in the
memory of the Tensor that it was taken from. Changed in place, it puts its new values there. And
when that has been changed in place, it takes its values, and its place in the graph, anew before
anybody sees them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.tensor.changes import changes
from numpy_impl.tensor.graph import Node, Operation
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array

_Self = TypeVar("_Self", bound=Tensor)


class View:
    """Where a part lies, and what it was taken from when it was looked at last.

    Attributes:
        root: the Tensor in whose array it lies.
        base: the Tensor from which its way back through the graph starts; None after ``detach()``.
        array: the root's, then.
        laid: the same in C order.
        part: of ``laid``, as a NumPy view.
        values: of the part.
        changes: how often arrays had been changed in place, then.
        origin: the base's node in the graph and the number of its output, then.
        is_fixed: whether it was taken under ``no_grad()``, which leaves it outside the graph.
        shares: whether its values lie in the root's array: a leaf's, which an optimizer changes.
    """

    __slots__ = (
        "array",
        "base",
        "changes",
        "is_fixed",
        "laid",
        "origin",
        "part",
        "root",
        "shares",
        "values",
    )

    def __init__(
        self, root: Tensor, base: Tensor | None, laid: Array, part: Array, values: Array
    ) -> None:
        self.root, self.base, self.array = root, base, root._data
        self.laid, self.part, self.values = laid, part, values
        self.changes = changes.count
        self.origin = (None, 0) if base is None else (base._node, base._index)
        self.is_fixed = base is not None and not grad_mode.enabled
        self.shares = False


_NODE, _INDEX = Tensor.__dict__["_node"], Tensor.__dict__["_index"]
_REQUIRES_GRAD = Tensor.__dict__["_requires_grad"]


class Part(Tensor):
    """A Tensor that is a part of another one."""

    __slots__ = ()
    _view: View

    @property
    def _data(self) -> Array:
        view = self._view
        if view.root._data is not view.array or view.changes != changes.count:
            _renew(view)
        return view.values

    @_data.setter
    def _data(self, value: Array) -> None:
        if value is not self._view.values:  # other data altogether, no part any more
            origin = self._node, self._index, self._requires_grad
            self.__class__ = Tensor  # type: ignore[assignment]
            self._data, self._view = value, None  # type: ignore[assignment]
            self._node, self._index, self._requires_grad = origin

    @property
    def _node(self) -> Node | None:
        _renew_origin(self)
        found: Node | None = _NODE.__get__(self)
        return found

    @_node.setter
    def _node(self, value: Node | None) -> None:
        _NODE.__set__(self, value)

    @property
    def _index(self) -> int:
        _renew_origin(self)
        found: int = _INDEX.__get__(self)
        return found

    @_index.setter
    def _index(self, value: int) -> None:
        _INDEX.__set__(self, value)

    @property
    def _requires_grad(self) -> bool:
        _renew_origin(self)
        found: bool = _REQUIRES_GRAD.__get__(self)
        return found

    @_requires_grad.setter
    def _requires_grad(self, value: bool) -> None:
        view = self._view
        if value and self._node is None:  # from now on a leaf
            view.base, view.shares = None, view.laid is view.array
            view.values = view.part if view.shares else view.values
        _REQUIRES_GRAD.__set__(self, value)

    def detach_(self) -> "Part":
        """Take this Tensor out of the graph."""
        self._view.base = None
        return super().detach_()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:  # type: ignore[override]
        memo[id(self)] = copy = apart(self).__deepcopy__(memo)
        return copy

    def __reduce__(self) -> tuple[Any, ...]:
        return apart(self).__reduce__()


def own(array: Array) -> Array:
    """A copy in C order, which keeps what is computed from it fast."""
    return np.array(array, order="C")


def viewed(
    input: TensorLike,
    name: str,
    take: Callable[[Array], Array],
    backward: Callable[[Array], Array] | None = None,
) -> Tensor:
    """The Tensor of ``take(input)``, a part of ``input`` unless NumPy, as torch, had to copy.

    Args:
        input: where it is taken from.
        name: of the operation.
        take: makes a NumPy view of an array.
        backward: from the output's gradient to the input's; unless given, the part of zeros that
            ``take`` gives is filled.
    """
    if not isinstance(input, Tensor):
        return record(own(take(to_array(input))), name)
    laid, within = _memory(input)
    part, shape = take(within), within.shape
    owner = laid if laid.base is None else laid.base
    # (the first is sooner found)
    is_part = (part.base is owner or np.may_share_memory(part, laid)) and part.size > 0

    def filled(g: Array) -> Array:
        grad = np.zeros(shape, g.dtype)
        take(grad)[...] = g
        return grad

    result = record(own(part) if is_part else part, name, (input, backward or filled))
    if is_part:
        view = input._view
        if view is None:
            result._view = View(input, input, laid, part, result._data)
        else:
            base = input if view.base is None else view.base
            result._view = View(_root(view), base, laid, part, result._data)
            result._view.is_fixed |= view.is_fixed
        result.__class__ = Part
    return result


def detached(input: Tensor, take: Callable[[Array], Array] | None = None) -> Tensor:
    """The same values, or ``take`` of them, outside the graph."""
    view = input._view
    root = input if view is None else _root(view)
    if root._node is not None:  # the graph is not kept alive by what is outside it
        root = _let_go(root)
    laid, part = _memory(input)
    values = input._data
    if take is not None:
        part = take(part)
        values = own(part)
    result = Tensor(values)
    if values.size:
        result._view = View(root, None, laid, part, values)
        result.__class__ = Part
    return result


def _let_go(tensor: Tensor) -> Tensor:
    """Make ``tensor`` the whole of another one, which is not in the graph and has its array."""
    root, laid = Tensor(tensor._data), _memory(tensor)[0]
    if type(tensor) is Tensor:
        tensor._view = View(root, None, laid, laid, root._data)
        tensor.__class__ = Part
    return root


def _memory(tensor: Tensor) -> tuple[Array, Array]:
    """The array, in C order, in which a Tensor lies, and its part of it."""
    view, array = tensor._view, tensor._data
    if view is not None:
        return view.laid, view.part
    laid = array if array.flags.c_contiguous else own(array)
    return laid, laid


def _root(view: View) -> Tensor:
    """The Tensor in whose array a part lies; if that has become all of another one, the other."""
    return view.root if view.root._view is None else view.root._view.root


# -- what was changed since ------------------------------------------------------------------------


def _renew(view: View) -> None:
    """Take the values again, if they may be others."""
    root, array = view.root, view.root._data
    if array is not view.array or (root._keeps_its_array() and not view.shares):
        laid = array if array.flags.c_contiguous else own(array)
        if array.shape == view.array.shape and array.dtype == view.array.dtype:
            if view.part is view.laid:
                view.part, view.values = laid, array
            else:
                view.part = _again(view.part, view.laid, laid)
                view.values = view.part if view.shares and laid is array else own(view.part)
            view.array, view.laid = array, laid
        else:  # the root has other data altogether
            view.root = Tensor(view.array)
    view.changes = changes.count


def _offset(part: Array, laid: Array) -> int:
    start: int = part.__array_interface__["data"][0] - laid.__array_interface__["data"][0]
    return start


def _again(part: Array, laid: Array, other: Array) -> Array:
    """What lies in ``other`` where ``part`` lies in ``laid``."""
    offset = _offset(part, laid)
    return np.ndarray(part.shape, part.dtype, other, offset, part.strides)


def _renew_origin(part: Part) -> None:
    """Let a part come from where its base does now."""
    view = part._view
    base = view.base
    if base is None or view.is_fixed:
        return
    node, index = base._node, base._index
    if node is view.origin[0] and index == view.origin[1]:
        return
    view.origin = node, index
    places, shape = _places(part, base), base.shape

    def backward(g: Array) -> Array:
        grad = np.zeros(shape, g.dtype)
        np.add.at(grad.reshape(-1), places, g)  # an element may be there several times
        return grad

    new = None if node is None else Operation("part", (base,), (backward,))
    _NODE.__set__(part, new)
    _INDEX.__set__(part, 0)
    _REQUIRES_GRAD.__set__(part, base._requires_grad)


def _places(part: Tensor, base: Tensor) -> Array:
    """The number, in C order, of each element in the base."""
    places = _places_in_root(part)
    if base._view is None:
        return places
    others = _places_in_root(base).reshape(-1)
    order = np.argsort(others)
    found: Array = order[np.searchsorted(others, places, sorter=order)]
    return found


def _places_in_root(tensor: Tensor) -> Array:
    laid, part = _memory(tensor)
    places = np.array(_offset(part, laid))
    for n, step in zip(part.shape, part.strides, strict=True):
        places = places[..., None] + np.arange(n) * step
    return places // part.itemsize


# -- changes in place ------------------------------------------------------------------------------


def become(tensor: _Self, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> _Self:
    """Let ``tensor`` take the value, and the place in the graph, of ``function(tensor, ...)``."""
    check_in_place(tensor)
    result = function(apart(tensor), *args, **kwargs)
    if result.shape != tensor.shape:
        raise RuntimeError(
            f"a Tensor of shape {tensor.shape} can't become one of {result.shape} in place"
        )
    if not np.can_cast(result.dtype, tensor.dtype, "same_kind"):
        raise RuntimeError(f"a Tensor of {tensor.dtype} can't hold a result of {result.dtype}")
    view = tensor._view
    if view is None:
        if result._node is None and tensor._keeps_its_array() and tensor._data.flags.writeable:
            tensor._data[...] = result._data
            changes.count += 1
            return tensor
        tensor._data = result._data.astype(tensor.dtype, copy=False)
    elif view.is_fixed and result._requires_grad:
        raise RuntimeError(_FIXED)
    else:
        _put(tensor, view, result._data)
    if grad_mode.enabled:  # else its place in the graph stays what it was
        if view is None or view.base is None:
            _settle(tensor, result)
        elif view.base._requires_grad or result._requires_grad:
            kept = _forget_grad(tensor)
            _settle(view.base, _put_back(view.base, _places(tensor, view.base), result))
            if kept:
                tensor.retain_grad()
    return tensor


_FIXED = (
    "a part that was taken under no_grad() can't be changed in place where gradients are recorded: "
    "take it outside, or clone() it"
)


def check_in_place(tensor: Tensor) -> None:
    """Raise RuntimeError if ``tensor`` may not be changed in place."""
    tensor._check_in_place()
    view = tensor._view
    if view is None:
        return
    _ = tensor._data  # with the values of now
    if _overlaps(view.part):
        raise RuntimeError(
            "what has been expanded or unfolded can't be changed in place where several of its "
            "elements are one: clone() it first"
        )
    if view.base is not None and grad_mode.enabled:
        view.base._check_in_place()
        if view.is_fixed and view.base._requires_grad:
            raise RuntimeError(_FIXED)


def _overlaps(part: Array) -> bool:
    """Whether two elements lie at the same place."""
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


def apart(tensor: Tensor) -> Tensor:
    """The same array at the same place in the graph, which is no part of anything."""
    result = Tensor(tensor._data)
    result._node, result._index = tensor._node, tensor._index
    result._requires_grad = tensor._requires_grad
    return result


def _put(tensor: Tensor, view: View, values: Array) -> None:
    """Give the array in which a part lies the part's new values."""
    root = _root(view)
    if root._keeps_its_array() and root._data.flags.writeable:  # others hold it, too
        view.part[...] = values
        if view.laid is not root._data:
            root._data[...] = view.laid
        changes.count += 1
    elif view.part is view.laid:
        root._data = np.array(values, tensor.dtype)
    else:
        laid = own(root._data)
        _again(view.part, view.laid, laid)[...] = values
        root._data = laid


def _put_back(base: Tensor, places: Array, part: Tensor) -> Tensor:
    """The base, which has the part's values already, with its way back."""

    def to_base(g: Array) -> Array:
        grad = own(g)
        grad.reshape(-1)[places] = 0
        return grad

    return record(base._data, "put_back", (base, to_base), (part, lambda g: g.reshape(-1)[places]))


def _settle(tensor: Tensor, result: Tensor) -> None:
    """Let ``tensor`` take the place of ``result`` in the graph."""
    kept = _forget_grad(tensor)
    _NODE.__set__(tensor, result._node)
    _INDEX.__set__(tensor, result._index)
    _REQUIRES_GRAD.__set__(tensor, result._requires_grad)
    if kept:
        tensor.retain_grad()


def _forget_grad(tensor: Tensor) -> bool:
    """Take away what ``retain_grad()`` asked for; whether it had been."""
    if tensor._node is None or not tensor._retains_grad():
        return False
    hooks, index = tensor._node.hooks or [], tensor._index
    hooks[:] = [hook for hook in hooks if hook[0] != index or not hook[2]]
    return True


def is_contiguous_view(tensor: Tensor) -> bool:
    """Whether torch's ``contiguous()`` would give the Tensor itself."""
    return tensor._view is None or _memory(tensor)[1].flags.c_contiguous
