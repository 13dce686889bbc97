"""A layer and a loss together: averaged once is right, twice or never is wrong."""

import sys
from pathlib import Path

import pytest

from torch_ref import assert_right, check
from torch_ref.checking.check import load
from torch_ref.checking.drivers import CannotDrive, find_drivers
from torch_ref.checking.pairs import check_pair
from torch_ref.checking.worker import Refused, check_file

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


def test_the_library_and_the_command_take_a_loss(monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    pairs = load(FILE)
    averaged, unaveraged = pairs.SoftmaxCrossEntropy, pairs.SoftmaxCrossEntropyUnaveraged
    assert check(pairs.LinearMean).verdict == "right by a convention"
    assert check(pairs.LinearMean, loss=unaveraged).verdict == "right"
    assert_right(pairs.LinearMean, loss=unaveraged, strict=True)
    assert "division by the batch twice" in check(pairs.LinearMean, loss=averaged)[-1].keys
    *_, pair = check_file(FILE, "Linear", loss=f"{FILE}:SoftmaxCrossEntropyUnaveraged")
    assert pair.keys == ["batch mean nowhere"]
    with pytest.raises(Refused, match="no loss"):
        check_file(FILE, "Linear", loss=f"{FILE}:LinearMean")


def test_what_softmax_leaves_to_the_loss_is_there(monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    pairs = load(FILE)
    assert check(pairs.SoftmaxOpen).verdict == "right by a convention"
    assert check(pairs.SoftmaxOpen, loss=pairs.CrossEntropyOfBoth).verdict == "right"


def test_two_layers_are_no_pair() -> None:
    with pytest.raises(CannotDrive, match="not a layer and a loss"):
        check_pair(candidate("Linear"), candidate("LinearMean"))
