"""Changes in place, and parts of a Tensor: what torch makes a view of.

A part (``x[0]``, ``x.T``, ``x.view(...)``, ``x.detach()``) has values of its own, so that nothing
which was computed from them ever becomes wrong, but behaves as a view: it knows its place in the
:class:`Memory` that it has in common with the Tensor that it was taken from. Changed in place, it
puts its new values there. Then all others that lie there forget theirs, and their place in the
graph, until somebody looks: a Tensor without them asks its :class:`View`.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.tensor.graph import Node, Operation, changing
from numpy_impl.tensor.place import Place, overlaps, own, part_of
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array

_Self = TypeVar("_Self", bound=Tensor)
_SLOTS = ("_data", "_node", "_index", "_requires_grad")  # what a part may forget


class Memory:
    """The array that several Tensors lie in.

    Args:
        root: the first of them, all of it.

    Attributes:
        array: in C order.
        is_held: whether others hold the array, too, as an optimizer does: it is then changed in
            place, and otherwise replaced by one that has changed.
        aliases: weak references to the Tensors whose array is this one, or a view of it.
        copies: the same of those that have a copy of their part, as it is now.
    """

    __slots__ = (
        "__weakref__",
        "aliases",
        "array",
        "copies",
        "is_held",
        "is_looked_at",
        "limit",
    )

    def __init__(self, root: Tensor) -> None:
        array, self.is_held = root._data, root._keeps_its_array()
        if not array.flags.c_contiguous or (self.is_held and not array.flags.writeable):
            root._data = array = own(array)
        self.array = array
        self.aliases: list[ref[Tensor]] = []
        self.copies: list[ref[Tensor]] = []
        self.limit, self.is_looked_at = 16, False
        self.add(root, View(self, None, array), array)

    def add(self, tensor: Tensor, view: "View", array: Array) -> bool:
        """Let ``tensor`` lie here; False if that is no longer the array that it was taken from."""
        with changing:
            if self.array is not array:
                return False
            tensor._view = view
            self.note(tensor, view)
            return True

    def note(self, tensor: Tensor, view: "View") -> None:
        """The values of ``tensor`` are those of now."""
        if self.is_held and not (view.is_alias or self.is_looked_at):
            self.is_looked_at = True
            _looked_at.append(ref(self))
        if len(self.aliases) + len(self.copies) >= self.limit:
            self.aliases = [weak for weak in self.aliases if weak() is not None]
            self.copies = [weak for weak in self.copies if weak() is not None]
            self.limit = 2 * (len(self.aliases) + len(self.copies)) + 16
        (self.aliases if view.is_alias else self.copies).append(ref(tensor))

    def replace(self, array: Array) -> None:
        """Lie in another array from now on."""
        with changing:
            self.forget()
            aliases, self.aliases = self.aliases, []
            self._let_forget(aliases)
            self.array = array

    def forget(self) -> None:
        """Let all that have copies look again."""
        with changing:
            copies, self.copies = self.copies, []
            self._let_forget(copies)

    def _let_forget(self, tensors: "list[ref[Tensor]]") -> None:
        for weak in tensors:
            tensor = weak()
            view = None if tensor is None else tensor._view
            if tensor is not None and view is not None and view.memory is self:
                view.forget(tensor)

    def hold(self) -> None:
        """From now on change the array in place; what has saved the present one is to keep it."""
        if not self.is_held:
            self.replace(own(self.array))
            self.is_held = True

    def release(self) -> None:
        """From now on replace the array, unless a leaf is still trained here."""
        tensors = [weak() for weak in self.aliases]
        self.is_held = any(tensor._keeps_its_array() for tensor in tensors if tensor is not None)


# memories that others hold, in which somebody has looked at a part since the last change
_looked_at: list[ref[Memory]] = []


def arrays_changed() -> None:
    """Arrays that others hold were changed, by an optimizer's step or by loading."""
    with changing:
        memories, _looked_at[:] = list(_looked_at), []
        for weak in memories:
            memory = weak()
            if memory is not None:
                memory.is_looked_at = False
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
        has_values: whether the Tensor has not forgotten them.
        origin: where the base came from when that was looked at last.
        forgotten: its own place in the graph then.
    """

    __slots__ = (
        "_part",
        "_place",
        "base",
        "forgotten",
        "has_values",
        "is_alias",
        "is_fixed",
        "memory",
        "origin",
    )

    def __init__(self, memory: Memory, base: Tensor | None, part: Array) -> None:
        self.memory, self.base = memory, base
        self._part: Array | None = part
        self._place: tuple[Any, ...] | None = None
        self.is_fixed = base is not None and not grad_mode.enabled
        self.is_alias = part is memory.array
        self.has_values = True
        self.origin = _origin(base)
        self.forgotten: Any = None

    @property
    def part(self) -> Array:
        """The part of the memory's array, as a NumPy view."""
        part = self._part
        if part is None:
            with changing:
                array, place = self.memory.array, self.place
                is_all = self.is_alias and place == (array.shape, array.dtype, 0, array.strides)
                part = array if is_all else part_of(array, place)
                if self.has_values:  # else nobody says when it is an old one
                    self._part = part
        return part

    @property
    def place(self) -> tuple[Any, ...]:
        """Shape, dtype, and how many bytes behind the array's first its elements lie."""
        if self._place is None:
            with changing:
                part = self.part
                start: int = part.__array_interface__["data"][0]
                start -= self.memory.array.__array_interface__["data"][0]
                self._place = part.shape, part.dtype, start, part.strides
        return self._place

    def now(self) -> tuple[Array, Array]:
        """The memory's array, and the part of it."""
        with changing:
            return self.memory.array, self.part

    def place_in(self, base: Tensor) -> "Place":
        """The place of a part in its base."""
        whole = view_of(base)
        is_all = whole.part is self.memory.array
        return Place(base.shape, self.place, None if is_all else whole.place)

    def forget(self, tensor: Tensor) -> None:
        """Keep the place in memory, no array, and let the Tensor look again."""
        if self.has_values:
            _ = self.place
            if self.base is not None:
                self.forgotten = tensor._node, tensor._index, tensor._requires_grad
                del tensor._node, tensor._index, tensor._requires_grad
            self._part, self.has_values = None, False
            del tensor._data

    def renewed(self, tensor: Tensor, name: str) -> Any:
        """The attribute of a Tensor that has forgotten it."""
        with changing:
            if not self.has_values:
                if self.forgotten is not None:
                    self._find_origin(tensor)
                tensor._data = self.part if self.is_alias else own(self.part)
                self.memory.note(tensor, self)
                self.forgotten, self.has_values = None, True
            return object.__getattribute__(tensor, name)

    def _find_origin(self, tensor: Tensor) -> None:
        """Let a part come from where its base does now; where it did, unless that has changed."""
        base, origin = self.base, _origin(self.base)
        node, index, requires_grad = self.forgotten
        retains_grad = False
        if base is not None and not self.is_fixed and origin != self.origin and origin[2]:
            if node is not None:
                retains_grad = forget_grad(node, index)
            place = self.place_in(base)
            node, index, requires_grad = Operation("part", (base,), (place.put,)), 0, True
        self.origin = origin
        tensor._node, tensor._index, tensor._requires_grad = node, index, requires_grad
        if retains_grad:
            tensor.retain_grad()

    def become_leaf(self, tensor: Tensor) -> None:
        """The Tensor has become a leaf that may be trained in place, or is none any more."""
        with changing:
            if not tensor._keeps_its_array():
                self.memory.release()
            elif not (self.is_alias and self.memory.is_held):
                self.memory.hold()
                _ = tensor._data
                self.base, self.is_alias = None, True
                tensor._data = self.part
                self.memory.note(tensor, self)
            self.memory.forget()  # what was taken of it may have a gradient now

    def written(self, values: Array) -> None:
        """NumPy has written ``values`` into the Tensor's array."""
        with changing:
            if self.is_alias:
                self.memory.forget()
            else:
                put(self, values, self.memory.is_held)


