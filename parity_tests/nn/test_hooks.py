"""Hooks of modules see torch's values."""

from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from parity_tests.nn.kinds import (
    G,
    X,
    assert_same,
    linear,
)
from torch_ref.convert import copy_weights


@pytest.mark.filterwarnings("ignore:Full backward hook is firing when gradients are computed")
@pytest.mark.parametrize("style", ["arrays", "tensors", "frozen input"])
@pytest.mark.parametrize("around", ["alone", "sequential", "of calls once"])
def test_module_hooks_see_torch_s_values(style, around) -> None:
    seen: dict[Any, list] = {}
    for world in (numpy_impl, torch):
        unit = linear(world)
        if around == "alone":
            model = unit
        elif around == "sequential":
            model = world.nn.Sequential(world.nn.Tanh(), world.nn.Sequential(unit), world.nn.Tanh())
        else:

            class Net(world.nn.Module):
                def __init__(self, unit) -> None:
                    super().__init__()
                    self.unit = unit

                def forward(self, x):
                    return self.unit(x * 2) + x

            model = Net(unit)
        if world is numpy_impl:
            ours = model
        else:
            copy_weights(ours, model)
        log: list = []

        def array(value):
            if isinstance(value, tuple):
                return tuple(array(part) for part in value)
            if isinstance(value, torch.Tensor):
                value = value.detach().numpy().copy()
            return None if value is None else np.array(getattr(value, "data", value))

        def record(name, log=log):
            return lambda module, *args: log.append((name, [array(a) for a in args]))

        def fivefold(module, grad_input, grad_output):
            return tuple(g if g is None else g * 5 for g in grad_input)

        handles = [
            unit.register_forward_pre_hook(record("pre")),
            unit.register_forward_pre_hook(lambda m, x: (x[0] * 3,), prepend=True),
            unit.register_forward_hook(record("post")),
            unit.register_forward_hook(lambda m, x, y: y * 2),
            unit.register_full_backward_hook(record("back")),
            unit.register_full_backward_hook(fivefold),
            unit.register_full_backward_pre_hook(record("back pre")),
            unit.register_full_backward_pre_hook(lambda m, go: (go[0] * 7,), prepend=True),
        ]  # fmt: skip
        if model is not unit:
            handles.append(model.register_full_backward_hook(record("outer")))
        for _ in range(2):
            if world is torch:
                x = torch.tensor(X, requires_grad=style != "frozen input")
                model(x).backward(torch.tensor(G))
                result = x.grad
            elif style == "arrays":
                model(X)
                result = model.backward(G)
            else:
                x = numpy_impl.tensor(X, requires_grad=style != "frozen input")
                model(x).backward(G)
                result = x.grad
            log.append(("result", [array(result)]))
            log.append(("weight", [array(unit.weight.grad)]))
            for handle in handles:
                handle.remove()
        seen[world] = log
    assert [name for name, _ in seen[numpy_impl]] == [name for name, _ in seen[torch]]
    for (name, mine), (_, twin) in zip(seen[numpy_impl], seen[torch], strict=True):
        assert_same(mine, twin, name)


def test_hooks_with_keyword_arguments() -> None:
    results = []
    for world in (numpy_impl, torch):

        class Net(world.nn.Module):
            def forward(self, x, scale=1.0):
                return x * scale

        net = Net()
        net.register_forward_pre_hook(
            lambda m, args, kwargs: (args, {"scale": kwargs["scale"] * 2}), with_kwargs=True
        )
        net.register_forward_hook(
            lambda m, args, kwargs, out: out + kwargs["scale"], with_kwargs=True
        )
        results.append(net(world.tensor(X), scale=3.0))
    assert_same(*results)
