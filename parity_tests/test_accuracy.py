"""float32 stays near float64 as size grows, as near as torch's: at less than the page's sizes."""

import re

import numpy as np
import pytest

from numpy_impl.kernels import products
from parity_tests import accuracy
from parity_tests.accuracy_rows import ROWS, Row


def reduced(row: Row) -> int:
    """A size at which adding term by term is seen, and which takes a tenth of a second."""
    return min(row.size // 4, 10**5)


@pytest.mark.filterwarnings("ignore:.*reduction.*mean:UserWarning")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_errors_are_at_most_three_times_torch_s(row: Row) -> None:
    for line in accuracy.measure(row, reduced(row), draws=1):
        errors = f"{line.ours:.2g} beside torch's {line.theirs:.2g}"
        assert line.is_allowed, f"{line.result}: {errors}, {line.ratio:.1f} times"


def test_adding_term_by_term_is_seen(monkeypatch) -> None:
    row = next(row for row in ROWS if row.name == "sum of columns")
    monkeypatch.setattr(products, "_FEW", 10**9)
    line = accuracy.measure(row, reduced(row), draws=1)[0]
    assert line.ratio > 10
    assert not line.is_allowed


def test_what_is_no_number_is_not_allowed() -> None:
    assert not accuracy.Line(ROWS[0], "output", np.nan, 1.0).is_allowed


def test_the_page_has_every_row() -> None:
    table = accuracy.PAGE.read_text().split(accuracy.MARKS[0])[1].split(accuracy.MARKS[1])[0]
    found = re.findall(r"^\| ([^|]+) \| ([\d,]+) \|", table, re.MULTILINE)
    assert found == [(row.name, f"{row.size:,}") for row in ROWS]
