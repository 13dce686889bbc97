"""The parity ledger: the worst error of every component, by the code that the tests run."""

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

from parity_tests.tables import tables
from reports.document import Table
from torch_ref.compare import Tolerance

# columns of the ledger and the directions of a Result that they gather
COLUMNS = {
    "forward": ("forward",),
    "input gradient": ("input_grad",),
    "parameter gradients": ("param_grad",),
    "buffers, steps": ("buffer", "step"),
}
DTYPES = ("float64", "float32")
GROWTH = 10.0
# below this an error is rounding noise of single operations, which any refactoring may move
_NOISE = {"float64": 1e-14, "float32": 1e-6}


@dataclass
class Line:
    """One component in one dtype.

    Attributes:
        component: the class or function.
        dtype: float64 or float32.
        cases: how many configurations were run.
        errors: by column, the largest difference from the twin, relative to the largest value of
            the array where that is above 1.
        used: the largest share of the allowed difference that any element used.
        tolerance: the tolerance of that element.
        grown: columns whose error is ten times the committed one.
    """

    component: str
    dtype: str
    cases: int
    errors: dict[str, float] = field(default_factory=dict)
    used: float = 0.0
    tolerance: Tolerance | None = None
    grown: list[str] = field(default_factory=list)

    def cells(self) -> list[str]:
        def error(column: str) -> str:
            if column not in self.errors:
                return "–"
            return f"{self.errors[column]:.1e}" + (" ▲" if column in self.grown else "")

        errors = [error(column) for column in COLUMNS]
        allowed = _describe(self.tolerance) if self.tolerance else "bit for bit"
        used = f"{self.used:.1%}"
        return [self.component, str(self.cases), self.dtype, *errors, allowed, used]


HEADER = ("component", "cases", "dtype", *COLUMNS, "tolerance", "tolerance used")


def _describe(tolerance: Tolerance) -> str:
    if tolerance.rtol == tolerance.atol == 0:
        return "bit for bit"
    if tolerance.rtol == 0:
        return f"atol {tolerance.atol:.0e}"
    scaled = " × max" if tolerance.scaled else ""
    return f"rtol {tolerance.rtol:.3g}, atol {tolerance.atol:.3g}{scaled}"


def measure_all(committed: str) -> list[Line]:
    """Run every case of every table in both dtypes.

    Args:
        committed: the text of the ledger's CSV to compare with; "" for none.
    """
    column_of = {d: column for column, directions in COLUMNS.items() for d in directions}
    lines: dict[tuple[str, str], Line] = {}
    for case in (case for table in tables().values() for case in table):
        for dtype in DTYPES:
            line = lines.setdefault((case.name, dtype), Line(case.name, dtype, 0))
            line.cases += 1
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's remarks on its own implementation
                results = case.measure(dtype)
            for result in results:
                column = column_of[result.direction]
                line.errors[column] = max(line.errors.get(column, 0.0), result.error())
                allowed = case.tolerance(dtype, result)
                used = result.used(allowed)
                if line.tolerance is None or used > line.used:
                    line.used, line.tolerance = max(used, line.used), allowed
    before = read(committed)
    for line in lines.values():
        for column, error in line.errors.items():
            known = before.get((line.component, line.dtype, column), error)
            if error > GROWTH * max(known, _NOISE[line.dtype]):
                line.grown.append(column)
    return sorted(lines.values(), key=lambda x: (x.component.lower(), DTYPES.index(x.dtype)))


def read(text: str) -> dict[tuple[str, str, str], float]:
    """The errors in a ledger's CSV, by component, dtype and column."""
    errors = {}
    for row in csv.DictReader(io.StringIO(text)):
        for column in COLUMNS:
            cell = row.get(column, "–").removesuffix(" ▲")
            if cell != "–":
                errors[row["component"], row["dtype"], column] = float(cell)
    return errors


def table(lines: Sequence[Line]) -> Table:
    """The ledger as the report shows it."""
    fold = ""
    if lines:
        worst = max(lines, key=lambda line: line.used)
        fold = f"{len(lines)} lines; {worst.component} uses most of its tolerance, {worst.used:.1%}"
    rows = [line.cells() for line in lines]
    return Table("ledger", HEADER, rows, frozenset({"tolerance used"}), fold)
