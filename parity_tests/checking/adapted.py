"""numpy_impl's own components, driven through an adapter each."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_impl import nn, optim
from torch_ref.checking.check import check_candidate
from torch_ref.checking.drivers import Candidate
from torch_ref.checking.probe import Kind
from torch_ref.checking.verdict import Verdict

TWINS = {"Momentum": "SGD", "Nesterov": "SGD"}  # names that torch has no class of
_RECURRENT = ("RNN", "LSTM", "GRU")


class _Attention:
    """numpy_impl has functions for it."""

    def __init__(self, is_causal: bool) -> None:
        self.is_causal = is_causal

    def __call__(self, *inputs: Any) -> Any:
        self.inputs = [nn.Parameter(np.array(value)) for value in inputs]
        attend = nn.functional.scaled_dot_product_attention
        self.y = attend(*self.inputs, is_causal=self.is_causal)
        return self.y.detach().numpy()

    def backward(self, dy: Any) -> Any:
        self.y.backward(dy)
        return tuple(value.grad for value in self.inputs)


class Own:
    """numpy_impl's component of a kind."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind

    def make(self, *args: Any, **options: Any) -> Any:
        name = TWINS.get(self.kind.like, self.kind.like)
        if self.kind.role == "optimizer":
            self.held = [nn.Parameter(np.array(value)) for value in args[0]]
            if "beta1" in options:
                betas = options.pop("betas", None)
                options["betas"] = betas or (options.pop("beta1"), options.pop("beta2"))
            if self.kind.like == "Nesterov":
                options["nesterov"] = True
            return getattr(optim, name)(self.held, **options)
        if name.endswith("Attention"):
            return _Attention(name.startswith("Causal"))
        if name == "GlobalAvgPool2d":
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        if name == "CausalSoftmax":
            return nn.Softmax(-1)
        if name in _RECURRENT:
            options["batch_first"] = True
        return getattr(nn, name)(**options).double()

    def set(self, it: Any, **held: Any) -> None:
        state: Mapping[str, Any] = it.state_dict()
        it.load_state_dict({**state, **{self._name(n): value for n, value in held.items()}})
        it.zero_grad()

    def _name(self, name: str) -> str:
        return f"{name}_l0" if self.kind.like in _RECURRENT else name

    def mode(self, it: Any, training: bool) -> None:
        if isinstance(it, nn.Module):
            it.train(training)

    def forward(self, it: Any, *inputs: Any) -> Any:
        if self.kind.like == "CausalSoftmax":
            (x,) = inputs
            return it(np.where(np.tri(x.shape[-1], dtype=bool), x, -np.inf))
        if self.kind.like == "LSTMCell":
            return np.concatenate(it(inputs[0], inputs[1:]), -1)
        if self.kind.like in _RECURRENT:
            y, self.last = it(*inputs)
            return y
        return it(*inputs)

    def backward(self, it: Any, *given: Any) -> Any:
        if self.kind.role == "loss":
            return it.backward()
        (dy,) = given
        if self.kind.like == "LSTMCell":
            dx, states = it.backward(tuple(np.split(dy, 2, -1)))
            return dx, *states
        if self.kind.like in _RECURRENT:
            still = self.last
            last = tuple(map(np.zeros_like, still)) if self.kind.like == "LSTM" else 0 * still
            return it.backward((dy, last))
        return it.backward(dy)

    def gradients(self, it: Any) -> dict[str, Any]:
        return {name.removesuffix("_l0"): value.grad for name, value in it.named_parameters()}

    def state(self, it: Any) -> dict[str, Any]:
        return dict(it.named_buffers())

    def step(self, it: Any, parameters: Any, gradients: Any) -> list[Any]:
        for held, gradient in zip(self.held, gradients, strict=True):
            held.grad = gradient
        it.step()
        return [np.array(held.data) for held in self.held]


def check_own(kind: Kind) -> Verdict:
    """The verdict on numpy_impl's component of a kind."""
    return check_candidate(Candidate(kind.like, Own, None, kind, Own(kind)))
