"""The parity ledger: the worst error of every component, by the code that the tests run."""

import csv
import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import parity_tests.nn
import parity_tests.optim
from parity_tests import cases as module_cases
from parity_tests.optim import cases as optim_cases

DIRECTIONS = ("forward", "input_grad", "param_grad", "buffer", "step")
COLUMNS = ("component", "cases", "dtype", "direction", "worst_error", "tolerance_used")
_GROWTH = 10.0
# below this an error is rounding noise of single operations, which any refactoring may move
_NOISE = {"float64": 1e-14, "float32": 1e-6}


@dataclass(frozen=True)
class Entry:
    """One component in one dtype and direction.

    Attributes:
        component: the class.
        cases: how many configurations were run.
        dtype: float64 or float32.
        direction: forward, input_grad, param_grad, buffer, or step for an optimizer.
        worst_error: largest difference, relative to the largest value where that is above 1.
        tolerance_used: the share of the allowed difference that the worst element used.
        grown: whether the error is ten times that of the committed ledger.
    """

    component: str
    cases: int
    dtype: str
    direction: str
    worst_error: float
    tolerance_used: float
    grown: bool = False


def tables() -> list[tuple[Any, Any]]:
    """Every case of every table, with the function that measures it."""
    found = []
    for package, measure in ((parity_tests.nn, module_cases.measure),):
        for info in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            module = importlib.import_module(info.name)
            found += [(case, measure) for case in getattr(module, "CASES", ())]
    found += [(case, optim_cases.measure) for case in optim_cases.CASES]
    return found


def measure_all(committed: Path) -> list[Entry]:
    """Run every case in both dtypes; ``committed`` is the ledger to compare with."""
    worst: dict[tuple[str, str, str], tuple[float, float]] = {}
    counts: dict[str, int] = {}
    for case, measure in tables():
        counts[case.name] = counts.get(case.name, 0) + 1
        for dtype in ("float64", "float32"):
            for result in measure(case, dtype):
                key = (case.name, dtype, result.direction)
                error, used = worst.get(key, (0.0, 0.0))
                allowed = case.tolerance(dtype, result)
                worst[key] = (max(error, result.error()), max(used, result.used(allowed)))
    before = _read(committed)
    return [
        Entry(
            component,
            counts[component],
            dtype,
            direction,
            error,
            used,
            error > _GROWTH * max(before.get((component, dtype, direction), error), _NOISE[dtype]),
        )
        for (component, dtype, direction), (error, used) in sorted(
            worst.items(), key=lambda item: (item[0][0], item[0][1], DIRECTIONS.index(item[0][2]))
        )
    ]


def _read(path: Path) -> dict[tuple[str, str, str], float]:
    if not path.exists():
        return {}
    with path.open(newline="") as file:
        return {
            (row["component"], row["dtype"], row["direction"]): float(row["worst_error"])
            for row in csv.DictReader(file)
        }


def rows(entries: Sequence[Entry]) -> list[list[str]]:
    """The ledger's CSV."""
    return [
        [
            e.component,
            str(e.cases),
            e.dtype,
            e.direction,
            f"{e.worst_error:.2e}",
            f"{e.tolerance_used:.1%}",
        ]
        for e in entries
    ]
