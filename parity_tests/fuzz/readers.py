"""Mutated files: each is read, or refused by an error of the documented kind, in bounded time.

``python -m parity_tests.fuzz.readers --count 1000000``; replay one: ``--seed N --count 1``.
"""

import argparse
import random
import signal
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import numpy_impl
from experiments import checkpoint, idx
from experiments.errors import UserError
from numpy_impl.io import FileError
from parity_tests.io.test_damaged import mutated, whole_files

DEADLINE = 2  # seconds for one input


def read(name: str, path: Path) -> Any:
    if name == "idx":
        return idx.read(path, 3, idx.LONGEST)
    if name == "checkpoint":
        return checkpoint.load_arrays(path)
    return numpy_impl.load(path)


def originals(folder: Path) -> dict[str, bytes]:
    """A whole file of each format."""
    checkpoint.save_arrays(folder / "c.npz", {"a": np.arange(6.0)}, {"b": 1})
    header = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 4, 4)
    return {
        **whole_files(),
        "idx": header + bytes(range(32)),
        "checkpoint": (folder / "c.npz").read_bytes(),
    }


def _late(*_: Any) -> None:
    raise TimeoutError(f"more than {DEADLINE} s")


def fuzz(count: int, seed: int) -> tuple[int, list[str]]:
    """How many of the inputs were refused, and what went wrong, by its seed."""
    failures, refused = [], 0
    before = signal.signal(signal.SIGALRM, _late)
    try:
        with tempfile.TemporaryDirectory() as name:
            whole = originals(Path(name))
            path = Path(name) / "input"
            for number in range(seed, seed + count):
                rng = random.Random(number)
                kind = rng.choice(sorted(whole))
                path.write_bytes(mutated(whole[kind], rng))
                signal.alarm(DEADLINE)
                try:
                    read(kind, path)
                except (FileError, UserError):
                    refused += 1
                except Exception as error:
                    failures.append(f"--seed {number} --count 1: {kind}: {error!r}")
                finally:
                    signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, before)
    return refused, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    refused, failures = fuzz(options.count, options.seed)
    rate = options.count / (time.perf_counter() - start)
    print(*failures, sep="\n", end="\n" if failures else "")
    print(f"{options.count:,} inputs, {refused:,} refused, {len(failures)} wrong, {rate:,.0f}/s")
    raise SystemExit(bool(failures))


if __name__ == "__main__":
    main()
