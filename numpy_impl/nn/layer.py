"""How a layer's forward and backward, written for arrays, become part of the graph.

A class that writes both methods is a layer: its ``forward`` and ``backward`` see arrays only.
Called with arrays, it returns arrays and remembers the call, for ``backward``. Called with Tensors,
the call becomes a node of the graph.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import (
    SUPER,
    Call,
    Spec,
    check_grad,
    current_call,
    describe,
    keep,
    leaves,
    mapped,
    no_forward,
    running,
    set_call,
    within,
)
from numpy_impl.nn.checks import ARGUMENT_ERRORS, name_owner
from numpy_impl.nn.composed import backward_of_calls
from numpy_impl.nn.hooks import call_with_hooks
from numpy_impl.tensor.graph import Node
from numpy_impl.tensor.tensor import Tensor, attach, to_array

Array = np.ndarray
_ARRAY = np.ndarray
_LEAVES = (Tensor, np.ndarray)
_NOTHING: Any = object()


def _as_tensors(output: Any, found: list[Tensor]) -> Any:
    """The arrays as Tensors; those that a gradient can belong to are found."""

    if type(output) is _ARRAY and output.dtype.kind == "f":
        found.append(Tensor(output))
        return found[0]

    def wrap(value: Any) -> Tensor:
        tensor = Tensor(value)
        if tensor._data.dtype.kind == "f":
            found.append(tensor)
        return tensor

    return mapped(output, wrap)


# -- forward ---------------------------------------------------------------------------------------


def layer_call(
    forward: Callable[..., Any], backward: Callable[..., Any], with_hooks: bool, is_ours: bool
) -> Callable[..., Any]:
    """``forward`` of a layer, or with hooks its ``__call__``: in the graph if it gets Tensors.

    Args:
        forward, backward: for arrays, as its class writes them.
        with_hooks: whether to call hooks around it.
        is_ours: whether its class is of this library: ``save_for_backward`` alone keeps things.
    """

    @functools.wraps(forward)
    def call(self: Any, input: Any = _NOTHING, /, *others: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        try:
            # the most frequent case, in as few steps as can be: arrays into a layer without parts
            if (
                type(input) is _ARRAY
                and own["_is_plain"]
                and not running
                and not kwargs
                and (not others or (type(others[0]) is _ARRAY and len(others) == 1))
            ):
                own["_call"] = None
                output = forward(self, input, *others) if others else forward(self, input)
                if is_ours:
                    return output
                if own["_call"] is None and grad_mode.enabled:
                    own["_call"] = _with_attributes(self, output, None, None)
                return output if type(output) is _ARRAY else mapped(output, to_array)
            inputs = () if input is _NOTHING else (input, *others)
            # and the one after it: a Tensor, and perhaps a target, into a layer of this library
            if is_ours and isinstance(input, Tensor) and own["_is_plain"] and not kwargs:
                if not others:
                    return _call_plain(self, forward, backward, inputs, (input._data,))
                if len(others) == 1 and isinstance(others[0], _LEAVES):
                    arrays = input._data, to_array(others[0])
                    return _call_plain(self, forward, backward, inputs, arrays)
            if with_hooks and own["_hooks"] is not None:
                return call_with_hooks(self, inputs, kwargs)
            return call_any(self, forward, backward, inputs, kwargs)
        except ARGUMENT_ERRORS as error:
            if is_ours:
                name_owner(error, type(self).__name__)
            raise

    call._of_layer = forward  # type: ignore[attr-defined]
    return call


def _call_plain(
    self: Any,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: tuple[Any, ...],
    arrays: tuple[Any, ...],
) -> Any:
    """:func:`call_any` for a layer without parts that keeps things by ``save_for_backward``."""
    calls: dict[Any, Call | None] = {self: None}
    outer, within.calls = within.calls, calls
    owner, within.owner = within.owner, self
    running.append(None)
    try:
        output = forward(self, *arrays)
    finally:
        running.pop()
        within.calls, within.owner = outer, owner
    call = calls[self]
    found: list[Tensor] = []
    output = _as_tensors(output, found)
    if call is not None:
        needs = [isinstance(value, Tensor) and value._requires_grad for value in inputs]
        if True in needs or _is_trained(self, call):
            plain = backward._of_layer  # type: ignore[attr-defined]
            attach(found, _LayerNode(self, plain, call, inputs, needs, len(found), True))
    return output


def call_any(
    self: Any,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call a layer with anything: with Tensors the call becomes a node of the graph."""
    if not kwargs and all(isinstance(value, _LEAVES) for value in inputs):
        slots, arrays = inputs, tuple([to_array(value) for value in inputs])
    else:
        kwargs = _in_order(forward, kwargs)
        slots = tuple(leaves((inputs, kwargs)))
        arrays, kwargs = mapped(inputs, to_array), mapped(kwargs, to_array)
    output, call = _run(self, forward, arrays, kwargs)
    if not any(isinstance(value, Tensor) for value in slots):
        keep(self, call)
        return output
    if not self._is_ours:
        self.__dict__["_call"] = None  # what a call before kept on the layer may be gone
    found: list[Tensor] = []
    output = _as_tensors(output, found)
    if call is not None:
        needs = [isinstance(value, Tensor) and value._requires_grad for value in slots]
        if any(needs) or _is_trained(self, call):
            attach(found, _LayerNode(self, backward, call, slots, needs, len(found)))
    return output


