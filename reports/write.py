"""The report's content, and the files that it is written to; what it says is in templates/."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.backend import make_backend
from experiments.checkpoint import write_atomically
from experiments.data import Dataset
from experiments.recipes import LAB
from experiments.trainer import Trainer
from numpy_impl.nn.activation import softmax
from parity_tests.test_lab_defects import DEFECTS
from reports import accuracy, augmentation, figures, ledger, memory, shapes, speed
from reports.accuracy import BACKENDS, NAMES
from reports.document import Content, Figure, Table
from reports.runs import Run, Store, canonical

ROOT = Path(__file__).resolve().parent.parent
HERE = ROOT / "reports"
TITLE = "A lab's accuracy table, with NumPy and with PyTorch"
_MARKS = ("<!-- from the report: begin -->", "<!-- from the report: end -->")


@dataclass(frozen=True)
class Inputs:
    """What a report is made from.

    Attributes:
        command: what makes it again.
        full: whether it is of MNIST, all rows and the default seeds.
        augmented: the runs with and without more training data; none leave that part out.
        growth: the runs whose memory was measured; none leave that part out.
    """

    folder: Path
    store: Store
    data: Dataset
    rows: Sequence[str]
    seeds: Sequence[int]
    runs: Sequence[Run]
    environment: dict[str, str]
    started: float
    command: str
    full: bool
    augmented: Sequence[Run] = ()
    growth: Sequence[memory.Growth] = ()

    @property
    def is_committed(self) -> bool:
        """Whether it is the one that is committed, and whose table README shows."""
        return self.full and self.folder == HERE

    @property
    def is_mnist(self) -> bool:
        return self.data.name == "mnist"

    def pair(self, recipe: str, dtype: str = "float32") -> list[Run]:
        """The first seed of a recipe, in both backends."""
        return [Run(canonical(recipe), b, dtype, self.seeds[0]) for b in BACKENDS]


def write_report(inputs: Inputs) -> list[str]:
    """Write every file; what lies outside its tolerance, a line each."""
    scores = accuracy.scores(inputs.store, inputs.runs)
    agreed = accuracy.agreements(inputs.store, inputs.runs)
    lines = ledger.measure_all(_committed("reports/ledger.csv"))
    problems = accuracy.violations(inputs.rows, scores, agreed, inputs.is_mnist)
    more = augmentation.content(inputs.store, inputs.augmented, inputs.data)
    problems += augmentation.violations(inputs.store, inputs.augmented, inputs.is_mnist)
    held = memory.content(inputs.store, inputs.growth)
    problems += memory.violations(inputs.store, inputs.growth)
    for line in lines:
        if line.used > 1:
            problems.append(f"ledger: {line.component} in {line.dtype} uses {line.used:.0%}")
        problems += [f"ledger: {line.component} in {line.dtype}: {c} grew" for c in line.grown]

    benchmark = _benchmark()
    content = Content(
        [
            *_accuracy_tables(inputs, scores, agreed),
            ledger.table(lines),
            _defects_table(),
            *more.tables,
            *benchmark.tables,
            *held.tables,
            _environment_table(inputs),
        ],
        {"curves": _curves(inputs), "networks": _networks(inputs), **more.figures}
        | dict(benchmark.figures)
        | dict(held.figures),
        {
            "title": TITLE,
            "inputs": inputs,
            "problems": problems,
            "agreement": accuracy.agreement_sentence(agreed) if agreed else "",
            "lines": lines,
            "recipes": LAB,
            # the limits that the text states
            "accuracy": accuracy,
            "augmentation": augmentation,
            "ledger": ledger,
            "memory": memory,
            "shapes": shapes,
            **benchmark.values,
        },
    )
    before, pictures = _pictures_of(inputs.folder), sorted(content.pictures())
    content.write(inputs.folder)
    numbers = {
        "data": inputs.data.name,
        "pictures": pictures,
        "accuracies": {f"{r} {b}": list(score.values) for (r, b), score in scores.items()},
        "agreement": [vars(a) for a in agreed],
        "outside_tolerance": problems,
        "environment": inputs.environment,
        "tables": {table.name: table.records() for table in content.tables},
    }
    text = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
    write_atomically(inputs.folder / "report.json", text.encode())
    write_atomically(inputs.folder / "report.html", content.html("report.html.j2").encode())
    write_atomically(inputs.folder / "REPORT.md", content.markdown("report.j2").encode())
    for name in before.difference(pictures):
        (inputs.folder / "figures" / name).unlink(missing_ok=True)
    if inputs.is_committed:
        _update_readme(content)
    return problems


def _committed(path: str) -> str:
    """A file as it stands in the last commit; "" where there is none."""
    done = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def _pictures_of(folder: Path) -> set[str]:
    """The pictures of the report that stands in ``folder``; nobody else's are ever removed."""
    try:
        return set(json.loads((folder / "report.json").read_text())["pictures"])
    except (OSError, ValueError, KeyError):
        return set()


