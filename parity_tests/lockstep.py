"""A recipe's first training steps in both backends, at its full size, in float64.

``python -m parity_tests.lockstep --recipe gpt --steps 100`` prints every tenth step's losses, and
the largest difference of any; it exits with 1 if that is above 1e-8 of the loss.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence

import numpy as np

from experiments.backend import NumpyBackend, TorchBackend
from experiments.config import Config, resolve
from experiments.data import Dataset
from experiments.prepare import load_data
from experiments.recipes import RECIPES
from experiments.trainer import Callbacks, Trainer

RTOL = 1e-8


class _Enough(Exception):
    """Ends a run after some of its steps."""


def losses(config: Config, data: Dataset, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the first steps, at most ``steps``: numpy_impl's and PyTorch's, from the same seed."""

    def record(found: list[float], loss: float) -> None:
        found.append(loss)
        if len(found) == steps:
            raise _Enough

    runs: list[list[float]] = [[], []]
    for found, backend in zip(runs, (NumpyBackend(), TorchBackend()), strict=True):
        callbacks = Callbacks(on_step=lambda *seen, found=found: record(found, seen[2]))
        with contextlib.suppress(_Enough):
            Trainer(config, backend, data, callbacks).run()
    ours, twin = map(np.array, runs)
    return ours, twin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code."""
    parser = argparse.ArgumentParser("python -m parity_tests.lockstep", description=__doc__)
    parser.add_argument("--recipe", choices=RECIPES, required=True, metavar="NAME")
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args(arguments)
    if given.steps < 1:
        parser.error(f"--steps must be at least 1, got {given.steps}")
    config = resolve(given.recipe, {"dtype": "float64"})
    data = load_data(config, None)
    print(f"data: {data.source}")
    ours, twin = losses(config, data, given.steps)
    off = np.abs(ours - twin) / np.abs(twin)
    for step in [0, *range(9, len(off), 10)]:
        print(f"step {step + 1}: loss {ours[step]:.12f}, PyTorch {twin[step]:.12f}")
    agree = off.max() <= RTOL
    print(
        f"{given.recipe}, {len(off)} steps in float64: the losses "
        f"{'agree' if agree else 'DIFFER'}: largest relative difference {off.max():.1e} "
        f"(step {off.argmax() + 1}), allowed {RTOL:g}"
    )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
