"""More training data by small transformations: what it is worth to three networks."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from experiments.augment import augment
from experiments.backend import make_backend
from experiments.config import Config, resolve
from experiments.data import Dataset, to_float
from experiments.recipes import TRANSFORMED
from reports import figures
from reports.accuracy import BACKENDS, NAMES, Score, commands_table
from reports.document import Content, Figure, Table
from reports.runs import Run, Store

ROW = "augmentation"  # what --rows calls this part
NETWORKS = {
    "momentum-10ep": "the lab's MLP",
    "cnn-10ep": "the lab's CNN",
    "augmented": "three convolutions with batch norm",
}
LEAST = 0.995  # of the mean of the network that was made for it
# with how many of the seeds each cell is run unless all are asked for, which takes twice the time
SEEDS = {
    ("momentum-10ep", "numpy", False): 3,
    ("momentum-10ep", "torch", False): 3,
    ("momentum-10ep", "numpy", True): 3,
    ("momentum-10ep", "torch", True): 3,
    ("cnn-10ep", "numpy", False): 1,
    ("cnn-10ep", "torch", False): 1,
    ("cnn-10ep", "numpy", True): 1,
    ("cnn-10ep", "torch", True): 1,
    ("augmented", "numpy", False): 0,
    ("augmented", "torch", False): 0,
    ("augmented", "numpy", True): 3,
    ("augmented", "torch", True): 0,
}
_DIGITS = (2, 3, 4, 6, 9)  # in the picture
_TIMES = 5


def run(recipe: str, backend: str, transformed: bool, seed: int) -> Run:
    """A recipe's run, its training images transformed or not, whatever its own are."""
    values = TRANSFORMED if transformed else {key: getattr(Config(), key) for key in TRANSFORMED}
    own = bool(resolve(recipe, {}).transformations)
    changes = () if own is transformed else tuple(values.items())
    return Run(recipe, backend, "float32", seed, changes)


def plan(seeds: Sequence[int], complete: bool = False) -> list[Run]:
    """The runs of the table: of each cell the number above, or all seeds.

    Those without transformations are in part the lab's rows'.
    """
    return [
        run(*cell, seed)
        for cell, count in SEEDS.items()
        for seed in seeds[: len(seeds) if complete else count]
    ]


def is_complete(runs: Sequence[Run], seeds: Sequence[int]) -> bool:
    """Whether no cell is without a seed."""
    return set(plan(seeds, complete=True)) <= set(runs)


def scores(store: Store, runs: Sequence[Run]) -> dict[tuple[str, str, bool], Score]:
    """By recipe, backend, and whether transformed: test accuracies after the last epoch."""
    found: dict[tuple[str, str, bool], list[float]] = {}
    for one in runs:
        cell = (one.recipe, one.backend, bool(one.config.transformations))
        found.setdefault(cell, []).append(store.result(one)["test_accuracy"])
    return {cell: Score(tuple(values)) for cell, values in found.items()}


def content(store: Store, runs: Sequence[Run], data: Dataset) -> Content:
    """The table, the commands behind it and the picture; nothing without runs."""
    if not runs:
        return Content()
    arguments = "" if data.name == "mnist" else f" --dataset {data.name}"
    commands = commands_table(runs, arguments)
    tables = [table(scores(store, runs)), dataclasses.replace(commands, name=f"{ROW}-commands")]
    return Content(tables, {ROW: [Figure("transformed.png", picture(data), ROW)]})


def table(found: dict[tuple[str, str, bool], Score]) -> Table:
    def cell(recipe: str, backend: str, transformed: bool) -> str:
        score = found.get((recipe, backend, transformed))
        return f"{score.cell()} (n = {len(score.values)})" if score else "not run"

    lines = []
    for recipe, network in NETWORKS.items():
        gains = [
            f"{100 * (found[recipe, b, True].mean - found[recipe, b, False].mean):+.2f}"
            for b in BACKENDS
            if {(recipe, b, True), (recipe, b, False)} <= found.keys()
        ]
        cells = [
            cell(recipe, backend, with_it) for with_it in (False, True) for backend in BACKENDS
        ]
        lines.append([network, f"`{recipe}`", *cells, " and ".join(gains)])
    header = ["network", "recipe"]
    header += [f"{how}, {NAMES[b]}" for how in ("without", "with") for b in BACKENDS]
    return Table(ROW, [*header, "gained (points)"], lines)


def violations(store: Store, runs: Sequence[Run], is_mnist: bool) -> list[str]:
    """What lies outside the limit that the report states, a line each."""
    if not is_mnist:
        return []
    return [
        f"{recipe} on transformed images, {NAMES[backend]}: {score.mean:.4f} is below {LEAST}"
        for (recipe, backend, transformed), score in scores(store, runs).items()
        if recipe == "augmented" and transformed and score.mean < LEAST
    ]


def picture(data: Dataset) -> bytes:
    """Five digits, each as it is and as a network sees it in five epochs."""
    backend = make_backend("numpy")
    chosen = [int(np.argmax(data.train_labels == digit)) for digit in _DIGITS]
    images = to_float(data.train_images[chosen], data.scale, np.dtype(np.float32), flat=False)[:, 0]
    before = backend.get_rng_state()
    backend.manual_seed(0)
    seen = augment(np.repeat(images, _TIMES, 0), backend.uniform, **TRANSFORMED)
    backend.set_rng_state(before)
    return figures.transformed(images, seen.reshape(len(images), _TIMES, *images.shape[1:]))
