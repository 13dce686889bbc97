"""The optimizers' table, and the runs that compare each with its twin."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import torch_ref
from numpy_impl import nn, optim
from numpy_impl.optim import muon
from numpy_impl.tensor.rows import SparseRows
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance
from torch_ref.convert import to_numpy, to_torch

STEPS = 50
# the last is cut into pieces by the tests, which make those small; one is not contiguous
SHAPES = ((), (3,), (4, 5), (2, 3, 4, 5), (40, 30))
SMALL_PIECES = 500


# from parameters to a closure
Objective = Callable[[Any], Callable[[], Any]]
# Muon's; the last is not contiguous
MATRICES = ((4, 5), (40, 30), (1, 7), (3, 40))
# a first layer's weight, and a second's
NETWORK = ((4, 5), (5, 3))
# tables, of which gradients have few rows; the second is transposed in memory
TABLES = ((7, 3), (40, 30), (6,))


def closure(params: Any) -> Callable[[], Any]:
    """The error of a small network, and its gradients, written into ``params``.

    Bounded, so that ``maximize`` has somewhere to go: the mean of e^2 / (1 + e^2).
    """
    rng = np.random.default_rng(6)
    x, target = rng.standard_normal((20, 4)), rng.standard_normal((20, 3))
    is_ours = isinstance(params[0], nn.Parameter)

    def call() -> Any:
        first, second = (p.data if is_ours else p.detach().numpy() for p in params)
        hidden = np.tanh(x @ first)
        error = hidden @ second - target
        upstream = 2 * error / (1 + error**2) ** 2 / error.size
        grads = x.T @ (upstream @ second.T * (1 - hidden**2)), hidden.T @ upstream
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad if is_ours else torch.from_numpy(grad)
        return (error**2 / (1 + error**2)).mean()

    return call


def lookups(params: Any) -> Callable[[], Any]:
    """As :func:`closure`, of a network that looks rows up in two tables: other ones each time."""
    rng = np.random.default_rng(6)
    target = rng.standard_normal((8, 3))
    mix = rng.standard_normal((5, 3))
    is_ours = isinstance(params[0], nn.Parameter)

    def call() -> Any:
        tables = [p.data if is_ours else p.detach().numpy() for p in params]
        i, j = (rng.integers(0, len(table), 8) for table in tables)
        first, second = tables[0][i], tables[1][j]
        error = np.tanh(first) @ mix + second - target
        upstream = 2 * error / (1 + error**2) ** 2 / error.size
        grads = (upstream @ mix.T) * (1 - np.tanh(first) ** 2), upstream
        for param, index, grad in zip(params, (i, j), grads, strict=True):
            found = SparseRows(index, grad, tuple(param.shape))
            param.grad = found if is_ours else to_torch(found)
        return (error**2 / (1 + error**2)).mean()

    return call


@contextmanager
def without_bfloat16() -> Iterator[None]:
    """Muon's iteration in the dtype of the parameters, in both worlds.

    In bfloat16 the order of a sum decides on a digit of eight bits, and no formula is proven;
    ``test_muon`` says how near the two are there.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(muon, "as_bfloat16", np.asarray)
        patch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
        yield


