"""Hooks: functions that a module calls around its forward and backward, as in torch.

They see Tensors, also where the module gets arrays.
"""

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn.call import leaves, mapped
from numpy_impl.nn.composed import call_of_calls, from_arrays
from numpy_impl.tensor.graph import Node
from numpy_impl.tensor.tensor import Tensor, attach, to_array

Array = np.ndarray


class Hooks:
    """The functions that a module calls around its forward and backward, by torch's kinds."""

    def __init__(self) -> None:
        self.forward_pre: list[tuple[Callable[..., Any], bool]] = []
        self.forward: list[tuple[Callable[..., Any], bool]] = []
        self.backward_pre: list[Callable[..., Any]] = []
        self.backward: list[Callable[..., Any]] = []

    def before_backward(self, module: Any, grad_output: tuple[Any, ...]) -> tuple[Any, ...]:
        """The upstream gradients, after the hooks have seen and perhaps replaced them."""
        for hook in tuple(self.backward_pre):
            replaced = hook(module, mapped(grad_output, Tensor))
            if replaced is not None:
                replaced = replaced if isinstance(replaced, tuple) else (replaced,)
                grad_output = mapped(replaced, to_array)
        return grad_output

    def after_backward(
        self, module: Any, grad_input: tuple[Any, ...], grad_output: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        """The gradients for the inputs, likewise."""
        for hook in tuple(self.backward):
            replaced = hook(module, mapped(grad_input, Tensor), mapped(grad_output, Tensor))
            if replaced is not None:
                replaced = replaced if isinstance(replaced, tuple) else (replaced,)
                grad_input = mapped(replaced, to_array)
        return grad_input


def call_with_hooks(self: Any, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A module's call, with its hooks around it: they see Tensors, also where it gets arrays."""
    given = [value for value in leaves((inputs, kwargs)) if value is not None]
    if not given or any(isinstance(value, Tensor) for value in given):
        return _hooked(self, lambda: self, inputs, kwargs)
    module = ref(self)  # it will hold the nodes, by its last call: they must not hold it
    return from_arrays(self, lambda a, k: _hooked(self, module, a, k), inputs, kwargs)


def _hooked(
    self: Any, module: Callable[[], Any], inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
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
    hooks: Hooks, module: Callable[[], Any], inputs: tuple[Any, ...]
) -> tuple[tuple[Any, ...], Callable[..., Any]]:
    """The inputs behind a node that shows the backward hooks the gradients which pass.

    Returns:
        Them, and the function of the node that the outputs have to pass.
    """
    places = [i for i, t in enumerate(inputs) if isinstance(t, Tensor) and t._requires_grad]
    upstream: list[tuple[Any, ...]] = [()]

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
