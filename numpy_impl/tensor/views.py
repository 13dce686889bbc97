"""Changes in place, and parts of a Tensor: what torch makes a view of.

A part (``x[0]``, ``x.T``, ``x.view(...)``, ``x.detach()``) has values of its own, so that nothing
which was computed from them ever becomes wrong, but behaves as a view: it knows its place in the
:class:`Memory` that it has in common with the Tensor that it was taken from. Changed in place, it
puts its new values there. Then all others that lie there forget theirs, and their place in the
graph, until somebody looks: a Tensor without them asks its :class:`View`.
"""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.tensor.graph import Operation
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array

_Self = TypeVar("_Self", bound=Tensor)
_lock = threading.RLock()

if hasattr(os, "register_at_fork"):  # not while another thread is in: a child could never go on
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


class Memory:
    """The array that several Tensors lie in.

    Args:
        root: the first of them, all of it.

    Attributes:
        array: in C order.
        is_held: whether others hold the array, too, as an optimizer does: it is then changed in
            place, and otherwise replaced by one that has changed.
        tensors: weak references to all that lie in it.
    """

    __slots__ = ("__weakref__", "array", "is_held", "limit", "tensors")

    def __init__(self, root: Tensor) -> None:
        array, keeps = root._data, root._keeps_its_array()
        if not array.flags.c_contiguous or (keeps and not array.flags.writeable):
            root._data = array = own(array)
        self.array, self.is_held = array, False
        self.tensors: list[ref[Tensor]] = []
        self.limit = 16
        if keeps:
            self.hold()
        self.add(root, View(self, None, array), array)

    def add(self, tensor: Tensor, view: "View", array: Array) -> bool:
        """Let ``tensor`` lie here; False if that is no longer the array that it was taken from."""
        with _lock:
            if self.array is not array:
                return False
            if len(self.tensors) >= self.limit:
                self.tensors = [weak for weak in self.tensors if weak() is not None]
                self.limit = 2 * len(self.tensors) + 16
            self.tensors.append(ref(tensor))
            tensor._view = view
            return True

    def hold(self) -> None:
        """From now on change the array in place."""
        if not self.is_held:
            if not self.array.flags.writeable:
                self.replace(own(self.array))
            self.is_held = True
            _held[:] = [weak for weak in _held if weak() is not None]
            _held.append(ref(self))

    def replace(self, array: Array) -> None:
        """Lie in another array from now on."""
        self.forget(is_replaced=True)
        self.array = array

    def forget(self, is_replaced: bool = False) -> None:
        """Let all look again for their values."""
        for tensor, view in self._here():
            if is_replaced:
                view.leave()
            if view.has_values and (is_replaced or not view.is_alias):
                view.has_values = False
                del tensor._data

    def forget_origins(self, base: Tensor) -> None:
        """Let all parts of ``base`` look again for their places in the graph."""
        for tensor, view in self._here():
            if view.base is base and view.has_origin and not view.is_fixed:
                view.forget_origin(tensor)

    def _here(self) -> Iterator[tuple[Tensor, "View"]]:
        for weak in self.tensors:
            tensor = weak()
            view = None if tensor is None else tensor._view
            if tensor is not None and view is not None and view.memory is self:
                yield tensor, view


_held: list[ref[Memory]] = []


def arrays_changed() -> None:
    """Arrays that others hold were changed, by an optimizer's step or by loading."""
    for weak in tuple(_held):
        memory = weak()
        if memory is not None:
            with _lock:
                memory.forget()


