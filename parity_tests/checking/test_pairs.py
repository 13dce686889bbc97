"""A layer and a loss together: averaged once is right, twice or never is wrong."""

import sys
from pathlib import Path

import pytest

from torch_ref.checking.check import load
from torch_ref.checking.drivers import CannotDrive, find_drivers
from torch_ref.checking.pairs import check_pair

FILE = str(Path(__file__).parents[2] / "examples" / "check" / "pairs.py")


def candidate(name):
    (found,) = find_drivers(load(FILE), name)
    return found


@pytest.mark.parametrize(
    ("layer", "loss", "key"),
    [
        ("Linear", "SoftmaxCrossEntropy", ""),
        ("LinearMean", "SoftmaxCrossEntropyUnaveraged", ""),
        ("LinearMean", "SoftmaxCrossEntropy", "division by the batch twice"),
        ("Linear", "SoftmaxCrossEntropyUnaveraged", "batch mean nowhere"),
    ],
)
def test_one_of_the_two_divides_by_the_batch_size(layer, loss, key, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    verdict = check_pair(candidate(layer), candidate(loss))
    assert verdict.verdict == ("wrong" if key else "right"), verdict
    assert verdict.keys == ([key] if key else [])


def test_two_layers_are_no_pair() -> None:
    with pytest.raises(CannotDrive, match="not a layer and a loss"):
        check_pair(candidate("Linear"), candidate("LinearMean"))
