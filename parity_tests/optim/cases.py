"""The optimizers' table, and the runs that compare each with its twin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import torch_ref
from numpy_impl import nn, optim
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance
from torch_ref.convert import to_numpy, to_torch

STEPS = 50
# the last is larger than one block of the update; one is not contiguous
SHAPES = ((), (3,), (4, 5), (2, 3, 4, 5), (300, 200))


@dataclass(frozen=True)
class Case:
    """One configuration of an optimizer, as written between the brackets."""

    name: str
    args: str

    def __str__(self) -> str:
        return f"{self.name}({self.args})"

    def build(self, world: Any, params: Any) -> Any:
        """The optimizer of ``numpy_impl.optim`` or ``torch_ref.optim``."""
        return eval(f"world.{self.name}(params, {self.args})", {"world": world, "params": params})

    def measure(self, dtype: str) -> list[Result]:
        """All steps with the same gradients: parameters and states after the last."""
        ours, twins = parameters(dtype)
        optimizer, twin = self.build(optim, ours), self.build(torch_ref.optim, twins)
        rng = np.random.default_rng(1)
        for _ in range(STEPS):
            give_gradients(ours, twins, rng)
            optimizer.step()
            twin.step()
        results = [
            Result(f"parameter {i}", "step", our.data, to_numpy(other.data))
            for i, (our, other) in enumerate(zip(ours, twins, strict=True))
        ]
        theirs = twin.state_dict()["state"]
        for number, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                other = theirs[number][key]
                if isinstance(value, np.ndarray | np.generic):
                    name = f"{key} of parameter {number}"
                    results.append(Result(name, "step", np.asarray(value), to_numpy(other)))
                elif value != other:
                    raise AssertionError(f"{key} of parameter {number}: ours {value}, twin {other}")
        return results

    def tolerance(self, dtype: str, result: Result) -> Tolerance:
        return tolerance(dtype, result.direction)


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
    }.items()
    for args in table
]


def parameters(dtype: str) -> tuple[list[nn.Parameter], list[torch.nn.Parameter]]:
    """The same values in both worlds; ours of (2, 3, 4, 5) is channels-last in memory."""
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(shape)).astype(dtype) for shape in SHAPES]
    twins = [torch.nn.Parameter(to_torch(array)) for array in arrays]
    arrays[3] = np.moveaxis(np.ascontiguousarray(np.moveaxis(arrays[3], 1, -1)), -1, 1)
    return [nn.Parameter(array) for array in arrays], twins


def give_gradients(ours: Any, twins: Any, rng: np.random.Generator) -> None:
    """The same random gradients; now and then a parameter has none."""
    for our, twin in zip(ours, twins, strict=True):
        grad = np.asarray(rng.standard_normal(our.shape)).astype(our.dtype)
        missing = rng.random() < 0.2
        our.grad = None if missing else grad
        twin.grad = None if missing else to_torch(grad)


def stepped(case: Case, dtype: str) -> tuple[Any, Any, Any, Any]:
    """Parameters and optimizers of both worlds after three steps."""
    ours, twins = parameters(dtype)
    optimizer, twin = case.build(optim, ours), case.build(torch_ref.optim, twins)
    rng = np.random.default_rng(4)
    for _ in range(3):
        give_gradients(ours, twins, rng)
        optimizer.step()
        twin.step()
    return ours, twins, optimizer, twin


KEEPERS = [
    Case("SGD", "lr=0.1, momentum=0.9"),
    Case("MomentGD", ""),
    Case("Adagrad", "lr_decay=0.1, initial_accumulator_value=0.5"),
    Case("Adam", "amsgrad=True"),
]
