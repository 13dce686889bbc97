"""PyTorch's own components in the clothes of hand-written ones: arrays outside, torch inside."""

import inspect
from typing import Any

import numpy as np
import torch

from torch_ref.checking.drivers import names
from torch_ref.checking.probe import Kind


def wrapped(kind: Kind) -> type:
    """A class of the kind's, named after it, with torch inside."""
    base = {"layer": _Layer, "loss": _Loss, "optimizer": _Optimizer}[kind.role]
    made = type(kind.like, (base,), {"kind": kind})
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
    made.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return made


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

    def forward(self, x: np.ndarray) -> np.ndarray:
        twin = self._twin
        twin.train(self.training)
        twin.zero_grad()
        with torch.no_grad():
            for name, value in [*twin.named_parameters(), *twin.named_buffers()]:
                if name in (*self._parameters, *self._buffers):
                    value.copy_(torch.from_numpy(np.array(getattr(self, name))))
        self._x = torch.from_numpy(np.array(x))
        if self._x.is_floating_point():
            self._x.requires_grad_()
        result = twin(self._x)
        self._y = result[0] if isinstance(result, tuple) else result
        for name, value in twin.named_buffers():
            if name in self._buffers:
                setattr(self, name, value.numpy().copy())
        return self._y.detach().numpy().copy()

    def backward(self, dy: np.ndarray) -> np.ndarray | None:
        self._y.backward(torch.from_numpy(np.array(dy)))
        for name, value in self._twin.named_parameters():
            setattr(self, f"grad_{name}", value.grad.numpy().copy())
        return None if self._x.grad is None else self._x.grad.numpy().copy()


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
