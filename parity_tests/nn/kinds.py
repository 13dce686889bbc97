"""Modules of every kind, alone and inside others, (3, 4) -> (3, 4), the same in both worlds."""

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.tensor.tensor import Tensor
from torch_ref.convert import copy_weights, to_numpy

RNG = np.random.default_rng(0)
X, X2, G, G2 = (RNG.standard_normal((3, 4)) for _ in range(4))


def linear(world: Any, *args: Any, **kwargs: Any) -> Any:
    return world.nn.Linear(*(args or (4, 4)), dtype=world.float64, **kwargs)


class Saving(nn.Module):
    """x^2 * w, by the book."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def forward(self, input):
        output = input * input * self.weight.data
        self.save_for_backward(output, input)
        return output

    def backward(self, grad_output):
        grad_output, input = self.saved_for_backward(grad_output)
        self.weight.accumulate_grad((grad_output * input * input).sum(0))
        return 2 * input * grad_output * self.weight.data


class Naive(nn.Module):
    """The same, as one writes it on the first day."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def forward(self, input):
        self.input = input
        return input * input * self.weight.data

    def backward(self, grad_output):
        self.weight.accumulate_grad((grad_output * self.input * self.input).sum(0))
        return 2 * self.input * grad_output * self.weight.data


class NaiveWithParameters(Naive):
    """The same with the Parameter itself in its arithmetic."""

    def forward(self, input):
        self.input = input
        return input * input * self.weight

    def backward(self, grad_output):
        self.weight.accumulate_grad((grad_output * self.input * self.input).sum(0))
        return 2 * self.input * grad_output * self.weight


class GoesBack:
    """A mixin with the backward."""

    def backward(self, grad_output):
        self.weight.accumulate_grad((grad_output * self.input * self.input).sum(0))
        return 2 * self.input * grad_output * self.weight.data


