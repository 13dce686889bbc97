"""How a layer's forward and backward, written for arrays, become part of the graph.

A class that writes both methods is a layer: its ``forward`` and ``backward`` see arrays only.
Called with arrays, it returns arrays and remembers the call, for ``backward``. Called with Tensors,
the call becomes a node of the graph. A class that writes ``forward`` alone is made of calls:
Tensors go through it, and the graph has its backward.

What a call keeps is a :class:`Call`, so that a layer may be called any number of times before any
backward. While a layer's backward runs, ``module._call`` is the call that it goes back through.
"""

import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.tensor.graph import Spec, run_backward
from numpy_impl.tensor.tensor import Tensor, attach, to_array

Array = np.ndarray


class Call:
    """What one call of a module keeps for backward.

    Attributes:
        output: shape and dtype of what forward returned, in its structure.
        saved: what the layer handed to ``save_for_backward``.
        needs: for each array input whether it needs a gradient; None: as the module says.
        children: the layers called by a forward that has a hand-written backward, in order.
        attributes: those of a layer that keeps what it needs on itself.
        inputs, outputs: the Tensors of a module that is made of calls.
        previous: the call before, within one forward of a layer that calls this one several times.
        is_running: whether a backward goes through it just now.
    """

    output: Any = None
    saved: tuple = ()
    needs: tuple[bool, ...] | None = None
    children: "tuple[tuple[Any, Call], ...]" = ()
    attributes: dict[str, Any] | None = None
    inputs: Any = None
    outputs: Any = None
    previous: "Call | None" = None
    is_running = False


class _Recorder(threading.local):
    """The calls within the forward of a layer that is made of others, while it runs."""

    children: list[tuple[Any, Call]] | None = None


_recorder = _Recorder()
# one entry for each such forward that runs now, in any thread; empty nearly always
_recorders: list[None] = []
_ARRAY = np.ndarray


_new_tuple: Any = tuple.__new__

# -- structures of inputs and outputs --------------------------------------------------------------


def describe(output: Any) -> Any:
    """Shape and dtype of each array in ``output``, None for arrays that are not floating-point."""
    if type(output) is _ARRAY and output.dtype.kind == "f":
        return _new_tuple(Spec, (output.shape, output.dtype))  # half the time of Spec(...)
    if isinstance(output, tuple | list):
        return tuple(describe(part) for part in output)
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
    return value


def _as_tensors(output: Any, found: list[Tensor]) -> Any:
    def wrap(value: Any) -> Tensor:
        found.append(Tensor(value))
        return found[-1]

    return mapped(np.asarray(output) if isinstance(output, np.generic) else output, wrap)


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
            and not _recorders
        ):
            own["_call"] = None
            output = forward(self, *inputs)
            if own["_call"] is None and grad_mode.enabled:
                _keep_attributes(self, output)
            return output
        if with_hooks and own["_hooks"] is not None:
            return call_with_hooks(self, inputs, kwargs)
        return _call_any(self, forward, backward, inputs, kwargs)

    call._of_layer = forward  # type: ignore[attr-defined]
    return call


def _call_any(
    self: Any,
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    inputs: tuple,
    kwargs: dict[str, Any],
) -> Any:
    slots = list(leaves((inputs, kwargs)))
    own = self.__dict__
    if not any(isinstance(value, Tensor) for value in slots):
        output = _run(self, forward, inputs, kwargs)
        if _recorder.children is not None and own["_call"] is not None:
            _recorder.children.append((self, own["_call"]))
        return output
    output = _run(self, forward, mapped(inputs, to_array), mapped(kwargs, to_array))
    call, own["_call"] = own["_call"], None  # the node keeps it, not the module
    found: list[Tensor] = []
    output = _as_tensors(output, found)
    tensors = [value for value in slots if isinstance(value, Tensor) and value._requires_grad]
    if call is not None and (tensors or _is_trained(self)):
        call.needs = tuple(
            isinstance(v, Tensor) and v._requires_grad for v in slots if v is not None
        )
        way_back = _way_back(self, backward, call, slots)
        attach(found, type(self).__name__, tuple(tensors), way_back, is_layer=True)
    return output


def _is_trained(self: Any) -> bool:
    parameters = self.parameters() if self._modules else self._parameters.values()
    return any(p is not None and p._requires_grad for p in parameters)


