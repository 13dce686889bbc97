"""How a curve's shape is put into words: where it goes flat, where it bends."""

import numpy as np
import pytest

from reports import shapes
from reports.accuracy import plan
from reports.runs import Run
from reports.shapes import Curve

STEPS = np.arange(100, 2001, 100)


def curve(loss, accuracy=None) -> Curve:
    flat = np.full(len(STEPS), 0.9)
    return Curve(STEPS, np.asarray(loss, float), flat if accuracy is None else accuracy)


def rising(flat_from: int) -> np.ndarray:
    return 0.9 - 0.02 * np.less(STEPS, flat_from)


def test_a_curve_is_read_from_the_dev_evaluations_of_a_run() -> None:
    history = [
        {"kind": "train", "step": 1, "loss": 9.0, "accuracy": 0.0, "lr": 0.1},
        {"kind": "dev", "step": 1, "loss": 2.0, "accuracy": 0.5},
        {"kind": "epoch", "step": 1},
        {"kind": "dev", "step": 2, "loss": 1.0, "accuracy": 0.75},
    ]
    found = Curve.of(history)
    assert found.steps.tolist() == [1, 2]
    assert found.loss.tolist() == [2.0, 1.0]
    assert found.accuracy.tolist() == [0.5, 0.75]


@pytest.mark.parametrize("step", [100, 300, 2000])
def test_flat_is_from_where_the_accuracy_stays_near_its_end(step) -> None:
    assert curve(STEPS, rising(step)).flat_from() == step
    near_once = rising(step)
    near_once[0] = 0.9  # near its end by chance, and away again
    assert curve(STEPS, near_once).flat_from() == (100 if step == 100 else step)


@pytest.mark.parametrize(
    ("flat", "says"),
    [
        (400, "from step 400 of 2,000 on, about where the published one goes flat"),
        (500, "from step 500 of 2,000 on, later than the published one"),
        (100, "from step 100 of 2,000 on, earlier than the published one"),
    ],
)
def test_going_flat_is_compared_with_the_published_curve(flat, says) -> None:
    assert says in shapes.describe(curve(2000 - STEPS, rising(flat)), 300)
    assert "published" not in shapes.describe(curve(2000 - STEPS, rising(flat)), None)


def test_a_loss_that_rises_again_is_said() -> None:
    falling = 1 - STEPS / 4000
    assert "does not rise again (end: 0.5000)" in shapes.describe(curve(falling), None)
    level = np.maximum(falling, 0.75 + 1e-5 * STEPS / 2000)
    assert "does not rise again (end: 0.7500)" in shapes.describe(curve(level), None)
    risen = np.where(STEPS > 1500, 0.7, falling)
    text = shapes.describe(curve(risen), None)
    assert "lowest at step 1,500 (0.6250) and ends at 0.7000" in text


def test_a_bend_is_one_beside_a_constant_rate_alone() -> None:
    """A slope that dies away by itself is no bend; one that is halved beside it is."""
    smooth = np.exp(-STEPS / 500)
    halved = np.exp(-np.where(STEPS > 500, 500 + (STEPS - 500) / 2, STEPS) / 500)
    constant = curve(smooth)
    assert "it bends there" in shapes.describe_bend(curve(halved), 500, constant)
    assert "no bend shows there" in shapes.describe_bend(constant, 500, constant)
    alone = shapes.describe_bend(curve(halved), 500, None)
    assert alone == ("the dev loss falls by 0.090 in 100 steps before step 500, by 0.033 after it")
    assert "too short" in shapes.describe_bend(curve(halved), 5000, constant)


def test_every_row_has_a_sentence_from_its_own_run() -> None:
    """As published where there is such a run; the shape on record is compared, no other."""

    class Runs:
        def history(self, run: Run) -> list[dict]:
            flat_from = 300 if run.recipe == "momentum-5ep-as-published" else 1000
            return [
                {"kind": "dev", "step": int(s), "loss": float(np.exp(-s / 500)), "accuracy": a}
                for s, a in zip(STEPS, rising(flat_from), strict=True)
            ]

    rows = ["sgd-5ep", "momentum-5ep", "momentum-10ep", "cnn-10ep"]
    table = shapes.table(rows, Runs(), plan(rows, [0]))
    assert [row[0] for row in table.rows] == rows
    sgd, momentum, ten, cnn = (row[1:] for row in table.rows)
    assert "bends a curve at step 500" in sgd[0]
    assert "no bend shows there" in sgd[1]
    assert "from about step 300" in momentum[0]
    assert "from step 300 of 2,000 on, about where the published one goes flat" in momentum[1]
    assert "bend" not in momentum[1]
    assert ten[0] == "Only the end is on record."
    assert "from step 1,000 of 2,000 on; the dev loss does not rise again" in ten[1]
    assert cnn[0].startswith("None")