def _update_readme(content: Content) -> None:
    """Put the accuracy table, and how closely the backends agree, between README's marks.

    So README cannot differ from the report.
    """
    path = ROOT / "README.md"
    text = path.read_text()
    begin, end = (text.find(mark) for mark in _MARKS)
    if begin < 0 or end < begin:
        return
    text = f"{text[:begin]}{_MARKS[0]}\n{content.markdown('readme.j2')}{text[end:]}"
    write_atomically(path, text.encode())


def _benchmark() -> Content:
    """The benchmark as it was last run; it needs an idle machine, so it is not part of this."""
    path = HERE / "benchmark.json"
    return speed.content(json.loads(path.read_text())) if path.exists() else Content()


def _accuracy_tables(
    inputs: Inputs,
    scores: dict[tuple[str, str], accuracy.Score],
    agreed: Sequence[accuracy.Agreement],
) -> list[Table]:
    if not inputs.rows:
        return []
    tables = [
        accuracy.accuracy_table(inputs.rows, scores, inputs.is_mnist),
        accuracy.agreement_table(agreed),
        accuracy.commands_table(
            inputs.runs, "" if inputs.is_mnist else f" --dataset {inputs.data.name}"
        ),
    ]
    if inputs.is_mnist:  # what compares with the lab
        seconds = accuracy.batch_seconds(inputs.store, inputs.runs)
        tables.insert(1, accuracy.reasons_table(inputs.rows, scores, seconds))
        tables.append(shapes.table(inputs.rows, inputs.store, inputs.runs))
    return tables


def _defects_table() -> Table:
    """Each defect of the lab, put in just now, and what the check says that must see it."""
    lines = []
    for defect in DEFECTS:
        try:
            with pytest.MonkeyPatch.context() as patch:
                defect.demonstrate(patch)
        except AssertionError as error:
            said = str(error).splitlines()[0]
        else:
            raise AssertionError(f"not caught: {defect.what}")
        said = said if len(said) < 220 else said[:217] + "..."
        lines.append([defect.what, defect.effect, defect.check, said])
    header = ["in the lab", "what it did", "the check here that catches it", "what the check says"]
    return Table("defects", header, lines, fold=f"{len(lines)} defects, and what catches each")


def _environment_table(inputs: Inputs) -> Table:
    runs = dict.fromkeys([*inputs.runs, *inputs.augmented])
    trained = sum(inputs.store.result(run)["seconds"] for run in runs)
    rows = [[key, value] for key, value in inputs.environment.items()]
    rows.append(["training", f"{len(runs)} runs, {trained:,.0f} s in all, one core each"])
    rows.append(
        ["this report", f"{time.perf_counter() - inputs.started:,.0f} s, runs reused included"]
    )
    return Table("environment", ["what", "value"], rows)


def _curves(inputs: Inputs) -> list[Figure]:
    """A picture of each recipe's curves; those of equal configuration share one."""
    recipes = [
        recipe
        for row in inputs.rows
        for reading in accuracy.READINGS
        if (recipe := accuracy.recipe_of(row, reading))
    ]
    found = []
    for name in dict.fromkeys(canonical(recipe.name) for recipe in recipes):
        float32 = figures.Curves(*map(inputs.store.history, inputs.pair(name)))
        doubles, float64 = inputs.pair(name, "float64"), None
        if all(run in inputs.runs for run in doubles):
            float64 = figures.Curves(*map(inputs.store.history, doubles))
        title = f"{name}, {inputs.data.name}, seed {inputs.seeds[0]}"
        picture = figures.curves(title, float32, float64)
        found.append(Figure(f"curves-{name}.png", picture, name))
    return found


