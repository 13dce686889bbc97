"""float32 against float64 as size grows, beside torch's: ``python -m parity_tests.accuracy``.

Prints a table in Markdown, and exits with 1 if an error of ours is more than 3 times torch's.
``--write`` puts it on the page, docs/accuracy.md.
"""

import argparse
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch

import numpy_impl
from parity_tests.accuracy_rows import ROWS, Draws, Row
from torch_ref.convert import to_numpy

Array = np.ndarray
PAGE = Path(numpy_impl.__file__).parent.parent / "docs" / "accuracy.md"
MARKS = "<!-- table: begin -->\n", "<!-- table: end -->"
ALLOWED = 3.0  # times torch's error
FLOOR = float(np.finfo(np.float32).eps)  # an error below one ulp counts as one
DRAWS = 2  # of the inputs: the largest error counts


@dataclass(frozen=True)
class Line:
    """The error of one result of a row, ours and torch's."""

    row: Row
    result: str
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Ours over torch's; NaN, where one of them is none, is above any limit."""
        return float(np.maximum(self.ours, FLOOR) / np.maximum(self.theirs, FLOOR))

    @property
    def is_allowed(self) -> bool:
        return self.ratio <= ALLOWED


def results(library: Any, row: Row, inputs: Sequence[Array], dtype: Any, seed: int) -> list[Array]:
    """What the row gives, and the gradients of the inputs that have a name."""
    tensors = []
    for array, name in zip_longest(inputs, row.names.split(" "), fillvalue=""):
        is_float = array.dtype == np.float32
        tensor = library.from_numpy(array.astype(dtype if is_float else array.dtype))
        tensors.append(tensor.requires_grad_() if name else tensor)
    output = row.run(library, *tensors)
    found = [output]
    if row.names:
        upstream = np.random.default_rng(seed).standard_normal(output.shape, np.float32)
        output.backward(library.from_numpy(np.asarray(upstream, dtype)))
        found += [tensor.grad for tensor in tensors if tensor.requires_grad]
    return [
        to_numpy(part) if library is torch else np.asarray(getattr(part, "data", part))
        for part in found
    ]


def measure(row: Row, size: int, draws: int = DRAWS) -> list[Line]:
    """The lines of a row at that size, on one thread."""
    errors = []
    for seed in range(draws):
        inputs = row.inputs(Draws(seed), size)
        true = results(torch, row, inputs, np.float64, seed)
        errors.append(
            [
                [_error(*pair) for pair in zip(found, true, strict=True)]
                for library in (numpy_impl, torch)
                if (found := results(library, row, inputs, np.float32, seed))
            ]
        )
    names = ["output", *(f"gradient of {name}" for name in row.names.split(" ") if name)]
    ours, theirs = np.max(errors, 0)
    return [Line(row, *line) for line in zip(names, ours, theirs, strict=True)]


def _error(found: Array, true: Array) -> float:
    """The largest difference over the largest true value."""
    assert (found.shape, found.dtype) == (true.shape, np.float32)
    return float(np.abs(found - true).max() / np.abs(true).max())


def table(lines: Iterable[Line]) -> str:
    """The lines in Markdown."""
    text = ["| | numbers or steps | result | ours | torch's | ratio |", "|---|--:|---|--:|--:|--:|"]
    for line in lines:
        size = f"{line.row.size:,}" if line.result == "output" else ""
        name = line.row.name if line.result == "output" else ""
        errors = f"{line.ours:.1e} | {line.theirs:.1e} | {line.ratio:.2f}"
        text.append(f"| {name} | {size} | {line.result} | {errors} |")
    return "\n".join(text) + "\n"


def main() -> int:
    """Print the table, and write it; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put it into docs/accuracy.md")
    write = parser.parse_args().write
    torch.set_num_threads(1)
    numpy_impl.set_num_threads(1)
    warnings.simplefilter("ignore")  # kl_div's mean: both libraries warn
    lines = [line for row in ROWS for line in measure(row, row.size)]
    print(table(lines))
    wrong = [line for line in lines if not line.is_allowed]
    for line in wrong:
        print(f"{line.row.name}, {line.result}: {line.ratio:.1f} times torch's error")
    if write:
        before, rest = PAGE.read_text().split(MARKS[0])
        PAGE.write_text(before + MARKS[0] + table(lines) + MARKS[1] + rest.split(MARKS[1])[1])
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