def written(*values: Any) -> None:
    """NumPy has written into the arrays of those that are Tensors."""
    views = [v._view for v in values if isinstance(v, Tensor) and v._view is not None]
    arrays = [v._data for v in values if isinstance(v, Tensor) and v._view is not None]
    for view, array in zip(views, arrays, strict=True):
        view.written(array)


def _origin(base: Tensor | None) -> tuple[Any, int, bool]:
    return (None, 0, False) if base is None else (base._node, base._index, base._requires_grad)


# -- taking parts ----------------------------------------------------------------------------------


def forgotten(self: Tensor, name: str) -> Any:
    """A Tensor's ``__getattr__``: what a part has forgotten since another one was changed."""
    if name in _SLOTS and self._view is not None:
        return self._view.renewed(self, name)
    message = f"{type(self).__name__!r} object has no attribute {name!r}"
    raise AttributeError(message, name=name, obj=self)


def keep_forgotten(cls: type[Tensor], /, **kwargs: Any) -> None:
    """A Tensor's ``__init_subclass__``: a subclass may have a ``__getattr__`` of its own."""
    super(Tensor, cls).__init_subclass__(**kwargs)
    own_way = vars(cls).get("__getattr__")
    if own_way is not None:
        cls.__getattr__ = lambda self, name: (  # type: ignore[attr-defined]
            forgotten(self, name) if name in _SLOTS else own_way(self, name)
        )


