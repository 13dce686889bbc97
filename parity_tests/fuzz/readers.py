"""Mutated files: each is read, or refused by an error of the documented kind.

Never another exception, never code that is run, a file written or another one opened; in bounded
time and memory (``guard.py``). A million: ``python -m parity_tests.fuzz.readers --count 1000000``.
Replay one: ``--seed N --count 1``; ``--keep FOLDER`` keeps the files that went wrong.
"""

import argparse
import os
import random
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from parity_tests.fuzz import guard, mutate, originals
from parity_tests.fuzz.originals import DOCUMENTED, Original, made

_BLOCK = 5000  # inputs that a process gets at a time


class Found(NamedTuple):
    """How many inputs each reader read, and refused; what went wrong, by its seed."""

    read: Counter[str]
    refused: Counter[str]
    failures: list[str]


class Fuzz:
    """Files of all formats, and what reads them; once a process, as that takes a second."""

    def __init__(self) -> None:
        readers, self.originals = made()
        self.readers: dict[str, Callable[[Path], Any]] = readers.by_name
        self.groups: dict[str, list[Original]] = {}
        for original in self.originals:
            kind = original.name.split()[0] if original.reader == "load" else original.reader
            self.groups.setdefault(kind, []).append(original)
        self.others = [original.data for original in self.originals]
        with tempfile.TemporaryDirectory() as name, Files(Path(name)) as files:
            for original in self.originals:  # so that all that is needed is imported
                self.outcome(original, files)

    def input(self, seed: int) -> Original:
        """The input of that seed: which reader it is for, and its bytes."""
        rng = random.Random(seed)
        original = rng.choice(self.groups[rng.choice(list(self.groups))])
        with warnings.catch_warnings(action="ignore"):  # of names that are in an archive twice
            return original._replace(data=mutate.mutated(original.data, rng, self.others))

    def run(self, count: int, seed: int, keep: Path | None = None) -> Found:
        """Read ``count`` inputs."""
        found = Found(Counter(), Counter(), [])
        with (
            tempfile.TemporaryDirectory() as name,
            Files(Path(name)) as files,
            warnings.catch_warnings(action="ignore"),
            originals.small_pictures(),
        ):
            for number in range(seed, seed + count):
                given = self.input(number)
                self._note(given, self.outcome(given, files, True), found, number, keep)
        return found

    def outcome(self, given: Original, files: "Files", watched: bool = False) -> str:
        """ "read", "refused", or what went wrong."""
        path = files.written(given)
        try:
            if watched:
                with guard.watching(files.folder):
                    self.readers[given.reader](path)
            else:
                self.readers[given.reader](path)
        except DOCUMENTED:
            return "refused"
        except (Exception, guard.Forbidden) as error:
            return repr(error)[:300]
        return "read"

    def _note(
        self, given: Original, outcome: str, found: Found, number: int, keep: Path | None
    ) -> None:
        kind = f"{given.reader} {Path(given.name).suffix}"
        if outcome in ("read", "refused"):
            getattr(found, outcome)[kind] += 1
            return
        found.failures.append(f"--seed {number} --count 1: {given.reader}, {given.name}: {outcome}")
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{number}{Path(given.name).suffix}").write_bytes(given.data)


class Files:
    """Files of a folder that are written over again and again.

    Each stays open: to make a file anew, or to cut it to nothing, can take a disk milliseconds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, int] = {}

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._open.values():
            os.close(handle)

    def written(self, given: Original) -> Path:
        suffix = Path(given.name).suffix
        path = self.folder / f"input{suffix}"
        if suffix not in self._open:
            self._open[suffix] = os.open(path, os.O_RDWR | os.O_CREAT)
        os.pwrite(self._open[suffix], given.data, 0)
        os.ftruncate(self._open[suffix], len(given.data))
        return path


_fuzz: Fuzz | None = None


def fuzz(count: int, seed: int, keep: Path | None = None) -> Found:
    """What becomes of ``count`` inputs."""
    global _fuzz
    _fuzz = _fuzz or Fuzz()
    return _fuzz.run(count, seed, keep)


def _shared(count: int, seed: int, jobs: int, keep: Path | None) -> Found:
    """The same by several processes; one that dies is a failure, too."""
    total = Found(Counter(), Counter(), [])
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        blocks = {}
        for start in range(seed, seed + count, _BLOCK):
            size = min(_BLOCK, seed + count - start)
            blocks[pool.submit(fuzz, size, start, keep)] = f"--seed {start} --count {size}"
        for done in as_completed(blocks):
            try:
                found = done.result()
            except Exception as error:
                found = Found(Counter(), Counter(), [f"{blocks[done]}: {error!r}"])
            total.read.update(found.read)
            total.refused.update(found.refused)
            total.failures.extend(found.failures)
            print(*found.failures, sep="\n", end="\n" if found.failures else "", flush=True)
            read, refused = total.read.total(), total.refused.total()
            print(f"{read:,} read, {refused:,} refused ...", file=sys.stderr, flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    start = time.perf_counter()
    found = _shared(options.count, options.seed, options.jobs, options.keep)
    rate = options.count / (time.perf_counter() - start)
    for kind in sorted(found.read | found.refused):
        print(f"{kind:24} {found.read[kind]:10,} read {found.refused[kind]:10,} refused")
    print(f"{options.count:,} inputs, {len(found.failures)} wrong, {rate:,.0f}/s")
    raise SystemExit(bool(found.failures))


if __name__ == "__main__":
    main()