class View:
    """Where a Tensor lies.

    Args:
        memory: it lies there.
        base: the Tensor from which its way back through the graph starts; None for one that has a
            place of its own: the first in its memory, one that was detached, a leaf.
        part: of the memory's array, as a NumPy view.

    Attributes:
        is_fixed: whether it was taken under ``no_grad()``, which leaves it outside the graph.
        is_alias: whether its values are those in memory, not a copy.
        has_values, has_origin: whether the Tensor has values, and a place in the graph, of now.
    """

    __slots__ = (
        "_part",
        "_place",
        "base",
        "has_origin",
        "has_values",
        "is_alias",
        "is_fixed",
        "memory",
        "retains_grad",
    )

    def __init__(self, memory: Memory, base: Tensor | None, part: Array) -> None:
        self.memory, self.base = memory, base
        self._part: Array | None = part
        self._place: tuple[Any, ...] | None = None
        self.is_fixed = base is not None and not grad_mode.enabled
        self.is_alias = part is memory.array
        self.has_values = self.has_origin = True
        self.retains_grad = False

    @property
    def part(self) -> Array:
        """The part of the memory's array, as a NumPy view."""
        part = self._part
        if part is None:
            with _lock:
                array, place = self.memory.array, self.place
                is_all = self.is_alias and place == (array.shape, array.dtype, 0, array.strides)
                self._part = part = array if is_all else _part_of(array, place)
        return part

    @property
    def place(self) -> tuple[Any, ...]:
        """Shape, dtype, and how many bytes behind the array's first its elements lie."""
        if self._place is None:
            with _lock:
                part = self.part
                start: int = part.__array_interface__["data"][0]
                start -= self.memory.array.__array_interface__["data"][0]
                self._place = part.shape, part.dtype, start, part.strides
        return self._place

    def now(self) -> tuple[Array, Array]:
        """The memory's array, and the part of it."""
        with _lock:
            return self.memory.array, self.part

    def leave(self) -> None:
        """Forget the array, not the place in it."""
        if self._part is not None:
            _ = self.place
            self._part = None

    def place_in(self, base: Tensor) -> tuple[Any, Any]:
        """The place of a part and, unless that is all there is, of its base."""
        whole = view_of(base)
        return self.place, None if whole.part is self.memory.array else whole.place

    def renewed(self, tensor: Tensor, name: str) -> Any:
        """The attribute of a Tensor that has forgotten it."""
        with _lock:
            if not self.has_values:
                tensor._data = self.part if self.is_alias else own(self.part)
                self.has_values = True
            if not self.has_origin:
                self.has_origin = True
                self._renew_origin(tensor)
            return object.__getattribute__(tensor, name)

    def forget_origin(self, tensor: Tensor) -> None:
        self.retains_grad = _forget_grad(tensor)
        self.has_origin = False
        del tensor._node, tensor._index, tensor._requires_grad

    def _renew_origin(self, tensor: Tensor) -> None:
        """Let a part come from where its base does now."""
        base = self.base
        if base is None or base._node is None:
            tensor._node, tensor._index, tensor._requires_grad = None, 0, False
            return
        place, shape = self.place_in(base), base.shape

        def backward(g: Array) -> Array:
            grad = np.zeros(shape, g.dtype)
            # an element may be there several times
            np.add.at(grad.reshape(-1), _numbers(*place), g)
            return grad

        tensor._node, tensor._index = Operation("part", (base,), (backward,)), 0
        tensor._requires_grad = True
        if self.retains_grad:
            tensor.retain_grad()

    def become_leaf(self, tensor: Tensor) -> None:
        """The Tensor, a leaf, may be trained in place if it requires a gradient now."""
        with _lock:
            if not tensor._keeps_its_array():
                self.memory.is_held = False
            elif not (self.is_alias and self.memory.is_held):
                self.memory.hold()
                self.base, self.is_alias, self.has_values = None, True, False
                self.renewed(tensor, "_data")


def _part_of(array: Array, place: tuple[Any, ...]) -> Array:
    shape, dtype, offset, strides = place
    part: Array = np.ndarray(shape, dtype, array, offset, strides)
    return part


def _numbers(place: tuple[Any, ...], whole: tuple[Any, ...] | None = None) -> Array:
    """The number, in C order, that each element at a place has in the memory, or in a whole."""
    shape, dtype, offset, strides = place
    numbers: Array = np.array(offset)
    for n, step in zip(shape, strides, strict=True):
        numbers = numbers[..., None] + np.arange(n) * step
    numbers = numbers // dtype.itemsize
    if whole is not None:
        others = _numbers(whole).reshape(-1)
        order = np.argsort(others)
        numbers = np.asarray(order[np.searchsorted(others, numbers, sorter=order)])
    return numbers


# -- taking parts ----------------------------------------------------------------------------------


def own(array: Array) -> Array:
    """A copy in C order, which keeps what is computed from it fast."""
    return np.array(array, order="C")


def forgotten(self: Tensor, name: str) -> Any:
    """A Tensor's ``__getattr__``: what a part has forgotten since another one was changed."""
    if name in ("_data", "_node", "_index", "_requires_grad") and self._view is not None:
        return self._view.renewed(self, name)
    message = f"{type(self).__name__!r} object has no attribute {name!r}"
    raise AttributeError(message, name=name, obj=self)


