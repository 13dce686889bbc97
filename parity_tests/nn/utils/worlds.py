"""The same parametrized module in both worlds, and what comes out of it there."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn.utils import parametrizations, parametrize
from numpy_impl.tensor.tensor import to_array
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, random_upstream, run_module
from torch_ref.convert import to_numpy, to_torch


class World(NamedTuple):
    """A namespace, and what differs between the two."""

    nn: Any
    parametrize: Any
    parametrizations: Any
    optim: Any
    dtype: Callable[[str], Any]
    seed: Callable[[int], Any]


OURS = World(nn, parametrize, parametrizations, numpy_impl.optim, np.dtype, numpy_impl.manual_seed)
TORCH_S = World(
    torch.nn,
    torch.nn.utils.parametrize,
    torch.nn.utils.parametrizations,
    torch.optim,
    lambda name: getattr(torch, name),
    torch.manual_seed,
)


def array_of(value: Any) -> Any:
    """The array of a Tensor of either world, or a copy of the array."""
    return to_numpy(value) if isinstance(value, torch.Tensor) else np.array(to_array(value))


def pair(build: Callable[[World, Any], Any], dtype: str = "float64") -> tuple[Any, Any]:
    """What ``build(world, dtype)`` makes in both, from the same seed."""
    modules = []
    for world in (OURS, TORCH_S):
        world.seed(3)
        modules.append(build(world, world.dtype(dtype)))
    return modules[0], modules[1]


def parametrizations_of(world):
    """Parametrizations written with operations on Tensors, for either world."""

    class Symmetric(world.nn.Module):
        def forward(self, X):
            return X.triu() + X.triu(1).T

        def right_inverse(self, A):
            return A.triu()

    class Outer(world.nn.Module):
        """Of rank one: several originals."""

        def forward(self, x, y):
            return x.unsqueeze(-1) * y.unsqueeze(-2)

        def right_inverse(self, Z):
            return Z[:, 0].clone(), Z[0].clone()

    class Scaled(world.nn.Module):
        """With a parameter of its own."""

        def __init__(self, dtype) -> None:
            super().__init__()
            start = np.full(1, 0.7)
            self.scale = world.nn.Parameter(start if world is OURS else to_torch(start))

        def forward(self, X):
            return X * self.scale

        def right_inverse(self, X):
            return (X / self.scale).detach()

    class Shifted(world.nn.Module):
        def forward(self, X):
            return X + 1

        def right_inverse(self, X):
            return X - 1

    class Squared(world.nn.Module):
        """Without an inverse."""

        def forward(self, X):
            return X * X

    classes = (Symmetric, Outer, Scaled, Shifted, Squared)
    return {cls.__name__: cls for cls in classes}


def apply(world, module, dtype, table):
    """Register parametrizations: (tensor, name), ..."""
    classes = parametrizations_of(world)
    for tensor, name in table:
        cls = classes[name]
        parametrization = cls(dtype) if name == "Scaled" else cls()
        world.parametrize.register_parametrization(module, tensor, parametrization)
    return module


def same_state(ours: Any, twin: Any, dtype: str = "float64") -> None:
    """Keys in their order, and values; and the looks."""
    theirs = twin.state_dict()
    assert list(ours.state_dict()) == list(theirs)
    for key, value in ours.state_dict().items():
        Result(key, "step", value, to_numpy(theirs[key])).check(tolerance(dtype, "step"))
    assert repr(ours) == repr(twin)


def same_training(
    ours: Any, twin: Any, inputs: tuple[Any, ...], dtype: str = "float64", steps: int = 3
) -> None:
    """Steps of SGD from arrays: outputs, all gradients, buffers and what is parametrized."""
    same_state(ours, twin, dtype)
    rng = np.random.default_rng(7)
    optimizer = OURS.optim.SGD(ours.parameters(), lr=0.1)
    twin_optimizer = TORCH_S.optim.SGD(twin.parameters(), lr=0.1)
    for _ in range(steps):
        same_with_tensors(ours, inputs, rng)
        for result in run_module(ours, twin, inputs, rng):
            result.check(tolerance(dtype, result.direction), str(ours))
        optimizer.step()
        twin_optimizer.step()
        optimizer.zero_grad()
        twin_optimizer.zero_grad()


def same_with_tensors(ours: Any, inputs: tuple[Any, ...], rng: Any) -> None:
    """Called with Tensors it gives what it gives for arrays, forward and backward."""
    was_training = ours.training
    ours.eval()  # so that it gives the same twice
    output = ours(*inputs)
    upstream = random_upstream(output, rng)
    grads = ours.backward(upstream)
    found = [output, *(grads if isinstance(grads, tuple) else [grads])]
    found += [p.grad for p in ours.parameters()]
    ours.zero_grad()
    given = [numpy_impl.Tensor(a, requires_grad=a.dtype.kind == "f") for a in inputs]
    tensor = ours(*given)
    tensor.backward(numpy_impl.Tensor(upstream))
    again = [tensor.data, *(t.grad for t in given), *(p.grad for p in ours.parameters())]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one, other)
    ours.zero_grad()
    ours.train(was_training)
