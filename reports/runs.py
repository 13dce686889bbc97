"""The runs behind the report: which are needed, which are there, and how to make the rest."""

import ast
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from experiments.checkpoint import load_arrays, write_atomically
from experiments.config import Config, resolve
from experiments.declare import spelt
from experiments.recipes import LAB
from experiments.run import versions

ROOT = Path(__file__).resolve().parent.parent
# whatever can change a run's numbers
SOURCES = {"numpy": ("numpy_impl", "experiments"), "torch": ("torch_ref", "experiments")}
_NOT_RUN = {"compare.py", "convert.py", "curves.py", "doctor.py", "redirect.py"}
# seconds of one epoch on one core, MNIST: only for the estimate of the time left
_SECONDS_PER_EPOCH = {("mlp", "float32"): 1.5, ("mlp", "float64"): 3.0}
_SECONDS_PER_EPOCH |= {("cnn", "float32"): 16.0, ("cnn", "float64"): 33.0}
_SECONDS_PER_EPOCH |= {("cnn3", "float32"): 21.0}


class Kept(Protocol):
    """What a :class:`Store` keeps: a name, and what decides its result besides code and data."""

    @property
    def backend(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def config(self) -> Any: ...


@dataclass(frozen=True)
class Run:
    """One training run: a configuration on a data set.

    Attributes:
        recipe: its name; recipes of equal configuration share their runs.
        backend: numpy or torch.
        dtype: float32 or float64.
        seed: of weights, shuffling and dropout.
        changes: fields in which it differs from the recipe, and their values.
    """

    recipe: str
    backend: str
    dtype: str
    seed: int
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def config(self) -> Config:
        fields: dict[str, Any] = {"backend": self.backend, "dtype": self.dtype, "seed": self.seed}
        return resolve(self.recipe, fields | dict(self.changes))

    @property
    def variant(self) -> str:
        """The recipe, and what was changed in it: all that backend, dtype and seed are not."""
        return " ".join([self.recipe, *self.flags()])

    @property
    def name(self) -> str:
        variant = self.variant.replace("--", "").replace(" ", "-")
        return f"{variant}-{self.backend}-{self.dtype}-seed{self.seed}"

    @property
    def seconds(self) -> float:
        """A guess of its duration on one core."""
        config = self.config
        return config.epochs * _SECONDS_PER_EPOCH[config.model, config.dtype]

    def command(self) -> str:
        """What a user types to repeat it."""
        dtype = "" if self.dtype == "float32" else f" --dtype {self.dtype}"
        return (
            f"python train.py --backend {self.backend} --recipe {self.variant}"
            f"{dtype} --seed {self.seed}"
        )

    def flags(self) -> list[str]:
        """The changes as ``train.py`` takes them."""
        found = []
        for name, value in self.changes:
            numbers = value if isinstance(value, tuple) else (value,)
            found += [spelt(name), *(f"{number:g}" for number in numbers)]
        return found


def canonical(recipe: str) -> str:
    """The first recipe with the same configuration: its runs serve both."""

    def values(name: str) -> dict[str, Any]:
        return {k: v for k, v in resolve(name, {}).as_dict().items() if k != "recipe"}

    return next(name for name in LAB if values(name) == values(recipe))


def code_version(backend: str) -> str:
    """A digest of the code that a run of ``backend`` executes; comments and docstrings aside."""
    digest = hashlib.sha256()
    for folder in SOURCES[backend]:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if file.name in _NOT_RUN:
                continue
            digest.update(str(file.relative_to(ROOT)).encode())
            digest.update(_without_prose(file.read_text()).encode())
    return digest.hexdigest()[:16]


def _without_prose(source: str) -> str:
    """The syntax tree of a module as text, without docstrings and positions."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                del body[0]
    return ast.dump(tree)


class Store:
    """A folder of runs, each reused only if configuration, code and data are still the same.

    Args:
        folder: where they are kept.
        checksum: of the data set.
        data_arguments: of ``train.py``, to find the data.
    """

    def __init__(self, folder: Path, checksum: str, data_arguments: Sequence[str]) -> None:
        self.folder = folder
        self._checksum = checksum
        self._data_arguments = list(data_arguments)
        self._versions = versions()
        self._children: set[subprocess.Popen] = set()
        self._code = {backend: code_version(backend) for backend in SOURCES}

    def fingerprint(self, run: Kept) -> dict[str, Any]:
        """Everything that decides a run's result."""
        packages = ("python", "numpy") if run.backend == "numpy" else ("python", "numpy", "torch")
        return {
            "config": run.config.as_dict(),
            "code": self._code[run.backend],
            "data": self._checksum,
            "versions": {package: self._versions[package] for package in packages},
        }

    def path(self, run: Kept) -> Path:
        return self.folder / run.name

    def has(self, run: Kept) -> bool:
        """Whether a finished run of this fingerprint is there."""
        return self._known(run) and (self.path(run) / "result.json").exists()

    def _known(self, run: Kept) -> bool:
        mark = self.folder / f"{run.name}.json"
        try:
            return json.loads(mark.read_text()) == self.fingerprint(run)
        except (OSError, ValueError):
            return False

    def make(self, run: Run) -> None:
        """Train it, going on from its last checkpoint where there is one.

        Raises:
            RuntimeError: with the run's own words, if it fails.
        """
        path = self.path(run)
        if self._known(run) and (path / "config.json").exists():
            arguments = ["--resume", str(path)]
            # the run folder names the data set; its folder may still have to be told
            arguments += [a for a in self._data_arguments if a not in ("--dataset", "digits")]
        else:
            shutil.rmtree(path, ignore_errors=True)
            self.folder.mkdir(parents=True, exist_ok=True)
            mark = self.folder / f"{run.name}.json"
            write_atomically(mark, json.dumps(self.fingerprint(run), indent=1).encode())
            arguments = ["--backend", run.backend, "--recipe", run.recipe, "--dtype", run.dtype]
            arguments += [
                *run.flags(),
                "--seed",
                str(run.seed),
                "--out",
                str(path),
                *self._data_arguments,
            ]
        child = subprocess.Popen(
            [sys.executable, str(ROOT / "train.py"), *arguments, "--threads", "1"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._children.add(child)
        _, said = child.communicate()
        self._children.discard(child)
        if child.returncode != 0:
            raise RuntimeError(f"{run.command()} failed: {said.strip()}")

    def make_missing(self, runs: Sequence[Run], jobs: int) -> None:
        """Train what is missing, ``jobs`` at a time, the longest first; says how long it takes."""
        missing = sorted({run for run in runs if not self.has(run)}, key=lambda r: -r.seconds)
        total = sum(run.seconds for run in missing)
        print(
            f"{len(runs) - len(missing)} runs are there, {len(missing)} to be trained", flush=True
        )
        started, done_seconds = time.perf_counter(), 0.0
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(self.make, run): run for run in missing}
            try:
                for i, future in enumerate(as_completed(futures), start=1):
                    future.result()
                    run = futures[future]
                    done_seconds += run.seconds
                    elapsed = time.perf_counter() - started
                    left = elapsed * (total - done_seconds) / done_seconds
                    print(
                        f"[{i}/{len(missing)}] {run.name}, {elapsed:.0f} s, "
                        f"about {left:.0f} s left",
                        flush=True,
                    )
            except BaseException:
                # no orphans: they would go on training unseen
                for future in futures:
                    future.cancel()
                for child in list(self._children):
                    child.terminate()
                raise

    def result(self, run: Run) -> dict[str, Any]:
        """The run's result.json."""
        return json.loads((self.path(run) / "result.json").read_text())

    def history(self, run: Run) -> list[dict[str, Any]]:
        """The run's metrics, a record a line."""
        lines = (self.path(run) / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def losses(self, run: Run) -> np.ndarray:
        """The loss of every training step."""
        return np.array([r["loss"] for r in self.history(run) if r["kind"] == "train"])

    def weights(self, run: Run) -> dict[str, np.ndarray]:
        """The weights after the last epoch."""
        return load_arrays(self.path(run) / "last.safetensors")[0]