class Mixed(GoesBack, nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def forward(self, input):
        self.input = input
        return input * input * self.weight.data


class Abstract(nn.Module):
    """A base with a backward and no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def backward(self, grad_output):
        grad_output, input = self.saved_for_backward(grad_output)
        self.weight.accumulate_grad((grad_output * input * input).sum(0))
        return 2 * input * grad_output * self.weight.data


class Concrete(Abstract):
    def forward(self, input):
        output = input * input * self.weight.data
        self.save_for_backward(output, input)
        return output


class SquareTwin(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4,), 0.7, dtype=torch.float64))

    def forward(self, input):
        return input * input * self.weight


def square(kind: type) -> Callable[[Any], Any]:
    return lambda world: kind() if world is numpy_impl else SquareTwin()


def composite(world: Any, *parts: Any, registered: bool = True) -> Any:
    """A layer written by hand from others: in a ModuleList, or in a plain list."""

    class Composite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(parts) if registered else []
            if not registered:
                self.parts.extend(parts)

        def forward(self, input):
            for part in self.parts:
                input = part(input)
            return 3 * input

        def backward(self, grad_output):
            grad_output = 3 * grad_output
            for part in reversed(list(self.parts)):
                grad_output = part.backward(grad_output)
            return grad_output

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(parts) if registered else list(parts)

        def forward(self, input):
            for part in self.parts:
                input = part(input)
            return 3 * input

    return Composite() if world is numpy_impl else Twin()


def twice(world: Any, part: Any) -> Any:
    return composite(world, part, part)


def of_calls(world: Any, *parts: Any) -> Any:
    """Forward only: skips, cat, a part used twice."""

    class Net(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = world.nn.ModuleList(parts)
            self.act = world.nn.ReLU()
            self.head = linear(world, 8, 4)

        def forward(self, x):
            h = x
            for part in self.parts:
                h = self.act(part(h)) + x
            h = world.cat([self.act(h), part(x)], dim=1)
            return self.head(h) * 0.5

    return Net()


def sub_forward(world: Any) -> Any:
    class Twice(world.nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2 + input

    return Twice(4, 4, dtype=world.float64)


def sub_forward_twice(world: Any) -> Any:
    class Twice(world.nn.Linear):
        def forward(self, input):
            return super().forward(super().forward(input).tanh()) * 2

    return Twice(4, 4, dtype=world.float64)


def sub_backward(world: Any) -> Any:
    class Counting(world.nn.Linear):
        if world is numpy_impl:

            def backward(self, grad_output):
                self.count = getattr(self, "count", 0) + 1
                return super().backward(grad_output)

    return Counting(4, 4, dtype=world.float64)


def sub_both(world: Any) -> Any:
    """Both methods, each with its super(); what is kept, on the layer."""
    if world is not numpy_impl:

        class Twin(torch.nn.Linear):
            def forward(self, input):
                return super().forward(input * input) * input

        return Twin(4, 4, dtype=torch.float64)

    class Both(nn.Linear):
        def forward(self, input):
            self.input, self.inner = input, super().forward(input * input)
            return self.inner * input

        def backward(self, grad_output):
            inner = super().backward(grad_output * self.input)
            return grad_output * self.inner + 2 * self.input * inner

    return Both(4, 4, dtype="float64")


def sub_both_saving(world: Any) -> Any:
    """The same with save_for_backward, although the base has one of its own."""
    if world is not numpy_impl:
        return sub_both(world)

    class Both(nn.Linear):
        def forward(self, input):
            inner = super().forward(input * input)
            output = inner * input
            self.save_for_backward(output, input, inner)
            return output

        def backward(self, grad_output):
            grad_output, input, inner = self.saved_for_backward(grad_output)
            return grad_output * inner + 2 * input * super().backward(grad_output * input)

    return Both(4, 4, dtype="float64")


def own_forward(world: Any) -> Any:
    """A forward put on one object, around its own."""
    layer = linear(world)
    before = layer.forward
    layer.forward = lambda input: before(input) * 2 + input
    return layer


def own_forward_of_sequential(world: Any) -> Any:
    model = world.nn.Sequential(linear(world), world.nn.Tanh())

    def forward(self, input):
        return self[1](self[0](input)).view(-1).view(input.shape) + input

    model.forward = types.MethodType(forward, model)
    return model


def functional(world: Any) -> Any:
    functions = world.nn.functional

    class Net(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = world.nn.Parameter(world.tensor(X.T @ X2 / 3))
            self.bias = world.nn.Parameter(world.tensor(X[0].copy()))

        def forward(self, x):
            h = functions.leaky_relu(functions.linear(x, self.weight, self.bias), 0.1)
            h = functions.softmax(h, dim=1) * functions.relu(x) + functions.tanh(self.bias)
            return h - functions.log_softmax(x, dim=-1)

    return Net()


def tied(world: Any) -> Any:
    """One Linear in two nested Sequentials, and one of its own with the same weight."""
    shared, act = linear(world), world.nn.Tanh()
    other = linear(world, 4, 4, bias=False)
    other.weight = shared.weight
    return world.nn.Sequential(
        world.nn.Sequential(shared, act), world.nn.Sequential(act, shared, other)
    )


UNITS: dict[str, Callable[[Any], Any]] = {
    "linear": linear,
    "tanh": lambda world: world.nn.Tanh(),
    "batchnorm": lambda world: world.nn.BatchNorm1d(4, dtype=world.float64),
    "saving": square(Saving),
    "naive": square(Naive),
    "naive with parameters": square(NaiveWithParameters),
    "mixin": square(Mixed),
    "abstract base": square(Concrete),
    "super forward": sub_forward,
    "super forward twice": sub_forward_twice,
    "super backward": sub_backward,
    "super both": sub_both,
    "super both saving": sub_both_saving,
    "own forward": own_forward,
    "own forward of sequential": own_forward_of_sequential,
    "functional": functional,
    "tied": tied,
    "composite": lambda world: composite(world, linear(world), world.nn.Sigmoid()),
    "composite of composite": lambda world: composite(world, composite(world, linear(world))),
}
AROUND: dict[str, Callable[[Any, Any], Any]] = {
    "alone": lambda world, unit: unit,
    "sequential": lambda world, unit: world.nn.Sequential(unit, linear(world)),
    "nested": lambda world, unit: world.nn.Sequential(
        world.nn.Sequential(unit), world.nn.Sequential(world.nn.Tanh(), unit)
    ),
    "of calls": of_calls,
    "composite": composite,
    "composite twice": twice,
    "composite of sequential": lambda world, unit: composite(
        world, world.nn.Sequential(unit, world.nn.Tanh())
    ),
    "unregistered": lambda world, unit: composite(world, unit, unit, registered=False),
}


def pair(around: str, unit: str) -> tuple[Any, Any]:
    ours = AROUND[around](numpy_impl, UNITS[unit](numpy_impl))
    twin = AROUND[around](torch, UNITS[unit](torch))
    copy_weights(twin, ours)
    if around == "unregistered":
        copy_weights(twin.parts[0], ours.parts[0])
    return ours, twin


def parameters(model: Any) -> list[Any]:
    """Registered or not."""
    found = list(model.parameters())
    return found or [p for part in getattr(model, "parts", ()) for p in part.parameters()]


def assert_same(got: Any, wanted: Any, what: str = "") -> None:
    if wanted is None:
        assert got is None, what
    elif isinstance(wanted, tuple | list):
        assert len(got) == len(wanted), what
        for g, w in zip(got, wanted, strict=True):
            assert_same(g, w, what)
    elif isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for key in wanted:
            assert_same(got[key], wanted[key], what)
    else:
        got = got.data if isinstance(got, Tensor) else got
        wanted = to_numpy(wanted.detach()) if isinstance(wanted, torch.Tensor) else wanted
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11, err_msg=what)


def twin_grads(twin: Any, calls: list[tuple[Any, Any]]) -> tuple[list, list]:
    """Gradients for each call's input, and for the parameters over all of them."""
    inputs = [torch.tensor(x, requires_grad=True) for x, _ in calls]
    outputs = [twin(x) for x in inputs]
    for output, (_, g) in zip(outputs, calls, strict=True):
        output.backward(torch.tensor(g))
    return [x.grad for x in inputs], [p.grad for p in parameters(twin)]
