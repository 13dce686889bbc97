"""The lab's curves are pictures without numbers: what is known of their shapes, beside ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reports import accuracy
from reports.document import Table
from reports.runs import Run, Store, canonical

Array = np.ndarray
Records = Sequence[dict[str, Any]]

# a curve is flat from where its accuracy stays within this of its end
FLAT = 0.01
# a loss that ends less than this above its least value did not rise again
STILL = 0.0005
# a schedule's bend shows if the slope behind it, relative to the one before it, is at most this
# share of what it is with a constant rate; halving the rate alone would make it 0.5
BEND = 0.75
# evaluations on each side of a step over which a slope is taken
_REACH = 2

# what is on record of the published curves besides their ends
PUBLISHED = {
    "sgd-5ep": (
        "The code of that day halved the rate every 500 steps, which bends a curve at step 500; "
        "besides, only the end is on record"
    ),
    "momentum-5ep": "Goes flat from about step 300",
    "cnn-10ep": "None: a screenshot of the progress bar of a run that was given up",
}
_END_ALONE = "Only the end is on record"
# the step from which the published curve is flat
PUBLISHED_FLAT = {"momentum-5ep": 300}
# the constant-rate row beside which a row with a schedule is seen to bend
CONSTANT = {"sgd-5ep": "sgd-5ep", "regularised-5ep": "sgd-5ep", "regularised-10ep": "sgd-10ep"}


@dataclass(frozen=True)
class Curve:
    """The dev set's loss and accuracy at the steps where it was evaluated."""

    steps: Array
    loss: Array
    accuracy: Array

    @classmethod
    def of(cls, history: Records) -> "Curve":
        dev = [record for record in history if record["kind"] == "dev"]
        columns = ([record[key] for record in dev] for key in ("step", "loss", "accuracy"))
        return cls(*map(np.array, columns))

    def flat_from(self) -> int:
        """The first step from which on the accuracy stays within FLAT of its end."""
        away = np.flatnonzero(np.abs(self.accuracy - self.accuracy[-1]) > FLAT)
        return int(self.steps[away[-1] + 1 if len(away) else 0])

    def slopes(self, step: int) -> tuple[float, float] | None:
        """By how much the loss falls in 100 steps just before ``step``, and just after it.

        Of the evaluations that lie wholly on one side; None where there are not enough.
        """
        before, after = np.flatnonzero(self.steps <= step), np.flatnonzero(self.steps >= step)
        if min(len(before), len(after)) <= _REACH:
            return None
        return self._fall(*before[[-1 - _REACH, -1]]), self._fall(*after[[0, _REACH]])

    def _fall(self, start: int, stop: int) -> float:
        steps = self.steps[stop] - self.steps[start]
        return float(100 * (self.loss[start] - self.loss[stop]) / steps)


def describe(curve: Curve, published_flat: int | None) -> str:
    """Where the curve goes flat, and whether the published one does so there."""
    flat, end, last = curve.flat_from(), curve.accuracy[-1], int(curve.steps[-1])
    text = (
        f"dev accuracy within {100 * FLAT:g} point of its end ({end:.4f}) from step {flat:,} of "
        f"{last:,} on"
    )
    if published_flat is not None:
        # nothing is known between two evaluations, nor to half of that where a picture was read
        if abs(flat - published_flat) <= 1.5 * (curve.steps[1] - curve.steps[0]):
            text += ", about where the published one goes flat"
        else:
            text += f", {'later' if flat > published_flat else 'earlier'} than the published one"
    lowest = int(np.argmin(curve.loss))
    if curve.loss[-1] < curve.loss[lowest] + STILL:
        return f"{text}; the dev loss does not rise again (end: {curve.loss[-1]:.4f})"
    return (
        f"{text}; the dev loss is lowest at step {int(curve.steps[lowest]):,} "
        f"({curve.loss[lowest]:.4f}) and ends at {curve.loss[-1]:.4f}"
    )


def describe_bend(curve: Curve, step: int, constant: Curve | None) -> str:
    """Whether the curve bends at a step of its schedule, by its slopes on both sides."""
    slopes = curve.slopes(step)
    if slopes is None:
        return f"too short to show a bend at step {step}"
    text = f"the dev loss falls by {slopes[0]:.3f} in 100 steps before step {step}, "
    text += f"by {slopes[1]:.3f} after it"
    beside = constant.slopes(step) if constant is not None else None
    if beside is None:
        return text
    bends = slopes[1] / slopes[0] <= BEND * beside[1] / beside[0]
    verdict = "it bends there" if bends else "no bend shows there"
    return f"{text} (at a constant rate by {beside[0]:.3f} and {beside[1]:.3f}): {verdict}"


def table(chosen: Sequence[str], store: Store, runs: Sequence[Run]) -> Table:
    """For each row the published curve beside ours: as published, in NumPy, the first seed."""

    def curve(recipe: str | None) -> Curve | None:
        found = [r for r in runs if r.variant == recipe and r.dtype == "float32"]
        return Curve.of(store.history(found[0])) if found else None

    lines = []
    for row in chosen:
        recipe = accuracy.recipe_of(row, "published") or accuracy.recipe_of(row, "intended")
        assert recipe is not None
        ours = curve(canonical(recipe.name))
        assert ours is not None
        text = describe(ours, PUBLISHED_FLAT.get(row))
        config = Run(recipe.name, "numpy", "float32", 0).config
        if config.scheduler == "step":
            text += "; " + describe_bend(ours, config.step_size, curve(CONSTANT.get(row)))
        lines.append([row, PUBLISHED.get(row, _END_ALONE) + ".", text[0].upper() + text[1:] + "."])
    return Table("shapes", ["row", "the published curve", "ours, as published"], lines)
