"""Layers of small autograd Tensors: the graph goes back by itself, from ``output.backward()``."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names, styles
from torch_ref.checking.drivers.layers import Held, LayerDriver, Plan, arguments, method, set_mode
from torch_ref.checking.failures import CannotDrive
from torch_ref.checking.probe import Array, Kind, Probe


def tensor_class(names_of_file: Mapping[str, Any]) -> Any:
    """The class of a file whose objects hold an array and have a method backward; or None."""
    for value in names_of_file.values():
        if isinstance(value, type) and method(value, names.BACKWARD) is not None:
            try:
                made = value(np.ones((2, 2)))
            except Exception:
                continue
            if _holder(made) is not None:
                return value
    return None


def _holder(tensor: Any) -> str | None:
    held = (n for n in names.HOLDERS if isinstance(getattr(tensor, n, None), np.ndarray))
    return next(held, None)


class TensorDriver(LayerDriver):
    """Drives a class, or a function, from Tensors to a Tensor.

    Args:
        make: makes the layer.
        kind, plan: as a LayerDriver's.
        tensor: the Tensors' class.
    """

    def __init__(self, make: Callable[..., Any], kind: Kind, plan: Plan, tensor: Any) -> None:
        super().__init__(make, kind, plan, styles.TENSORS)
        self.tensor = tensor
        self.can_clear = True  # gradients of Tensors add up, as torch's

    def _wrapped(self, value: Array) -> Any:
        if value.dtype.kind != "f":
            return value
        asks = any(p.name == "requires_grad" for p in names.parameters_of(self.tensor))
        return self.tensor(value, **{"requires_grad": True} if asks else {})

    def _forward(self, held: Held, probe: Probe) -> tuple[Array, list[Any]]:
        forward = method(held.component, names.FORWARD)
        if forward is None:
            raise CannotDrive("there is no method forward")
        given = [np.array(self.plan.turn[1](value)) for value in probe.inputs]
        tensors = [self._wrapped(value) for value in given]
        set_mode(held.component, probe.training)
        roles = {str(i): value for i, value in enumerate(tensors)}
        args, kwargs = arguments(forward, roles, {names.TRAINING: probe.training})
        result = forward(*args, **kwargs)
        holder = _holder(result)
        if holder is None:
            raise CannotDrive("forward returns no Tensor")
        held.given = tensors
        return getattr(result, holder), [result]

    def _backward(self, held: Held, upstream: Array, output: Array, more: list[Any]) -> Any:
        (result,) = more
        backward = method(result, names.BACKWARD)
        assert backward is not None
        if names.parameters_of(backward):
            try:
                backward(upstream)
            except (TypeError, AttributeError):  # it wants a Tensor
                backward(self.tensor(upstream))
        else:  # it starts from ones: a weighted sum has the upstream as its gradient
            start = method((result * self.tensor(upstream)).sum(), names.BACKWARD)
            assert start is not None
            start()
        found = held.given[0]
        for name in names.GRADIENT:
            value = getattr(found, name, None)
            value = value if isinstance(value, np.ndarray) else getattr(value, "data", None)
            if isinstance(value, np.ndarray):
                return value, [], held.recorder
        return None, [], held.recorder


def as_layer(function: Callable[..., Any]) -> Callable[[], Any]:
    """A function of Tensors as a layer without parameters."""

    def make() -> Any:
        return _Function(function)

    return functools.update_wrapper(make, function, assigned=("__name__", "__module__"), updated=())


class _Function:
    def __init__(self, function: Callable[..., Any]) -> None:
        self.call = function
