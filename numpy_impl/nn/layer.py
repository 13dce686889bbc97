"""How a layer's forward and backward, written for arrays, become part of the graph.

A class that writes both methods is a layer: its ``forward`` and ``backward`` see arrays only.
Called with arrays, it returns arrays and remembers the call, for ``backward``. Called with Tensors,
the call becomes a node of the graph. A class that writes ``forward`` alone is made of calls:
Tensors go through it, and the graph has its backward.

What a call keeps is a :class:`Call`, so that a layer may be called any number of times before any
backward. Calls within the forward of another layer belong to that one's call, and while its
backward runs they are their modules' last calls: in that thread only (``current_call``).
"""

import functools
import inspect
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from weakref import ref

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.tensor.graph import Node, run_backward
from numpy_impl.tensor.tensor import Tensor, attach, to_array

Array = np.ndarray


class Call:
    """What one call of a module keeps for backward.

    Attributes:
        output: shape and dtype of what forward returned, in its structure.
        saved: what the layer handed to ``save_for_backward``.
        needs: for each array input whether it needs a gradient; None: as the module says.
        within: the last call of each module that a layer's forward called with arrays.
        attributes: those of a layer that may keep what it needs on itself.
        inputs: the Tensors of a module that is made of calls, whose ``output`` has Tensors, too.
        previous: the call before, within one forward of a layer that calls this one several times.
        is_running: whether a backward goes through it just now.
    """

    output: Any = None
    saved: tuple = ()
    needs: tuple[bool, ...] | None = None
    within: "dict[Any, Call]" = {}  # noqa: RUF012 (never changed)
    attributes: dict[str, Any] | None = None
    inputs: Any = None
    previous: "Call | None" = None
    is_running = False


class _Within(threading.local):
    """While a layer's forward or backward runs in the graph or within another layer's:

    the last call of each module in it, the layer itself, and whether its backward keeps the graph.
    And the modules whose calls with arrays, made of calls, are under way.
    """

    calls: "dict[Any, Call | None] | None" = None
    owner: Any = None
    retains = False
    roots: tuple = ()


_within = _Within()
# one entry for each of them that runs now, in any thread; empty nearly always
running: list[None] = []
# the key, in place of its module, of what super().forward(...) did
_SUPER = "super"
_ARRAY = np.ndarray
_LEAVES = (Tensor, np.ndarray)


class Spec(NamedTuple):
    """What the gradient of an output must look like."""

    shape: tuple[int, ...]
    dtype: np.dtype


_new_tuple: Any = tuple.__new__

# -- structures of inputs and outputs --------------------------------------------------------------


def describe(output: Any) -> Any:
    """Shape and dtype of each array in ``output``, None for arrays that are not floating-point."""
    if type(output) is _ARRAY and output.dtype.kind == "f":
        return _new_tuple(Spec, (output.shape, output.dtype))  # half the time of Spec(...)
    if isinstance(output, tuple | list):
        return tuple(describe(part) for part in output)
    if isinstance(output, dict):
        return {key: describe(part) for key, part in output.items()}
    output = to_array(output)
    if not isinstance(output, np.ndarray | np.generic) or output.dtype.kind != "f":
        return None
    return Spec(output.shape, output.dtype)


def leaves(value: Any) -> Iterator[Any]:
    """The arrays, Tensors and Nones within tuples, lists and dicts."""
    if value is None or isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """The same structure with each array and Tensor replaced."""
    if isinstance(value, Tensor | np.ndarray):
        return function(value)
    if isinstance(value, tuple | list):
        parts = [mapped(part, function) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: mapped(part, function) for key, part in value.items()}
    return function(np.asarray(value)) if isinstance(value, np.generic) else value


def _as_tensors(output: Any, found: list[Tensor]) -> Any:
    """The arrays as Tensors; those that a gradient can belong to are found."""

    def wrap(value: Any) -> Tensor:
        tensor = Tensor(value)
        if tensor._data.dtype.kind == "f":
            found.append(tensor)
        return tensor

    return wrap(output) if type(output) is _ARRAY else mapped(output, wrap)


# -- forward ---------------------------------------------------------------------------------------


