"""The parity ledger: the worst error of every component, by the code that the tests run."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from parity_tests.tables import tables

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


def measure_all(committed: Path) -> list[Entry]:
    """Run every case in both dtypes; ``committed`` is the ledger to compare with."""
    worst: dict[tuple[str, str, str], tuple[float, float]] = {}
    counts: dict[str, int] = {}
    for case in (case for table in tables().values() for case in table):
        counts[case.name] = counts.get(case.name, 0) + 1
        for dtype in ("float64", "float32"):
            for result in case.measure(dtype):
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