@dataclass(frozen=True)
class Case:
    """One configuration of an optimizer, as written between the brackets."""

    name: str
    args: str

    def __str__(self) -> str:
        return f"{self.name}({self.args})"

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        if self.is_sparse:
            return TABLES
        return MATRICES if self.name == "Muon" else SHAPES

    @property
    def is_sparse(self) -> bool:
        """Whether its gradients are of few rows."""
        return self.name == "SparseAdam"

    def build(self, world: Any, params: Any) -> Any:
        """The optimizer of ``numpy_impl.optim`` or ``torch_ref.optim``."""
        return eval(f"world.{self.name}(params, {self.args})", {"world": world, "params": params})

    def measure(self, dtype: str) -> list[Result]:
        """All steps with the same gradients: parameters after each, states after the last."""
        ours, twins = parameters(dtype, self.shapes)
        optimizer, twin = self.build(optim, ours), self.build(torch_ref.optim, twins)
        rng = np.random.default_rng(1)

        def step() -> None:
            self.give_gradients(ours, twins, rng)
            optimizer.step()
            twin.step()

        return [*paths(step, ours, twins), *states(optimizer, twin)]

    def measure_objective(self) -> list[Result]:
        """As ``measure``, with the gradients of a network's error."""
        results, optimizer, twin = self.descend(lookups if self.is_sparse else closure)
        return [*results, *states(optimizer, twin)]

    def descend(
        self, objective: Objective, dtype: str = "float64", steps: int = STEPS
    ) -> tuple[list[Result], Any, Any]:
        """The steps on an objective, whose gradients each world takes at its own parameters."""
        ours, twins = parameters(dtype, NETWORK)
        optimizer, twin = self.build(optim, ours), self.build(torch_ref.optim, twins)
        rtol = 1e-10 if dtype == "float64" else 1e-5
        mine, theirs = objective(ours), objective(twins)

        def step() -> None:
            loss, other = optimizer.step(mine), twin.step(theirs)
            np.testing.assert_allclose(loss, other, rtol)

        return list(paths(step, ours, twins, steps)), optimizer, twin

    def give_gradients(self, ours: Any, twins: Any, rng: np.random.Generator) -> None:
        """The same random gradients; now and then a parameter has none."""
        for our, twin in zip(ours, twins, strict=True):
            grad: Any = np.asarray(rng.standard_normal(our.shape)).astype(our.dtype)
            if self.is_sparse:  # half as many rows as there are, some of them twice, others never
                index = rng.integers(0, len(grad), len(grad) // 2)
                grad = SparseRows(index, grad[: len(index)], our.shape)
            missing = rng.random() < 0.2
            our.grad = None if missing else grad
            twin.grad = None if missing else to_torch(grad)

    def tolerance(self, dtype: str, result: Result) -> Tolerance:
        # elementwise, but for few of them: a tenth of the table's
        exact = Tolerance(rtol=1e-10, atol=1e-12, scaled=True)
        return exact if dtype == "float64" else tolerance(dtype, result.direction)


def paths(step: Callable[[], None], ours: Any, twins: Any, steps: int = STEPS) -> Iterator[Result]:
    """Makes the steps: all values that each parameter had."""
    pairs = list(zip(ours, twins, strict=True))
    found: list[tuple[list[Any], list[Any]]] = [([], []) for _ in pairs]
    for _ in range(steps):
        with without_bfloat16():
            step()
        for (mine, others), (our, other) in zip(found, pairs, strict=True):
            mine.append(our.data.copy())
            others.append(to_numpy(other.data))
    for i, (mine, others) in enumerate(found):
        yield Result(f"parameter {i}", "step", np.stack(mine), np.stack(others))


def states(optimizer: Any, twin: Any) -> Iterator[Result]:
    """What the two keep: the same names, arrays of the same dtypes, other values the same."""
    mine, theirs = (made.state_dict()["state"] for made in (optimizer, twin))
    assert {n: set(state) for n, state in mine.items()} == {
        n: set(state) for n, state in theirs.items()
    }
    for number, state in mine.items():
        for key, value in state.items():
            yield from _same(f"{key} of parameter {number}", value, theirs[number][key])


def _same(name: str, value: Any, other: Any) -> Iterator[Result]:
    if isinstance(value, np.ndarray | np.generic):
        yield Result(name, "step", np.asarray(value), to_numpy(other))
    elif isinstance(value, list):
        assert len(value) == len(other), name
        for i, (part, their) in enumerate(zip(value, other, strict=True)):
            yield from _same(f"{name}[{i}]", part, their)
    else:
        assert type(value) is type(other), name
        assert value == (pytest.approx(other, 1e-10) if isinstance(value, float) else other), name


CASES = [
    Case(name, args)
    for name, table in {
        "SGD": (
            "lr=0.1",
            "lr=0.1, momentum=0.9",
            "lr=0.1, momentum=0.9, dampening=0.3",
            "lr=0.1, momentum=0.9, nesterov=True",
            "lr=0.1, weight_decay=0.1",
            "lr=0.1, momentum=0.9, weight_decay=0.1, maximize=True",
            "lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True",
            "lr=0.1, dampening=0.5",
            "lr=0.0",
        ),
        "MomentGD": (
            "",
            "lr=0.1, mu=0.5",
            "lr=0.1, lr_decay=0.9",
            "lr=0.1, mu=0.99, mu_decay=0.95",
            "0.1, 0.0, 0.99, 0.9",
        ),
        "Adagrad": (
            "",
            "lr=0.1, lr_decay=0.05",
            "lr=0.1, initial_accumulator_value=0.5",
            "lr=0.1, eps=0.1",
            "lr=0.1, weight_decay=0.1",
            "0.1, 0.01, 0.1, 0.2, 1e-3, maximize=True",
        ),
        "Adam": (
            "",
            "lr=0.01, betas=(0.5, 0.9)",
            "lr=0.01, eps=0.1",
            "lr=0.01, weight_decay=0.1",
            "lr=0.01, weight_decay=0.1, decoupled_weight_decay=True",
            "lr=0.01, amsgrad=True",
            "lr=0.01, amsgrad=True, maximize=True, weight_decay=0.1",
        ),
        "AdamW": (
            "",
            "0.01, (0.5, 0.9), 0.1, 0.3, True, maximize=True",
        ),
        "RMSprop": (
            "",
            "lr=0.1, alpha=0.5, eps=0.1, weight_decay=0.1",
            "centered=True, eps=1e-3",
            "momentum=0.9",
            "0.01, 0.9, 1e-6, 0.1, 0.5, True, maximize=True",
            "alpha=0",
        ),
        "Adadelta": (
            "",
            "lr=0.1, eps=0.1",
            "rho=0.5, weight_decay=0.9, maximize=True",
            "rho=0.0",
            "rho=1.0",
        ),
        "Adamax": (
            "",
            "lr=0.1, betas=(0.5, 0.6)",
            "eps=0.1, weight_decay=0.1, maximize=True",
            "betas=(0.0, 0.0)",
        ),
        "NAdam": (
            "",
            "lr=0.01, betas=(0.5, 0.9), momentum_decay=0.1",
            "lr=0.01, eps=0.1, weight_decay=0.1, maximize=True",
            "0.01, (0.9, 0.99), 1e-8, 0.1, 0.0, True",
        ),
        "RAdam": (
            "",
            "lr=0.1, betas=(0.5, 0.9), eps=0.1",
            "betas=(0.9, 0.5)",  # never rectified
            "weight_decay=0.1, maximize=True",
            "0.01, (0.9, 0.99), 1e-6, 0.1, True",
        ),
        "Rprop": (
            "",
            "lr=0.1, etas=(0.3, 1.5)",
            "step_sizes=(5e-3, 2e-2)",
            "lr=100, maximize=True",
        ),
        "ASGD": (
            "",
            "lr=0.1, lambd=0.1, alpha=0.5",
            "t0=10",
            "lr=0.1, t0=0, weight_decay=0.1, maximize=True",
        ),
        "Adafactor": (
            "",
            "weight_decay=0.1, lr=0.01",
            "weight_decay=0.1, maximize=True",
            "beta2_decay=-1.0",
            "d=1.5",
            "0.9, -0.3, (0.1, 0.5), 1.2, 0.1",
        ),
        "Muon": (
            "",
            "lr=0.01",
            "weight_decay=0.2",
            "momentum=0.8",
            "ns_steps=6",
            "ns_coefficients=(3.4, -4.7, 2.0)",
            "0.1, 0.3, 0.5, False, eps=0.5, adjust_lr_fn='match_rms_adamw'",
            "adjust_lr_fn='original', ns_steps=0",
        ),
        "SparseAdam": (
            "",
            "lr=0.1",
            "lr=0.01, betas=(0.5, 0.9)",
            "betas=(0.0, 0.0)",
            "lr=0.01, eps=0.1",
            "0.1, (0.3, 0.99), 1e-3, True",
        ),
    }.items()
    for args in table
]


def parameters(
    dtype: str, shapes: Sequence[tuple[int, ...]] = SHAPES
) -> tuple[list[nn.Parameter], list[torch.nn.Parameter]]:
    """The same values in both worlds; ours of (2, 3, 4, 5) is channels-last in memory.

    And of Muon's matrices the last is transposed there.
    """
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in shapes]
    twins = [torch.nn.Parameter(to_torch(array)) for array in arrays]
    if shapes is SHAPES:
        arrays[3] = np.moveaxis(np.ascontiguousarray(np.moveaxis(arrays[3], 1, -1)), -1, 1)
    if shapes is TABLES:
        arrays[1] = np.asfortranarray(arrays[1])
    return [nn.Parameter(array) for array in arrays], twins