def layer_call(
    forward: Callable[..., Any], backward: Callable[..., Any], with_hooks: bool
) -> Callable[..., Any]:
    """``forward`` of a layer, or with hooks its ``__call__``: in the graph if it gets Tensors."""

    @functools.wraps(forward)
    def call(self: Any, *inputs: Any, **kwargs: Any) -> Any:
        own = self.__dict__
        # the most frequent case, in as few steps as can be: arrays into a layer without parts
        if (
            inputs
            and type(inputs[0]) is _ARRAY is type(inputs[-1])
            and own["_is_plain"]
            and len(inputs) < 3
            and not kwargs
            and not running
        ):
            own["_call"] = None
            output = forward(self, *inputs)
            if own["_call"] is None and grad_mode.enabled:
                own["_call"] = _with_attributes(self, output, None, None)
            return output if type(output) is _ARRAY else mapped(output, to_array)
        if with_hooks and own["_hooks"] is not None:
            return call_with_hooks(self, inputs, kwargs)
        return call_any(self, forward, backward, inputs, kwargs)

    call._of_layer = forward  # type: ignore[attr-defined]
    return call


def call_any(
    self: Any,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: tuple,
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
    names = list(inspect.signature(forward).parameters)
    known = [name for name in names if name in kwargs]
    return {name: kwargs[name] for name in (*known, *kwargs)}


def _is_trained(self: Any, call: Call) -> bool:
    parameters = self.parameters() if self._modules else self._parameters.values()
    if any(p is not None and p._requires_grad for p in parameters):
        return True  # else modules that are no parts of it may be, in a plain list or elsewhere
    return any(_is_trained(m, c) for m, c in call.within.items() if m is not _SUPER)


class _LayerNode(Node):
    """A layer's call in the graph: its way back is the layer's own backward, through that call."""

    __slots__ = ("call", "module", "places", "specs", "wanted")

    def __init__(
        self,
        module: Any,
        backward: Callable[..., Any],
        call: Call,
        slots: tuple,
        needs: list[bool],
        count: int,
    ) -> None:
        inputs = tuple([slots[i] for i, needed in enumerate(needs) if needed])
        super().__init__(type(module).__name__, inputs, backward, count, is_layer=True)
        self.module = _view(module) if module in _within.roots else module
        self.call = call
        # what was passed: True for arrays and Tensors, False for None; and which need a gradient
        self.places = tuple([value is not None for value in slots])
        self.wanted = tuple(needs)
        self.specs = tuple([Spec(tensor._data.shape, tensor._data.dtype) for tensor in inputs])
        call.needs = tuple([n for n, here in zip(needs, self.places, strict=True) if here])

    def input_grads(self, grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        module, call = self.module, self.call
        outer, owner = _within.calls, _within.owner
        _within.calls, _within.owner = {module: call}, module
        running.append(None)
        try:
            is_single = type(call.output) is Spec
            upstream = grads[0] if is_single else _rebuilt(call.output, iter(grads))
            result = self.way_back(module, upstream, retain_graph=retain_graph)
        finally:
            running.pop()
            _within.calls, _within.owner = outer, owner
        if not self.inputs:
            return []
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


def _checked(name: str, grad: Any, input: Spec) -> Array | None:
    """A gradient that a layer's backward returned, in the dtype of the input."""
    if grad is None:
        return None
    if grad.shape != input.shape:
        raise RuntimeError(
            f"{name}: backward returned a gradient of shape {grad.shape} for an input of shape "
            f"{input.shape}"
        )
    return grad if grad.dtype == input.dtype else np.asarray(grad, input.dtype)


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
    outer, owner = _within.calls, _within.owner
    lock = None if self._is_ours else _lock(self)
    _within.calls, _within.owner = calls, self
    running.append(None)  # appending and popping are atomic
    try:
        output = forward(self, *inputs, **kwargs)
        if type(output) is not _ARRAY:  # a Parameter in its arithmetic makes Tensors
            output = mapped(output, to_array)
        call = calls.pop(self)
        if not grad_mode.enabled:
            return output, None
        if call is None or not self._is_ours:
            call = _with_attributes(self, output, call, calls.get(_SUPER))
        call.within = calls  # type: ignore[assignment]
        return output, call
    finally:
        running.pop()
        _within.calls, _within.owner = outer, owner
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
    call.attributes = {k: v for k, v in self.__dict__.items() if k not in OF_EVERY_MODULE}
    return call


OF_EVERY_MODULE = frozenset(
    (
        "_buffers",
        "_call",
        "_hooks",
        "_is_plain",
        "_lock",
        "_modules",
        "_non_persistent",
        "_parameters",
        "_wants_grad",
    )
)


def keep(self: Any, call: Call | None) -> None:
    """Make ``call`` the module's last; within a layer's forward that layer's call has it."""
    calls = _within.calls
    if calls is None:
        self.__dict__["_call"] = call
    elif call is not None:
        key = _SUPER if _within.owner is self else self
        call.previous = calls.get(key)
        calls[key] = call


def current_call(self: Any) -> Call | None:
    """The call that the module's backward goes through."""
    calls = _within.calls
    return self.__dict__["_call"] if calls is None else calls.get(self)


def set_call(self: Any, call: Call | None) -> None:
    """Make ``call`` the one that :func:`current_call` gives."""
    calls = _within.calls
    if calls is None:
        self.__dict__["_call"] = call
    else:
        calls[self] = call


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
            calls = _within.calls
            base = calls.get(_SUPER) if calls else None
            if base is None:
                return backward(self, *grad_output, **kwargs)
            calls[_SUPER] = base.previous  # type: ignore[index]
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


def no_forward(self: Any) -> str:
    """The message for a backward that has nothing to go back through."""
    return (
        f"{type(self).__name__}.backward was called without a forward to go back through: call the "
        "module first, outside no_grad(); each backward needs a forward of its own, unless the one "
        "before it had retain_graph=True"
    )


def _through(
    self: Any,
    backward: Callable[..., Any],
    call: Call,
    grad_output: tuple,
    kwargs: Any,
    retain_graph: bool,
) -> Any:
    """A layer's backward with its attributes, and the calls within, as its forward left them."""
    own = self.__dict__
    grad_output = mapped(grad_output, to_array)
    if call.attributes is not None and len(grad_output) == 1 and not _is_number(grad_output[0]):
        grad_output = (check_grad(grad_output[0], call.output, "grad_output", type(self).__name__),)
    lock = None if self._is_ours else _lock(self)
    attributes = call.attributes or {}
    now = {name: own.get(name, own) for name in attributes}  # own itself: not there
    own.update(attributes)
    outer, owner, retains = _within.calls, _within.owner, _within.retains
    _within.calls, _within.owner = {**call.within, self: call}, self
    _within.retains = retains or retain_graph
    running.append(None)
    call.is_running = True
    try:
        result = mapped(backward(self, *grad_output, **kwargs), to_array)
    finally:
        call.is_running = False
        running.pop()
        _within.calls, _within.owner, _within.retains = outer, owner, retains
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


def check_grad(grad: Any, output: Any, name: str, owner: str) -> Any:
    """An upstream gradient, checked against what forward returned, in its dtype.

    Raises:
        TypeError: if it is no array (or tuple, or dict, of arrays).
        ValueError: if a shape differs from the output's.
    """
    if isinstance(output, tuple) and not isinstance(output, Spec):
        if not isinstance(grad, tuple | list) or len(grad) != len(output):
            raise TypeError(
                f"{owner}: {name} must be a tuple of {len(output)}, as forward returned, "
                f"got {summary(grad)}"
            )
        return tuple(
            check_grad(g, o, f"{name}[{i}]", owner)
            for i, (g, o) in enumerate(zip(grad, output, strict=True))
        )
    if isinstance(output, dict):
        if not isinstance(grad, dict) or not grad.keys() <= output.keys():
            raise TypeError(
                f"{owner}: {name} must be a dict with the keys {list(output)}, got {summary(grad)}"
            )
        return {k: check_grad(grad.get(k), o, f"{name}[{k!r}]", owner) for k, o in output.items()}
    grad = to_array(grad)
    if output is None or (grad is None and name != "grad_output"):
        return None if output is None else np.zeros(output.shape, output.dtype)
    if not isinstance(grad, np.ndarray | np.generic):
        raise TypeError(f"{owner}: {name} must be a NumPy array, got {summary(grad)}")
    if grad.shape != output.shape:
        raise ValueError(
            f"{owner}: {name} must have the output's shape {output.shape}, got {grad.shape}"
        )
    return np.asarray(grad, output.dtype)


def summary(value: Any) -> str:
    """``value`` for an error message: never a page of numbers."""
    if isinstance(value, np.ndarray | Tensor):
        kind = "Tensor" if isinstance(value, Tensor) else "array"
        return f"{kind} of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple):
        return f"tuple of {len(value)}"
    if value is None or isinstance(value, int | float | str):
        return repr(value)
    return type(value).__name__


# -- modules made of calls -------------------------------------------------------------------------


def call_of_calls(self: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """Call a module without a backward of its own: its forward gets Tensors.

    Arrays become Tensors, and if there were arrays alone the outputs arrays again.
    """
    own = self.__dict__
    given = [value for value in leaves((inputs, kwargs)) if value is not None]
    if any(isinstance(value, Tensor) for value in given) or not given:
        if all(isinstance(value, Tensor) for value in given):
            return self.forward(*inputs, **kwargs)
        return self.forward(*mapped(inputs, _as_tensor), **mapped(kwargs, _as_tensor))
    if self._passes_arrays and not grad_mode.enabled and "forward" not in own:
        keep(self, None)
        return self.forward(*inputs, **kwargs)
    return _from_arrays(
        self, lambda given, options: self.forward(*given, **options), inputs, kwargs
    )


def _from_arrays(
    self: Any, function: Callable[..., Any], inputs: tuple, kwargs: dict[str, Any]
) -> Any:
    """What a function of Tensors makes of arrays, as arrays; the module's last call goes back."""
    keep(self, None)
    tracked = grad_mode.enabled and self._wants_grad

    def wrap(value: Array) -> Tensor:
        return Tensor(value, tracked and value.dtype.kind == "f")

    wrapped, options = mapped(inputs, wrap), mapped(kwargs, wrap)
    outer, owner, roots = _within.calls, _within.owner, _within.roots
    _within.calls, _within.owner, _within.roots = None, None, (*roots, self)
    try:
        output = function(wrapped, options)
    finally:
        _within.calls, _within.owner, _within.roots = outer, owner, roots
    if grad_mode.enabled:
        call = Call()
        call.inputs, call.output = (*wrapped, *options.values()), output
        keep(self, call)
    return mapped(output, _own_array)


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _own_array(output: Any) -> Array:
    """The array of an output: a layer's is its own, an operation may need its for backward."""
    array = to_array(output)
    is_own = isinstance(output, Tensor) and output._node is not None and output._node.is_layer
    return array if is_own else np.array(array, order="K")


def backward_of_calls(self: Any, grad_output: Any = None, retain_graph: bool = False) -> Any:
    """Backward of a module without one of its own, after a call with arrays."""
    call = current_call(self)
    if call is None or call.inputs is None:
        raise RuntimeError(no_forward(self))
    outputs: list[Tensor] = []
    grads: list[Array] = []
    _pair_upstream(self, call.output, grad_output, "grad_output", outputs, grads)
    inputs = [leaf for leaf in leaves(call.inputs) if leaf is not None]
    retains = retain_graph or _within.retains
    found = run_backward(outputs, grads, retains, inputs, is_part=True)
    result = _input_grads(call.inputs, iter(found))
    if not retain_graph:
        set_call(self, call.previous)
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


def _input_grads(inputs: Any, grads: Iterator[Array | None]) -> tuple:
    """The structure of the inputs, each replaced by its gradient; what is no array is left out."""
    found: list[Any] = []
    for value in inputs.values() if isinstance(inputs, dict) else inputs:
        if value is None:
            found.append(None)
        elif isinstance(value, Tensor):
            grad = next(grads)
            is_zero = grad is None and value._requires_grad
            found.append(np.zeros_like(value._data) if is_zero else grad)
        elif isinstance(value, tuple | list | dict):
            found += [within] if (within := _input_grads(value, grads)) else []
    return tuple(found)


def _pair_upstream(
    self: Any, output: Any, grad: Any, name: str, outputs: list[Tensor], grads: list[Array]
) -> None:
    """Collect the outputs that require a gradient, each with its upstream one."""
    owner = type(self).__name__
    if isinstance(output, tuple | list | dict):
        wanted = list(output.values()) if isinstance(output, dict) else output
        parts = grad
        if isinstance(grad, dict) and isinstance(output, dict) and grad.keys() <= output.keys():
            parts = [grad.get(key) for key in output]
        if not isinstance(parts, tuple | list) or len(parts) != len(wanted):
            raise TypeError(
                f"{owner}: {name} must be a {type(output).__name__} of {len(wanted)}, as forward "
                f"returned, got {summary(grad)}"
            )
        for i, (o, g) in enumerate(zip(wanted, parts, strict=True)):
            if g is not None:
                _pair_upstream(self, o, g, f"{name}[{i}]", outputs, grads)
        return
    spec = describe(to_array(output))
    if spec is None:
        return
    grad = to_array(grad)
    if isinstance(grad, int | float | np.number):  # as for a loss: for every element
        grad = np.full(spec.shape, grad, spec.dtype)
    grad = check_grad(grad, spec, name, owner)
    if output._requires_grad:
        outputs.append(output)
        grads.append(grad)


# -- hooks -----------------------------------------------------------------------------------------


class Hooks:
    """The functions that a module calls around its forward and backward, by torch's kinds."""

    def __init__(self) -> None:
        self.forward_pre: list[tuple[Callable[..., Any], bool]] = []
        self.forward: list[tuple[Callable[..., Any], bool]] = []
        self.backward_pre: list[Callable[..., Any]] = []
        self.backward: list[Callable[..., Any]] = []

    def before_backward(self, module: Any, grad_output: tuple) -> tuple:
        """The upstream gradients, after the hooks have seen and perhaps replaced them."""
        for hook in tuple(self.backward_pre):
            replaced = hook(module, mapped(grad_output, Tensor))
            if replaced is not None:
                replaced = replaced if isinstance(replaced, tuple) else (replaced,)
                grad_output = mapped(replaced, to_array)
        return grad_output

    def after_backward(self, module: Any, grad_input: tuple, grad_output: tuple) -> tuple:
        """The gradients for the inputs, likewise."""
        for hook in tuple(self.backward):
            replaced = hook(module, mapped(grad_input, Tensor), mapped(grad_output, Tensor))
            if replaced is not None:
                replaced = replaced if isinstance(replaced, tuple) else (replaced,)
                grad_input = mapped(replaced, to_array)
        return grad_input


def call_with_hooks(self: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """A module's call, with its hooks around it: they see Tensors, also where it gets arrays."""
    given = [value for value in leaves((inputs, kwargs)) if value is not None]
    if not given or any(isinstance(value, Tensor) for value in given):
        return _hooked(self, lambda: self, inputs, kwargs)
    module = ref(self)  # it will hold the nodes, by its last call: they must not hold it
    return _from_arrays(self, lambda a, k: _hooked(self, module, a, k), inputs, kwargs)


def _hooked(self: Any, module: Callable[[], Any], inputs: tuple, kwargs: dict[str, Any]) -> Any:
    hooks = self._hooks
    for hook, with_kwargs in tuple(hooks.forward_pre):
        if with_kwargs:
            replaced = hook(self, inputs, kwargs)
            if replaced is not None:
                inputs, kwargs = replaced
        else:
            replaced = hook(self, inputs)
            if replaced is not None:
                inputs = replaced if isinstance(replaced, tuple) else (replaced,)
    way_back = None
    if grad_mode.enabled and (hooks.backward or hooks.backward_pre):
        inputs, way_back = _behind_node(hooks, module, inputs)
    if self._is_layer and "forward" not in self.__dict__:
        output = self.forward(*inputs, **kwargs)
    else:
        output = call_of_calls(self, inputs, kwargs)
    for hook, with_kwargs in tuple(hooks.forward):
        replaced = hook(self, inputs, kwargs, output) if with_kwargs else hook(self, inputs, output)
        if replaced is not None:
            output = replaced
    return output if way_back is None else _through_node(type(self).__name__, output, way_back)


def _behind_node(
    hooks: Hooks, module: Callable[[], Any], inputs: tuple
) -> tuple[tuple, Callable[..., Any]]:
    """The inputs behind a node that shows the backward hooks the gradients which pass.

    Returns:
        Them, and the function of the node that the outputs have to pass.
    """
    places = [i for i, t in enumerate(inputs) if isinstance(t, Tensor) and t._requires_grad]
    upstream: list[tuple] = [()]

    def show(grads: list[Array | None]) -> list[Array | None]:
        given = dict(zip(places, grads, strict=False))
        shown = tuple(given.get(i) for i in range(len(inputs)))
        found = hooks.after_backward(module(), shown, upstream[0])
        return [found[i] for i in places]

    def at_inputs(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        return show(grads)

    def at_outputs(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        upstream[0] = hooks.before_backward(module(), tuple(grads))
        if not places:  # nothing will pass at the inputs
            show([])
        return list(upstream[0])

    tracked = [inputs[i] for i in places]
    name = type(module()).__name__
    behind = dict(zip(places, _through_node(name, tracked, at_inputs), strict=True))
    return tuple(behind.get(i, value) for i, value in enumerate(inputs)), at_outputs


def _through_node(name: str, value: Any, way_back: Callable[..., Any]) -> Any:
    """The same structure, its Tensors that require grad behind one more node."""
    tracked = [t for t in leaves(value) if isinstance(t, Tensor) and t._requires_grad]
    if not tracked:
        return value
    copies = {id(t): Tensor(t._data) for t in tracked}
    copied = list(copies.values())
    attach(copied, Node(name, tuple(tracked), way_back, len(copied), is_layer=True))
    return mapped(value, lambda t: copies.get(id(t), t))