def _best(rows: Sequence[str]) -> str:
    """The MLP row to look into: the lab's best, where it was run."""
    mlps = [row for row in rows if not row.startswith("cnn")]
    return "momentum-10ep" if "momentum-10ep" in mlps else mlps[-1] if mlps else ""


def _networks(inputs: Inputs) -> list[Figure]:
    """What the best MLP and the CNN learnt, and where they err; NumPy's beside PyTorch's."""
    rows = [row for row in (_best(inputs.rows), "cnn-10ep") if row in inputs.rows]
    return [figure for row in rows for figure in _network(inputs, row)]


def _trained(inputs: Inputs, run: Run) -> Trainer:
    """The run's model with its last weights."""
    backend = make_backend(run.backend)
    trainer = Trainer(run.config, backend, inputs.data)
    backend.load_arrays(trainer.model, inputs.store.weights(run))
    return trainer


def _network(inputs: Inputs, row: str) -> list[Figure]:
    data = inputs.data
    trained = {NAMES[run.backend]: _trained(inputs, run) for run in inputs.pair(row)}
    draw = _kernels if row.startswith("cnn") else _weights
    found = draw(row, trained, data)
    logits = {name: t.predict(data.test_images) for name, t in trained.items()}
    counts = {
        name: figures.confusion_matrix(data.test_labels, z.argmax(1), data.classes)
        for name, z in logits.items()
    }
    most = max(int((c - np.diag(np.diag(c))).max()) for c in counts.values())
    for name, c in counts.items():
        of = f"{row}, {name}"
        picture = figures.confusion(of, c, max(1, most))
        found.append(Figure(f"confusion-{row}-{name}.png", picture, of))
    for name, z in logits.items():
        of, p = f"{row}, {name}", softmax(z.astype(np.float64), 1)
        picture = figures.confidently_wrong(
            f"{of}: surest errors", data.test_images, data.test_labels, p
        )
        found.append(Figure(f"wrong-{row}-{name}.png", picture, of))
    return found


def _first_weights(trained: dict[str, Trainer]) -> dict[str, np.ndarray]:
    return {name: t.backend.arrays(t.model)["0.weight"] for name, t in trained.items()}


def _weights(row: str, trained: dict[str, Trainer], data: Dataset) -> list[Figure]:
    """The first layer of an MLP: the units with the largest norm in NumPy, on one scale."""
    first = _first_weights(trained)
    chosen = np.argsort(-np.linalg.norm(first["NumPy"], axis=1), kind="stable")[:32]
    limit = float(np.percentile(np.abs(first["NumPy"][chosen]), 99.5))
    found = []
    for name, w in first.items():
        of, side = f"{row}, {name}", data.test_images.shape[1]
        picture = figures.weight_images(f"{of}: first layer", w, chosen, limit, side)
        found.append(Figure(f"weights-{name}.png", picture, of))
    return found


def _kernels(row: str, trained: dict[str, Trainer], data: Dataset) -> list[Figure]:
    """The first convolution of a CNN, and its maps of the first test image, on one scale."""
    first, image = _first_weights(trained), data.test_images[0]
    maps = {
        name: t.backend.predict(_front(t), t.images(image[None]))[0] for name, t in trained.items()
    }
    limits = (
        max(float(np.abs(w).max()) for w in first.values()),
        max(float(m.max()) for m in maps.values()),
    )
    found = []
    for name, m in maps.items():
        title, kernels = f"{row}, {name}: first convolution", first[name][:, 0]
        picture = figures.kernels_and_maps(title, image, kernels, m, limits)
        found.append(Figure(f"kernels-{name}.png", picture, f"{row}, {name}"))
    return found


def _front(trainer: Trainer) -> Any:
    """The first convolution and its ReLU."""
    layers = [layer for _, layer in list(trainer.model.named_children())[:2]]
    return trainer.backend.nn.Sequential(*layers).eval()