def view_of(tensor: Tensor) -> View:
    """Where a Tensor lies."""
    if tensor._view is None:
        with _lock:
            if tensor._view is None:  # nor has another thread done it
                Memory(tensor)
    view = tensor._view
    assert view is not None
    return view


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
    view = view_of(input)
    array, whole = view.now()
    part, shape = take(whole), whole.shape
    # (the first is sooner found)
    is_part = (part.base is (array if array.base is None else array.base)) or (
        np.may_share_memory(part, array)
    )

    def filled(g: Array) -> Array:
        grad = np.zeros(shape, g.dtype)
        take(grad)[...] = g
        return grad

    result = record(own(part) if is_part else part, name, (input, backward or filled))
    if is_part and part.size:
        place = View(view.memory, input if view.base is None else view.base, part)
        place.is_fixed |= view.is_fixed
        if not view.memory.add(result, place, array):  # another thread has changed it meanwhile
            return viewed(input, name, take, backward)
    return result


def detached(input: Tensor, take: Callable[[Array], Array] | None = None) -> Tensor:
    """The same values, or ``take`` of them, outside the graph."""
    view = view_of(input)
    array, part = view.now()
    if take is None:
        values = part if part is array else input._data
    else:
        part = take(part)
        values = own(part)
    result = Tensor(values)
    if values.size and not view.memory.add(result, View(view.memory, None, part), array):
        return detached(input, take)
    return result


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
            return tensor
        tensor._data = result._data.astype(tensor.dtype, copy=False)
    elif view.is_fixed and result._requires_grad:
        raise RuntimeError(_FIXED)
    else:
        _put(tensor, view, result)
    if grad_mode.enabled:  # else its place in the graph stays what it was
        if view is None or view.base is None:
            _settle(tensor, result)
        elif view.base._requires_grad or result._requires_grad:
            _settle(view.base, _put_back(view.base, view, result))
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
    if _overlaps(view.part):
        raise RuntimeError(
            "what has been expanded or unfolded can't be changed in place where several of its "
            "elements are one: clone() it first"
        )
    if view.base is not None and grad_mode.enabled:
        view.base._check_in_place()
        if view.is_fixed and view.base._requires_grad:
            raise RuntimeError(_FIXED)
    if not view.is_alias:  # also what NumPy has written since
        with _lock:
            tensor._data, view.has_values = own(view.part), True


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


def _put(tensor: Tensor, view: View, result: Tensor) -> None:
    """Give the memory the new values of the Tensor that lies there."""
    memory = view.memory
    with _lock:
        # what the way back needs of the old values must not be overwritten
        if memory.is_held and result._node is None:
            view.part[...] = result._data
            memory.forget()
        elif view.part is memory.array:
            memory.replace(np.array(result._data, tensor.dtype, order="C"))
        else:
            array = own(memory.array)
            _part_of(array, view.place)[...] = result._data
            memory.replace(array)


def _put_back(base: Tensor, view: View, part: Tensor) -> Tensor:
    """The base, which has the part's values already, with its way back."""
    numbers = _numbers(*view.place_in(base))

    def to_base(g: Array) -> Array:
        grad = own(g)
        grad.reshape(-1)[numbers] = 0
        return grad

    return record(base._data, "put_back", (base, to_base), (part, lambda g: g.reshape(-1)[numbers]))


def _settle(tensor: Tensor, result: Tensor) -> None:
    """Let ``tensor`` take the place of ``result`` in the graph, and its parts come from there."""
    retains_grad = _forget_grad(tensor)
    if tensor._view is not None:
        tensor._view.memory.forget_origins(tensor)
    tensor._node, tensor._index = result._node, result._index
    tensor._requires_grad = result._requires_grad
    if retains_grad:
        tensor.retain_grad()


def _forget_grad(tensor: Tensor) -> bool:
    """Take away what ``retain_grad()`` asked for; whether it had been."""
    if tensor._node is None or not tensor._retains_grad():
        return False
    hooks, index = tensor._node.hooks or [], tensor._index
    hooks[:] = [hook for hook in hooks if hook[0] != index or not hook[2]]
    return True


def is_contiguous(tensor: Tensor) -> bool:
    """Whether the elements lie in C order in memory, one behind the other."""
    return tensor._view is None or tensor._view.part.flags.c_contiguous
