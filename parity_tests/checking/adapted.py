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
        return getattr(nn, name)(**options).double()

    def set(self, it: Any, **held: Any) -> None:
        state: Mapping[str, Any] = it.state_dict()
        it.load_state_dict({**state, **held})
        it.zero_grad()

    def mode(self, it: Any, training: bool) -> None:
        it.train(training)

    def forward(self, it: Any, *inputs: Any) -> Any:
        return it(*inputs)

    def backward(self, it: Any, *given: Any) -> Any:
        return it.backward() if self.kind.role == "loss" else it.backward(*given)

    def gradients(self, it: Any) -> dict[str, Any]:
        return {name: value.grad for name, value in it.named_parameters()}

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
