"""PyTorch's own components in the clothes of hand-written ones: arrays outside, torch inside."""

import functools
import inspect
from typing import Any

import numpy as np
import torch

from torch_ref.checking.drivers import names
from torch_ref.checking.probe import Kind


def wrapped(kind: Kind) -> type:
    """A class of the kind's, named after it, with torch inside."""
    base = {"layer": _Layer, "loss": _Loss, "optimizer": _Optimizer}[kind.role]
    made: Any = type(kind.like, (base,), {"kind": kind})
    twin = kind.twin or getattr(torch.optim if kind.role == "optimizer" else torch.nn, kind.like)
    parameters = names.parameters_of(twin)
    if kind.role == "optimizer":
        parameters[0] = parameters[0].replace(name="params")
        known = {p.name for p in parameters}
        for name, value in kind.configurations[0][1].items():
            if name not in known:  # taken by **more
                one = inspect.Parameter(
                    name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value
                )
                parameters.append(one)
    made.__signature__ = inspect.Signature(parameters)
    if kind.role == "layer":
        made.forward = _with_arguments(_Layer.forward, "x", *kind.more_inputs)
        dy = ("dh", "dc") if kind.like == "LSTMCell" else ("dy",)
        made.backward = _with_arguments(_Layer.backward, *dy)
    wrapper: type = made
    return wrapper


def _with_arguments(function: Any, *own: str) -> Any:
    """A method of any arguments, whose signature names them."""

    @functools.wraps(function)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, *kwargs.values())

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ("self", *own)]
    named: Any = method
    named.__signature__ = inspect.Signature(parameters)
    return named


class _Layer:
    kind: Kind

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._twin = self.kind.make(*args, **kwargs)
        self.training = True
        self._parameters = [name for name, _ in self._twin.named_parameters()]
        self._buffers = [n for n, b in self._twin.named_buffers() if b.is_floating_point()]
        for name, value in self._twin.state_dict().items():
            if name in (*self._parameters, *self._buffers):
                setattr(self, name, value.numpy().copy())

    def forward(self, *inputs: np.ndarray) -> Any:
        twin = self._twin
        twin.train(self.training)
        twin.zero_grad()
        with torch.no_grad():
            for name, value in [*twin.named_parameters(), *twin.named_buffers()]:
                if name in (*self._parameters, *self._buffers):
                    value.copy_(torch.from_numpy(np.array(getattr(self, name))))
        self._given = [torch.from_numpy(np.array(x)) for x in inputs]
        for x in self._given:
            x.requires_grad_(x.is_floating_point())
        result = twin(*self._given)
        self._y = result[0] if isinstance(result, tuple) else result
        for name, value in twin.named_buffers():
            if name in self._buffers:
                setattr(self, name, value.numpy().copy())
        y = self._y.detach().numpy().copy()
        return tuple(np.split(y, 2, -1)) if self.kind.like == "LSTMCell" else y

    def backward(self, *dy: np.ndarray) -> Any:
        self._y.backward(torch.from_numpy(np.concatenate(dy, -1)))
        for name, value in self._twin.named_parameters():
            setattr(self, f"grad_{name}", value.grad.numpy().copy())
        found = tuple(None if x.grad is None else x.grad.numpy().copy() for x in self._given)
        return found if len(found) > 1 else found[0]


class _Loss:
    kind: Kind

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._twin = self.kind.make(*args, **kwargs)

    def forward(self, prediction: np.ndarray, target: np.ndarray) -> float:
        self._x = torch.from_numpy(np.array(prediction)).requires_grad_()
        self._loss = self._twin(self._x, torch.from_numpy(np.array(target)))
        return float(self._loss)

    def backward(self) -> np.ndarray:
        self._loss.backward()
        assert self._x.grad is not None
        return self._x.grad.numpy().copy()


class _Optimizer:
    kind: Kind

    def __init__(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self._params = params
        self._own = [torch.nn.Parameter(torch.from_numpy(p.data.copy())) for p in params]
        self._twin = self.kind.make(self._own, *args, **kwargs)

    def step(self) -> None:
        for own, held in zip(self._own, self._params, strict=True):
            own.grad = torch.from_numpy(np.array(held.grad))
        self._twin.step()
        for own, held in zip(self._own, self._params, strict=True):
            held.data = own.detach().numpy().copy()