def view_of(tensor: Tensor) -> View:
    """Where a Tensor lies."""
    if tensor._view is None:
        with changing:
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
        # what the way back needs of the old values must not be overwritten
        put(view, result._data, view.memory.is_held and result._node is None)
    if grad_mode.enabled:  # else its place in the graph stays what it was
        if view is None or view.base is None:
            _settle(tensor, result)
        elif view.base._requires_grad or result._requires_grad:
            base, place = view.base, view.place_in(view.base)
            _settle(base, record(base._data, "put_back", (base, place.clear), (result, place.take)))
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
    if overlaps(view.part):
        raise RuntimeError(
            "what has been expanded or unfolded can't be changed in place where several of its "
            "elements are one: clone() it first"
        )
    if view.base is not None and grad_mode.enabled:
        view.base._check_in_place()
        if view.is_fixed and view.base._requires_grad:
            raise RuntimeError(_FIXED)
    if not view.is_alias:  # also what NumPy has written since
        with changing:
            _ = tensor._data
            tensor._data = own(view.part)


def apart(tensor: Tensor) -> Tensor:
    """The same array at the same place in the graph, which is no part of anything."""
    result = Tensor(tensor._data)
    result._node, result._index = tensor._node, tensor._index
    result._requires_grad = tensor._requires_grad
    return result


def put(view: View, values: Array, in_place: bool) -> None:
    """Give the memory the new values of the Tensor that lies there."""
    memory = view.memory
    with changing:
        if in_place:
            view.part[...] = values
            memory.forget()
        elif view.part is memory.array:
            memory.replace(np.array(values, memory.array.dtype, order="C"))
        else:
            array = own(memory.array)
            part_of(array, view.place)[...] = values
            memory.replace(array)


def _settle(tensor: Tensor, result: Tensor) -> None:
    """Let ``tensor`` take the place of ``result`` in the graph."""
    node, index = tensor._node, tensor._index
    retains_grad = node is not None and forget_grad(node, index)
    tensor._node, tensor._index = result._node, result._index
    tensor._requires_grad = result._requires_grad
    if retains_grad:
        tensor.retain_grad()


def forget_grad(node: Node, index: int) -> bool:
    """Take away what ``retain_grad()`` asked for; whether it had been."""
    hooks = node.hooks or []
    others = [hook for hook in hooks if hook[0] != index or not hook[2]]
    is_asked = len(others) < len(hooks)
    hooks[:] = others
    return is_asked


def is_contiguous(tensor: Tensor) -> bool:
    """Whether the elements lie in C order in memory, one behind the other."""
    return tensor._view is None or tensor._view.part.flags.c_contiguous
