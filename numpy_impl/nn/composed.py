"""Modules made of calls: they write forward alone, and the graph has their backward.

Tensors go straight through. With arrays, a call makes Tensors of them and arrays of what comes out,
and remembers the way back.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import (
    Call,
    check_grad,
    current_call,
    describe,
    keep,
    leaves,
    mapped,
    no_forward,
    set_call,
    summary,
    within,
)
from numpy_impl.tensor.graph import run_backward
from numpy_impl.tensor.tensor import Tensor, to_array

Array = np.ndarray


def call_of_calls(self: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a module without a backward of its own: its forward gets Tensors.

    Arrays become Tensors, and if there were arrays alone the outputs arrays again.
    """
    given = [value for value in leaves((inputs, kwargs)) if value is not None]
    if any(isinstance(value, Tensor) for value in given) or not given:
        if all(isinstance(value, Tensor) for value in given):
            return self.forward(*inputs, **kwargs)
        return self.forward(*mapped(inputs, _as_tensor), **mapped(kwargs, _as_tensor))
    return from_arrays(self, lambda given, options: self.forward(*given, **options), inputs, kwargs)


def from_arrays(
    self: Any, function: Callable[..., Any], inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What a function of Tensors makes of arrays, as arrays; the module's last call goes back."""
    keep(self, None)
    tracked = grad_mode.enabled and self._wants_grad

    def wrap(value: Array) -> Tensor:
        return Tensor(value, tracked and value.dtype.kind == "f")

    wrapped, options = mapped(inputs, wrap), mapped(kwargs, wrap)
    outer, owner, roots = within.calls, within.owner, within.roots
    within.calls, within.owner, within.roots = None, None, (*roots, self)
    try:
        output = function(wrapped, options)
    finally:
        within.calls, within.owner, within.roots = outer, owner, roots
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
    if grad_output is None:
        grad_output = self._own_upstream
    outputs: list[Tensor] = []
    grads: list[Array] = []
    _pair_upstream(self, call.output, grad_output, "grad_output", outputs, grads)
    inputs = [leaf for leaf in leaves(call.inputs) if leaf is not None]
    retains = retain_graph or within.retains
    found = run_backward(outputs, grads, retains, inputs, is_part=True)
    result = _input_grads(call.inputs, iter(found))
    if not retain_graph:
        set_call(self, call.previous)
    return result[0] if isinstance(result, tuple) and len(result) == 1 else result


def _input_grads(inputs: Any, grads: Iterator[Array | None]) -> tuple[Any, ...]:
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
            kind = next(k.__name__ for k in (tuple, list, dict) if isinstance(output, k))
            raise TypeError(
                f"{owner}: {name} must be a {kind} of {len(wanted)}, as forward "
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
    grad = check_grad(grad, spec, f"{owner}: {name}")
    if output._requires_grad:
        outputs.append(output)
        grads.append(grad)
