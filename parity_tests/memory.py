"""Memory over many training steps: ``python -m parity_tests.memory``.

Prints the process's size as a small network (convolutions, batch norm, dropout, Adam, a schedule,
transformed digits) trains with each backend; exits with 1 if it grows by more than 3 MB after the
first tenth of the steps. What a run notes of each step, a row of metrics.csv, is not in it.
"""

import argparse
import gc
import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.backend import make_backend
from experiments.checkpoint import write_atomically
from experiments.config import BACKENDS, Config
from experiments.data import load
from experiments.trainer import Trainer

STEPS = 20_000
POINTS = 40  # at which the size is measured
ALLOWED = 3.0  # MB


def configuration(backend: str) -> Config:
    """What is trained."""
    return Config(
        backend=backend, model="cnn", batch_norm=True, dropout=0.3, hidden=(32,), batch_size=16,
        optimizer="adam", lr=0.001, scheduler="exponential", gamma=0.9999, rotate=10.0,
    )  # fmt: skip


def steps(backend: str, count: int) -> Iterator[int]:
    """The trainer's steps, one after the other: their numbers, from 1."""
    config = configuration(backend)
    trainer = Trainer(config, make_backend(backend), load("digits"))
    images, labels = trainer.train
    for step in range(1, count + 1):
        if step % 500 == 1:
            order = trainer.backend.randperm(len(images))
            trainer.predict(images[:200])
        start = 16 * step % (len(images) - 16)
        chosen = order[start : start + 16]
        trainer.step(trainer.training_images(images[chosen]), labels[chosen])
        trainer.scheduler.step()
        yield step


def megabytes() -> float:
    """The process's size now; where the system does not tell, the largest that it has been."""
    pages = Path("/proc/self/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure(backend: str, count: int, tell: bool = False) -> list[tuple[int, float]]:
    """The steps at which it was measured, and the process's size."""
    sizes = []
    for step in steps(backend, count):
        if step % (count // POINTS) == 0:
            gc.collect()
            sizes.append((step, megabytes()))
            if tell and len(sizes) % (POINTS // 10) == 0:
                print(f"{backend}: step {step:,}: {sizes[-1][1]:.1f} MB", flush=True)
    return sizes


def growth(sizes: Sequence[tuple[int, float]]) -> float:
    """In MB, after the first tenth of the steps."""
    return sizes[-1][1] - sizes[POINTS // 10 - 1][1]


def main() -> int:
    """The table; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=STEPS, help=f"default: {STEPS}")
    parser.add_argument("--backend", choices=BACKENDS, help="one alone")
    parser.add_argument("--json", type=Path, help="a file for steps and sizes, with --backend")
    flags = parser.parse_args()
    grown = []
    for backend in [flags.backend] if flags.backend else BACKENDS:
        sizes = measure(backend, flags.steps, tell=True)
        grown.append(growth(sizes))
        print(f"{backend}: {grown[-1]:+.1f} MB since step {flags.steps // 10:,}")
        if flags.json:
            write_atomically(flags.json, json.dumps(sizes).encode())
    return int(max(grown) > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
