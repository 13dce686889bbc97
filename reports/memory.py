"""How large a process is as it trains on and on: measured, a picture, a table."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.checkpoint import write_atomically
from parity_tests import memory as command
from parity_tests.memory import ALLOWED, POINTS, STEPS, growth
from reports import figures
from reports.accuracy import BACKENDS, NAMES
from reports.document import Content, Figure, Table
from reports.runs import ROOT, Store

Sizes = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Growth:
    """A backend's run: to a :class:`Store` as good as any other."""

    backend: str

    @property
    def name(self) -> str:
        return f"memory-{self.backend}"

    @property
    def config(self) -> "Growth":
        return self

    def as_dict(self) -> dict[str, Any]:
        """All that decides what is measured, but the code that is trained."""
        code = hashlib.sha256(Path(command.__file__).read_bytes()).hexdigest()[:16]
        return {"steps": STEPS, "measured by": code}


PLAN = tuple(map(Growth, BACKENDS))


def make_missing(store: Store, plan: Sequence[Growth]) -> None:
    """Measure what is missing, in a process for each backend, at the same time.

    Raises:
        RuntimeError: with the process's own words, if it fails.
    """
    missing = [run for run in plan if not store.has(run)]
    if not missing:
        return
    print(f"memory over {STEPS:,} steps, about a minute", flush=True)
    children = {run: _start(store, run) for run in missing}
    try:
        for run, child in children.items():
            _, said = child.communicate()
            if not _result(store, run).exists():
                raise RuntimeError(f"memory of {run.backend} failed: {said.strip()}")
            mark = json.dumps(store.fingerprint(run), indent=1)
            write_atomically(store.folder / f"{run.name}.json", mark.encode())
    finally:
        for child in children.values():  # no orphans
            child.kill()


def _result(store: Store, run: Growth) -> Path:
    return store.path(run) / "result.json"


def _start(store: Store, run: Growth) -> subprocess.Popen:
    result = _result(store, run)
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "parity_tests.memory", "--steps", str(STEPS),
         "--backend", run.backend, "--json", str(result)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def sizes(store: Store, plan: Sequence[Growth]) -> dict[str, Sizes]:
    """Steps and megabytes by backend."""
    return {run.backend: json.loads(_result(store, run).read_text()) for run in plan}


def violations(store: Store, plan: Sequence[Growth]) -> list[str]:
    """Backends that grew by more than is allowed, a line each."""
    return [
        f"memory: {NAMES[backend]} grew by {grown:.1f} MB in {STEPS:,} steps"
        for backend, found in sizes(store, plan).items()
        if (grown := growth(found)) > ALLOWED
    ]


def content(store: Store, plan: Sequence[Growth]) -> Content:
    """The section's table and picture; nothing if it was left out."""
    if not plan:
        return Content()
    found = sizes(store, plan)
    after = POINTS // 10 - 1
    header = ["", f"MB at step {found[BACKENDS[0]][after][0]:,}", "largest since", "at the end",
              "growth"]  # fmt: skip
    rows = []
    for backend, measured in found.items():
        since = [size for _, size in measured[after:]]
        numbers = [f"{size:.1f}" for size in (since[0], max(since), since[-1])]
        rows.append([NAMES[backend], *numbers, f"{growth(measured):+.1f}"])
    picture = figures.memory({NAMES[backend]: measured for backend, measured in found.items()})
    return Content([Table("memory", header, rows)], {"memory": [Figure("memory.png", picture)]})