def _in_order(forward: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments in the order of forward's own, which is that of backward's results."""
    if not kwargs:
        return kwargs
    from inspect import signature  # (a tenth of the library's import, and seldom needed)

    names = list(signature(forward).parameters)
    known = [name for name in names if name in kwargs]
    return {name: kwargs[name] for name in (*known, *kwargs)}


def _is_trained(self: Any, call: Call) -> bool:
    own = self.__dict__
    for name, kind in own["_members"].items():
        if kind == "parameter" and own[name] is not None and own[name]._requires_grad:
            return True
        if kind == "module" and any(p._requires_grad for p in self.parameters()):
            return True
    # modules that are no parts of it may be, in a plain list or elsewhere
    return bool(call.within) and any(
        _is_trained(m, c) for m, c in call.within.items() if m is not SUPER
    )


class _LayerNode(Node):
    """A layer's call in the graph: its way back is the layer's own backward, through that call."""

    __slots__ = ("call", "is_plain", "module", "places", "specs", "wanted")

    def __init__(
        self,
        module: Any,
        backward: Callable[..., Any],
        call: Call,
        slots: tuple[Any, ...],
        needs: list[bool],
        count: int,
        is_plain: bool = False,
    ) -> None:
        inputs = tuple([slots[i] for i, needed in enumerate(needs) if needed])
        super().__init__(type(module).__name__, inputs, backward, count, is_layer=True)
        self.module = _view(module) if module in within.roots else module
        self.call = call
        self.is_plain = is_plain  # then backward is as its class writes it
        # what was passed: True for arrays and Tensors, False for None; and which need a gradient
        self.places = tuple([value is not None for value in slots])
        self.wanted = tuple(needs)
        self.specs = tuple([(tensor._data.shape, tensor._data.dtype) for tensor in inputs])
        call.needs = self.wanted
        if False in self.places:
            call.needs = tuple([n for n, here in zip(needs, self.places, strict=True) if here])

    def input_grads(self, grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        module, call = self.module, self.call
        outer, owner = within.calls, within.owner
        within.calls, within.owner = {module: call}, module
        running.append(None)
        try:
            is_single = type(call.output) is Spec
            upstream = grads[0] if is_single else _rebuilt(call.output, iter(grads))
            if self.is_plain:
                result = self.way_back(module, upstream)
            else:
                result = self.way_back(module, upstream, retain_graph=retain_graph)
        finally:
            running.pop()
            within.calls, within.owner = outer, owner
        if not self.inputs:
            return []
        if type(result) is _ARRAY and len(self.inputs) == 1 and self.wanted[0]:
            return [_checked(self.name, result, self.specs[0])]
        found = list(leaves(result)) if isinstance(result, tuple | list) else [result]
        if len(found) != len(self.wanted):
            # None is passed over; and one gradient alone is the first input's
            wanted = [w for w, here in zip(self.wanted, self.places, strict=True) if here]
            wanted = wanted if isinstance(result, tuple | list) or any(wanted[1:]) else wanted[:1]
        else:
            wanted = list(self.wanted)
        if len(found) != len(wanted):
            raise RuntimeError(
                f"{self.name}: backward returned {len(found)} gradients for {sum(self.places)} "
                f"array inputs, of which {len(self.inputs)} require one: detach() those that are "
                "constants"
            )
        chosen = [grad for grad, needed in zip(found, wanted, strict=True) if needed]
        return [_checked(self.name, g, s) for g, s in zip(chosen, self.specs, strict=True)]

    def run(self, grads: list[Array | None], retain_graph: bool) -> Any:
        pairs = super().run(grads, retain_graph)
        if not retain_graph:
            del self.call, self.module
        return pairs


def _view(self: Any) -> Any:
    """The same module without its last call.

    That will have the node: if the node knew the module itself, each would keep the other alive.
    """
    view = object.__new__(type(self))
    view.__dict__.update(self.__dict__, _call=None)
    return view


def _checked(name: str, grad: Any, input: tuple[tuple[int, ...], np.dtype]) -> Array | None:
    """A gradient that a layer's backward returned, in the dtype of the input."""
    if grad is None:
        return None
    shape, dtype = input
    if grad.shape != shape:
        raise RuntimeError(
            f"{name}: backward returned a gradient of shape {grad.shape} for an input of shape "
            f"{shape}"
        )
    return grad if grad.dtype == dtype else np.asarray(grad, dtype)


def _rebuilt(spec: Any, grads: Iterator[Array | None]) -> Any:
    """The gradients of a node's outputs in the structure that forward returned."""
    if spec is None or isinstance(spec, Spec):
        return None if spec is None else next(grads)
    if isinstance(spec, dict):
        return {key: _rebuilt(part, grads) for key, part in spec.items()}
    return tuple(_rebuilt(part, grads) for part in spec)


def _run(
    self: Any, forward: Callable[..., Any], inputs: Any, kwargs: Any
) -> tuple[Any, Call | None]:
    """What forward makes of arrays, and what backward needs."""
    calls: dict[Any, Call | None] = {self: None}
    outer, owner = within.calls, within.owner
    lock = None if self._is_ours else _lock(self)
    within.calls, within.owner = calls, self
    running.append(None)  # appending and popping are atomic
    try:
        output = forward(self, *inputs, **kwargs)
        if type(output) is not _ARRAY:  # a Parameter in its arithmetic makes Tensors
            output = mapped(output, to_array)
        call = calls.pop(self)
        if not grad_mode.enabled:
            return output, None
        if call is None or not self._is_ours:
            call = _with_attributes(self, output, call, calls.get(SUPER))
        call.within = calls  # type: ignore[assignment]
        return output, call
    finally:
        running.pop()
        within.calls, within.owner = outer, owner
        if lock is not None:
            lock.release()


def _lock(self: Any) -> Any:
    """Taken: of a layer that may keep what it needs on itself, where another thread's call may."""
    own = self.__dict__
    lock = own.get("_lock") or own.setdefault("_lock", threading.RLock())
    lock.acquire()
    return lock


def _with_attributes(self: Any, output: Any, call: Call | None, base: Call | None) -> Call:
    """The call of a layer that may keep what it needs on itself."""
    if call is None:
        call = Call()
        call.output = describe(output)
        if base is not None:  # what super().forward(...) saved
            call.saved = base.saved
    members = self._members
    call.attributes = {
        k: v for k, v in self.__dict__.items() if k not in OF_EVERY_MODULE and k not in members
    }
    return call


OF_EVERY_MODULE = frozenset(
    (
        "_call",
        "_hooks",
        "_is_plain",
        "_lock",
        "_members",
        "_non_persistent",
        "_wants_grad",
    )
)

# -- backward --------------------------------------------------------------------------------------


def layer_backward(backward: Callable[..., Any], overrides: bool) -> Callable[..., Any]:
    """``backward`` of a layer: its own, through the call it belongs to, which it then forgets.

    Args:
        backward: as the class writes it.
        overrides: whether that of another layer, which ``super().backward(...)`` may call.
    """

    @functools.wraps(backward)
    def guarded(self: Any, *grad_output: Any, retain_graph: bool = False, **kwargs: Any) -> Any:
        own = self.__dict__
        call = current_call(self) if running else own["_call"]
        if call is None:
            raise RuntimeError(no_forward(self))
        if call.is_running:  # by super().backward(...): the outer one does the rest
            calls = within.calls
            base = calls.get(SUPER) if calls else None
            if base is None:
                return backward(self, *grad_output, **kwargs)
            calls[SUPER] = base.previous  # type: ignore[index]
            return _through(self, backward, base, grad_output, kwargs, retain_graph)
        if own["_is_plain"] and grad_output and not overrides and call.attributes is None:
            result = backward(self, *grad_output, **kwargs)
            if type(result) is not _ARRAY:
                result = mapped(result, to_array)
        elif call.inputs is not None:  # made of calls by a forward of this object's own
            grad = grad_output[0] if grad_output else kwargs.get("grad_output")
            return backward_of_calls(self, grad, retain_graph)
        else:
            result = _through(self, backward, call, grad_output, kwargs, retain_graph)
        if not retain_graph:
            if running:
                set_call(self, call.previous)
            else:
                own["_call"] = call.previous
        return result

    guarded._of_layer = backward  # type: ignore[attr-defined]
    return guarded


def _through(
    self: Any,
    backward: Callable[..., Any],
    call: Call,
    grad_output: tuple[Any, ...],
    kwargs: Any,
    retain_graph: bool,
) -> Any:
    """A layer's backward with its attributes, and the calls within, as its forward left them."""
    own = self.__dict__
    grad_output = mapped(grad_output, to_array)
    if call.attributes is not None and len(grad_output) == 1 and not _is_number(grad_output[0]):
        name = f"{type(self).__name__}: grad_output"
        grad_output = (check_grad(grad_output[0], call.output, name),)
    lock = None if self._is_ours else _lock(self)
    attributes = call.attributes or {}
    now = {name: own.get(name, own) for name in attributes}  # own itself: not there
    own.update(attributes)
    outer, owner, retains = within.calls, within.owner, within.retains
    within.calls, within.owner = {**call.within, self: call}, self
    within.retains = retains or retain_graph
    running.append(None)
    call.is_running = True
    try:
        result = mapped(backward(self, *grad_output, **kwargs), to_array)
    finally:
        call.is_running = False
        running.pop()
        within.calls, within.owner, within.retains = outer, owner, retains
        for name, value in now.items():
            if own.get(name, own) is attributes[name]:  # what backward itself set stays
                own[name] = value
                if value is own:
                    del own[name]
        if lock is not None:
            lock.release()
    return result


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)