def _way_back(
    self: Any, backward: Callable[..., Any], call: Call, slots: list[Any]
) -> Callable[[list[Array | None], bool], list[Array | None]]:
    """The node's function: the layer's backward, its gradients in the order of the Tensors."""
    arrays = [i for i, value in enumerate(slots) if value is not None]
    wanted = [i for i in arrays if isinstance(slots[i], Tensor) and slots[i]._requires_grad]
    count = len(slots)

    def way_back(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        own = self.__dict__
        before, own["_call"] = own["_call"], call
        try:
            upstream = _rebuilt(call.output, iter(grads))
            result = backward(self, upstream, retain_graph=retain_graph)
        finally:
            own["_call"] = before
        if not wanted:
            return []
        if not isinstance(result, tuple):
            found, places = [result], arrays[:1]
        else:
            found = list(leaves(result))
            places = arrays if len(found) == len(arrays) else list(range(count))
        if len(found) != len(places) or not set(wanted) <= set(places):
            raise RuntimeError(
                f"{type(self).__name__}: backward returned {len(found)} gradients for "
                f"{len(arrays)} array inputs, of which numbers {wanted} require one: detach() "
                "those that are constants"
            )
        by_place = dict(zip(places, found, strict=True))
        return [by_place[i] for i in wanted]

    return way_back


def _rebuilt(spec: Any, grads: Iterator[Array | None]) -> Any:
    """The gradients of a node's outputs in the structure that forward returned."""
    if isinstance(spec, tuple) and not isinstance(spec, Spec):
        return tuple(_rebuilt(part, grads) for part in spec)
    return next(grads, None)


def _run(self: Any, forward: Callable[..., Any], inputs: Any, kwargs: Any) -> Any:
    """Forward on arrays; afterwards ``self._call`` has what backward needs."""
    own = self.__dict__
    children: list[tuple[Any, Call]] | None = [] if own["_modules"] else None
    own["_call"] = None
    outer, _recorder.children = _recorder.children, children
    _recorders.append(None)  # appending and popping are atomic
    try:
        output = forward(self, *inputs, **kwargs)
    finally:
        _recorders.pop()
        _recorder.children = outer
    output = mapped(output, to_array)  # a Parameter in its arithmetic makes Tensors
    if grad_mode.enabled:
        if own["_call"] is None:
            _keep_attributes(self, output)
        if children:
            own["_call"].children = tuple(children)
    for module, _ in children or ():
        module.__dict__["_call"] = None  # they belong to this call from now on
    return output


def _keep_attributes(self: Any, output: Any) -> None:
    """The call of a layer that did not use ``save_for_backward``: its attributes are kept."""
    own = self.__dict__
    call = Call()
    call.output = describe(output)
    call.attributes = {name: value for name, value in own.items() if name not in OF_EVERY_MODULE}
    own["_call"] = call


OF_EVERY_MODULE = frozenset(
    (
        "_buffers",
        "_call",
        "_hooks",
        "_is_plain",
        "_modules",
        "_non_persistent",
        "_parameters",
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
        call = own["_call"]
        if call is None:
            raise RuntimeError(no_forward(self))
        if call.is_running:  # by super().backward(...): the outer one does the rest
            return backward(self, *grad_output, **kwargs)
        if own["_is_plain"] and grad_output and not overrides and call.attributes is None:
            result = backward(self, *grad_output, **kwargs)
        else:
            call.is_running = True
            try:
                result = _through(self, backward, call, grad_output, kwargs)
            finally:
                call.is_running = False
        if not retain_graph:
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
    self: Any, backward: Callable[..., Any], call: Call, grad_output: tuple, kwargs: Any
) -> Any:
    """A layer's backward with its attributes, and its parts' calls, as its forward left them."""
    own = self.__dict__
    grad_output = mapped(grad_output, to_array)
    if call.attributes is not None and len(grad_output) == 1 and not _is_number(grad_output[0]):
        grad_output = (check_grad(grad_output[0], call.output, "grad_output", type(self).__name__),)
    hooks = own["_hooks"]
    if hooks is not None:
        grad_output = hooks.before_backward(self, grad_output)
    attributes = call.attributes or {}
    now = {name: own.get(name, own) for name in attributes}  # own itself: not there
    calls = {module: module._call for module, _ in call.children}
    own.update(attributes)
    for module in calls:
        module.__dict__["_call"] = None
    for module, child in call.children:  # of several calls of one, the last goes back first
        child.previous, module.__dict__["_call"] = module._call, child
    try:
        result = mapped(backward(self, *grad_output, **kwargs), to_array)
    finally:
        for module, child in calls.items():
            module.__dict__["_call"] = child
        for name, value in now.items():
            if own.get(name, own) is attributes[name]:  # what backward itself set stays
                own[name] = value
                if value is own:
                    del own[name]
    return result if hooks is None else hooks.after_backward(self, result, grad_output)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) or (np.ndim(value) == 0 and not np.shape(value))


def check_grad(grad: Any, output: Any, name: str, owner: str) -> Any:
    """An upstream gradient, checked against what forward returned, in its dtype.

    Raises:
        TypeError: if it is no array (or tuple of arrays).
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
    if self._passes_arrays and not grad_mode.enabled:
        return self.forward(*inputs, **kwargs)
    own = self.__dict__
    own["_call"] = None
    given = [value for value in leaves((inputs, kwargs)) if value is not None]
    mixed = any(isinstance(value, Tensor) for value in given)
    if mixed or not given:
        if all(isinstance(value, Tensor) for value in given):
            return self.forward(*inputs, **kwargs)
        return self.forward(*mapped(inputs, _as_tensor), **mapped(kwargs, _as_tensor))
    tracked = grad_mode.enabled and own["_wants_grad"]

    def wrap(value: Array) -> Tensor:
        return Tensor(value, tracked and value.dtype.kind == "f")

    wrapped, options = mapped(inputs, wrap), mapped(kwargs, wrap)
    outer, _recorder.children = _recorder.children, None
    try:
        output = self.forward(*wrapped, **options)
    finally:
        _recorder.children = outer
    if grad_mode.enabled:
        own["_call"] = call = Call()
        call.inputs, call.output = (*wrapped, *options.values()), output
        if outer is not None:
            outer.append((self, call))
    return mapped(output, _own_array)


def _as_tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)


def _own_array(output: Any) -> Array:
    """The array of an output: a layer's is its own, an operation may need its for backward."""
    array = to_array(output)
    is_own = isinstance(output, Tensor) and output._node is not None and output._node.is_layer
    return array if is_own else np.array(array, order="K")


def backward_of_calls(self: Any, grad_output: Any, retain_graph: bool) -> Any:
    """Backward of a module without one of its own, after a call with arrays."""
    own = self.__dict__
    call = own["_call"]
    if call is None or call.inputs is None:
        raise RuntimeError(no_forward(self))
    outputs: list[Tensor] = []
    grads: list[Array] = []
    _pair_upstream(self, call.output, grad_output, "grad_output", outputs, grads)
    hooks = own["_hooks"]
    if hooks is not None:
        grads = list(hooks.before_backward(self, tuple(grads)))
    for leaf in leaves(call.inputs):
        if leaf is not None:
            leaf._grad = None
    run_backward(outputs, grads, retain_graph)
    result = _input_grads(call.inputs)
    if not retain_graph:
        own["_call"] = call.previous
    if hooks is not None:
        result = hooks.after_backward(self, result, tuple(grads))
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


def _input_grads(inputs: Any) -> tuple:
    """The structure of the inputs, each replaced by its gradient; what is no array is left out."""
    found: list[Any] = []
    for value in inputs.values() if isinstance(inputs, dict) else inputs:
        if value is None:
            found.append(None)
        elif isinstance(value, Tensor):
            missing = np.zeros_like(value._data) if value._requires_grad else None
            found.append(missing if value._grad is None else value._grad)
        elif isinstance(value, tuple | list | dict):
            found += [within] if (within := _input_grads(value)) else []
    return tuple(found)


def _pair_upstream(
    self: Any, output: Any, grad: Any, name: str, outputs: list[Tensor], grads: list[Array]
) -> None:
    """Collect the outputs that require a gradient, each with its upstream one."""
    owner = type(self).__name__
    if isinstance(output, tuple | list | dict):
        wanted = list(output.values()) if isinstance(output, dict) else output
        parts = list(grad.values()) if isinstance(grad, dict) else grad
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

    def after_backward(self, module: Any, result: Any, grad_output: tuple) -> Any:
        """The gradients for the inputs, likewise."""
        for hook in tuple(self.backward):
            many = isinstance(result, tuple)
            shown = mapped(result if many else (result,), Tensor)
            replaced = hook(module, shown, mapped(grad_output, Tensor))
            if replaced is not None:
                replaced = replaced if isinstance(replaced, tuple) else (replaced,)
                result = mapped(replaced if many else replaced[0], to_array)
        return result


def call_with_hooks(self: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """A module's call, with its hooks around it."""
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
    if self._is_layer or "forward" in self.__dict__:
        output = self.forward(*inputs, **kwargs)
    elif hooks.backward or hooks.backward_pre:
        output = _between_nodes(self, inputs, kwargs)
    else:
        output = call_of_calls(self, inputs, kwargs)
    for hook, with_kwargs in tuple(hooks.forward):
        replaced = hook(self, inputs, kwargs, output) if with_kwargs else hook(self, inputs, output)
        if replaced is not None:
            output = replaced
    return output


def _between_nodes(self: Any, inputs: tuple, kwargs: dict[str, Any]) -> Any:
    """A module made of calls between two nodes, which see the gradients that pass."""
    hooks = self._hooks
    entering = [t for t in leaves(inputs) if isinstance(t, Tensor) and t._requires_grad]
    if not grad_mode.enabled or not any(isinstance(t, Tensor) for t in leaves((inputs, kwargs))):
        return call_of_calls(self, inputs, kwargs)
    upstream: list[tuple] = []

    def at_inputs(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        result = hooks.after_backward(self, tuple(grads), upstream.pop())
        return list(result)

    def at_outputs(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
        upstream.append(hooks.before_backward(self, tuple(grads)))
        if not entering:  # nothing will pass at the inputs
            hooks.after_backward(self, (None,), upstream[-1])
        return list(upstream[-1])

    inputs = _through_node(self, inputs, at_inputs)
    return _through_node(self, call_of_calls(self, inputs, kwargs), at_outputs)


def _through_node(self: Any, value: Any, way_back: Callable[..., Any]) -> Any:
    """The same structure, its Tensors that require grad behind one more node."""
    tracked = [t for t in leaves(value) if isinstance(t, Tensor) and t._requires_grad]
    if not tracked:
        return value
    copies = {id(t): Tensor(t._data) for t in tracked}
    attach(list(copies.values()), type(self).__name__, tuple(tracked), way_back, is_layer=True)
    return mapped(value, lambda t: copies.get(id(t), t))