def torch_state(state: Any) -> Any:
    """A state dict of ours as torch's: tensors for arrays and NumPy's numbers."""
    if isinstance(state, dict):
        return {key: torch_state(value) for key, value in state.items()}
    if isinstance(state, list):
        return [torch_state(value) for value in state]
    return to_torch(state) if isinstance(state, np.ndarray | np.generic | SparseRows) else state


def stepped(case: Case, dtype: str) -> tuple[Any, Any, Any, Any]:
    """Parameters and optimizers of both worlds after three steps."""
    ours, twins = parameters(dtype, case.shapes)
    optimizer, twin = case.build(optim, ours), case.build(torch_ref.optim, twins)
    rng = np.random.default_rng(4)
    for _ in range(3):
        case.give_gradients(ours, twins, rng)
        optimizer.step()
        twin.step()
    return ours, twins, optimizer, twin


KEEPERS = [
    Case("SGD", "lr=0.1, momentum=0.9"),
    Case("MomentGD", ""),
    Case("Adagrad", "lr_decay=0.1, initial_accumulator_value=0.5"),
    Case("Adam", "amsgrad=True"),
    Case("RMSprop", "momentum=0.9, centered=True"),
    Case("Adadelta", ""),
    Case("Adamax", ""),
    Case("NAdam", "momentum_decay=0.1"),
    Case("RAdam", "betas=(0.9, 0.9)"),
    Case("Rprop", ""),
    Case("ASGD", "lr=0.1, lambd=0.1, t0=0"),
    Case("Adafactor", ""),
    Case("SparseAdam", ""),
    Case("Muon", ""),
]
