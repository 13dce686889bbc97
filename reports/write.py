"""The report itself: its sections, and the files that they are written to."""

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
from experiments.recipes import RECIPES
from experiments.trainer import Trainer
from numpy_impl.nn.activation import softmax
from parity_tests.test_lab_defects import DEFECTS
from reports import accuracy, figures, ledger, shapes, speed
from reports.accuracy import BACKENDS, BACKENDS_POINTS, NAMES, PUBLISHED_POINTS
from reports.document import (
    Block,
    Code,
    Contents,
    Figure,
    Heading,
    Paragraph,
    Table,
    csv_text,
    html_page,
    markdown,
)
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
    for line in lines:
        if line.used > 1:
            problems.append(f"ledger: {line.component} in {line.dtype} uses {line.used:.0%}")
        problems += [f"ledger: {line.component} in {line.dtype}: {c} grew" for c in line.grown]

    pictures: dict[str, bytes] = {}
    blocks: list[Block] = [
        *_head(inputs, problems),
        *_accuracy(inputs, scores, agreed),
        *_curves(inputs, pictures),
        *_ledger(lines),
        *_defects(),
        *_speed(inputs, pictures),
        *_pictures(inputs, pictures),
        *_environment(inputs),
    ]
    before = _pictures_of(inputs.folder)
    for name, content in pictures.items():
        (inputs.folder / "figures").mkdir(exist_ok=True)
        write_atomically(inputs.folder / "figures" / name, content)
    tables = [block for block in blocks if isinstance(block, Table)]
    for table in tables:
        write_atomically(inputs.folder / f"{table.name}.csv", csv_text(table).encode())
    numbers = {
        "data": inputs.data.name,
        "pictures": sorted(pictures),
        "accuracies": {f"{r} {b}": list(score.values) for (r, b), score in scores.items()},
        "agreement": [vars(a) for a in agreed],
        "outside_tolerance": problems,
        "environment": inputs.environment,
        "tables": {
            t.name: [dict(zip(t.header, row, strict=True)) for row in t.rows] for t in tables
        },
    }
    shown = [block for block in blocks if isinstance(block, Heading) and block.level > 1]
    blocks.insert(next(i for i, block in enumerate(blocks) if block in shown), Contents(shown))
    text = json.dumps(numbers, indent=1, ensure_ascii=False) + "\n"
    write_atomically(inputs.folder / "report.json", text.encode())
    write_atomically(inputs.folder / "report.html", html_page(blocks, TITLE).encode())
    write_atomically(inputs.folder / "REPORT.md", markdown(blocks, inputs.folder).encode())
    for name in before - set(pictures):
        (inputs.folder / "figures" / name).unlink(missing_ok=True)
    if inputs.is_committed:
        _update_readme(next(t for t in tables if t.name == "accuracy"), agreed)
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


def _update_readme(table: Table, agreed: Sequence[accuracy.Agreement]) -> None:
    """Put the accuracy table, and how closely the backends agree, between README's marks.

    So README cannot differ from the report.
    """
    path = ROOT / "README.md"
    text = path.read_text()
    begin, end = (text.find(mark) for mark in _MARKS)
    if begin < 0 or end < begin:
        return
    blocks: list[Block] = [table, Paragraph(accuracy.agreement_sentence(agreed))]
    text = f"{text[:begin]}{_MARKS[0]}\n{markdown(blocks, ROOT)}{text[end:]}"
    write_atomically(path, text.encode())


def _head(inputs: Inputs, problems: Sequence[str]) -> list[Block]:
    data = inputs.data
    seeds = f"seed {inputs.seeds[0]}"
    if len(inputs.seeds) > 1:
        seeds = f"seeds {', '.join(map(str, inputs.seeds))}, the CNN with the first alone"
    blocks: list[Block] = [
        Heading(TITLE, 1),
        Paragraph(
            "A course lab trained small networks on MNIST in NumPy alone. Here its rows are "
            "trained twice, with `numpy_impl` and with PyTorch, from the same seeds: **as "
            "published** (the set-up that produced the published number, hidden defects of "
            "configuration included) and **as intended** (what the lab's text says). The rest of "
            "this page is the evidence that both backends compute the same."
        ),
        Paragraph(
            f"Made by `{inputs.command}` on {data.name}: {len(data.train_images):,} "
            f"training images, a sixth of them held out for validation, {len(data.test_images):,} "
            f"test images; {seeds}."
        ),
    ]
    if not inputs.is_mnist:
        blocks.append(
            Paragraph(
                "**This report is about scikit-learn's bundled 8x8 digits, not MNIST.** Nothing "
                "here is compared with the published numbers, which are for MNIST."
            )
        )
    elif not inputs.full:
        blocks.append(
            Paragraph(
                "**This is not the full report**, which is `reports/REPORT.md`: other rows or "
                "seeds were chosen here."
            )
        )
    if problems:
        found = "; ".join(problems)
        blocks.append(Paragraph(f"**Outside the stated tolerances:** {found}."))
    else:
        blocks.append(Paragraph("Every number lies within the tolerances stated below."))
    return blocks


def _accuracy(
    inputs: Inputs, scores: dict[tuple[str, str], accuracy.Score], agreed: Sequence[Any]
) -> list[Block]:
    with_published = inputs.is_mnist
    data_arguments = "" if inputs.is_mnist else f" --dataset {inputs.data.name}"
    total = len(inputs.data.test_images)
    seconds = accuracy.batch_seconds(inputs.store, inputs.runs)
    stated = (
        f"The mean of an as-published row may lie {PUBLISHED_POINTS} points from the published "
        f"number ({accuracy.PUBLISHED_POINTS_BY_ROW['sgd-5ep']} for sgd-5ep, whose initial values "
        f"are not on record), the CNN must reach {accuracy.LEAST_ACCURACY['cnn-10ep']}, and "
        if with_published
        else "Tolerance: "
    )
    return [
        Heading("The accuracy table"),
        Paragraph(
            f"Share of the {total:,} test images that are classified rightly after the last epoch: "
            "mean ± standard deviation over the seeds, n seeds."
        ),
        accuracy.accuracy_table(inputs.rows, scores, with_published),
        *([accuracy.reasons_table(inputs.rows, scores, seconds)] if with_published else []),
        Paragraph(
            stated + f"the two backends' means may lie {BACKENDS_POINTS} points apart. `--check` "
            "fails if they do not keep to that."
        ),
        Heading("How closely the backends agree", 3),
        Paragraph(accuracy.agreement_sentence(agreed)),
        Paragraph(
            f"One run per recipe, seed {inputs.seeds[0]}, with nothing copied across: each "
            "backend's own generator draws the same weights, shuffles and dropout masks. In "
            "float64 every step's loss must agree to "
            f"1e{np.log10(accuracy.LOSS_FLOAT64):.0f} (relative to its value) and all predictions "
            f"must be the same; in float32 at least {accuracy.IDENTICAL_FLOAT32:.1%} of the MLP's."
        ),
        accuracy.agreement_table(agreed),
        Heading("The command behind each row", 3),
        Paragraph(
            "For the other backend `--backend torch`, for the other seeds `--seed`, for float64 "
            "`--dtype float64`. Recipes of equal configuration share a line."
        ),
        accuracy.commands_table(inputs.runs, data_arguments),
    ]


def _curves(inputs: Inputs, pictures: dict[str, bytes]) -> list[Block]:
    blocks: list[Block] = [
        Heading("The lab's figures again"),
        Paragraph(
            "Loss and accuracy against iteration, NumPy as a broad pale line, PyTorch as a thin "
            "dashed one upon it; below each, the absolute difference of the two at every training "
            "step where it is not 0."
        ),
    ]
    if inputs.is_mnist:
        blocks += [
            Paragraph(
                "The lab's curves are pictures: what is on record of their shapes, and what ours "
                f"do (NumPy, float32, seed {inputs.seeds[0]}; the CNN as intended), read off their "
                "evaluations of the dev set. Before and after a step of the schedule: the slopes "
                "over the last and the first two intervals that lie wholly on that side; a bend is "
                f"one whose slopes' ratio is at most {shapes.BEND:g} of that at a constant rate."
            ),
            shapes.table(inputs.rows, inputs.store, inputs.runs),
        ]
    drawn = set()
    for row in inputs.rows:
        for reading in accuracy.READINGS:
            recipe = accuracy.recipe_of(row, reading)
            if recipe is None or canonical(recipe.name) in drawn:
                continue
            name = canonical(recipe.name)
            drawn.add(name)
            float32 = figures.Curves(*map(inputs.store.history, inputs.pair(name)))
            doubles = inputs.pair(name, "float64")
            float64 = None
            if all(run in inputs.runs for run in doubles):
                float64 = figures.Curves(*map(inputs.store.history, doubles))
            file = f"curves-{name}.png"
            pictures[file] = figures.curves(
                f"{name}, {inputs.data.name}, seed {inputs.seeds[0]}", float32, float64
            )
            blocks.append(
                Figure(
                    inputs.folder / "figures" / file,
                    f"{name}: {RECIPES[name].note}. Curves in float32.",
                    pictures[file],
                )
            )
    return blocks


def _ledger(lines: Sequence[ledger.Line]) -> list[Block]:
    cases = sum(line.cases for line in lines if line.dtype == "float64")
    names = len({line.component for line in lines})
    return [
        Heading("The parity ledger"),
        Paragraph(
            f"{names} components, {cases} configurations, each in float64 and float32 against its "
            "PyTorch twin, measured by the code that the tests run. Errors are the largest "
            "difference of any element, relative to the largest value of its array where that is "
            "above 1; “× max” means that the tolerance scales with that value. The last column is "
            "the share of the tolerance that the worst element used: 100% would fail. ▲ marks an "
            f"error that grew {ledger.GROWTH:.0f}-fold against the committed ledger."
        ),
        ledger.table(lines),
    ]


def _defects() -> list[Block]:
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
    fold = f"{len(lines)} defects, and what catches each"
    return [
        Heading("What was wrong in the lab"),
        Paragraph(
            "Each defect was put into a copy of our component, just now; the last column is the "
            "failure of the check that is meant to see it (`parity_tests/test_lab_defects.py`)."
        ),
        Table("defects", header, lines, fold=fold),
    ]


def _speed(inputs: Inputs, pictures: dict[str, bytes]) -> list[Block]:
    """The benchmark as it was last run; it needs an idle machine, so it is not part of this."""
    path = HERE / "benchmark.json"
    if not path.exists():
        return []
    return speed.blocks(json.loads(path.read_text()), inputs.folder, pictures)


def _trained(inputs: Inputs, run: Run) -> Trainer:
    """The run's model with its last weights."""
    backend = make_backend(run.backend)
    trainer = Trainer(run.config, backend, inputs.data)
    backend.load_arrays(trainer.model, inputs.store.weights(run))
    return trainer


def _best(rows: Sequence[str]) -> str:
    """The MLP row to look into: the lab's best, where it was run."""
    mlps = [row for row in rows if not row.startswith("cnn")]
    return "momentum-10ep" if "momentum-10ep" in mlps else mlps[-1] if mlps else ""


def _pictures(inputs: Inputs, pictures: dict[str, bytes]) -> list[Block]:
    blocks: list[Block] = [Heading("Pictures")]
    data, side = inputs.data, inputs.data.test_images.shape[1]
    names = [row for row in (_best(inputs.rows), "cnn-10ep") if row in inputs.rows]

    def show(file: str, content: bytes, caption: str) -> None:
        pictures[file] = content
        blocks.append(Figure(inputs.folder / "figures" / file, caption, content))

    for row in names:
        trained = {NAMES[run.backend]: _trained(inputs, run) for run in inputs.pair(row)}
        arrays = {name: t.backend.arrays(t.model) for name, t in trained.items()}
        first = {name: a["0.weight"] for name, a in arrays.items()}
        largest = max(float(np.abs(w).max()) for w in first.values())
        if row.startswith("cnn"):
            image = data.test_images[0]
            maps = {
                name: t.backend.predict(_front(t), t.images(image[None]))[0]
                for name, t in trained.items()
            }
            limits = (largest, max(float(m.max()) for m in maps.values()))
            for name, m in maps.items():
                title = f"{row}, {name}: first convolution"
                show(
                    f"kernels-{name}.png",
                    figures.kernels_and_maps(title, image, first[name][:, 0], m, limits),
                    f"{row}, {name}: the first convolution's kernels, and what they make of the "
                    "first test image.",
                )
        else:
            norms = np.linalg.norm(first["NumPy"], axis=1)
            chosen = np.argsort(-norms, kind="stable")[:32]
            limit = float(np.percentile(np.abs(first["NumPy"][chosen]), 99.5))
            for name, w in first.items():
                show(
                    f"weights-{name}.png",
                    figures.weight_images(f"{row}, {name}: first layer", w, chosen, limit, side),
                    f"{row}, {name}: the weights of 32 hidden units as images of {side}x{side} "
                    "pixels: those with the largest norm in NumPy.",
                )
        logits = {name: t.predict(data.test_images) for name, t in trained.items()}
        counts = {
            name: figures.confusion_matrix(data.test_labels, z.argmax(1), data.classes)
            for name, z in logits.items()
        }
        most = max(int((c - np.diag(np.diag(c))).max()) for c in counts.values())
        for name, c in counts.items():
            show(
                f"confusion-{row}-{name}.png",
                figures.confusion(f"{row}, {name}", c, max(1, most)),
                f"{row}, {name}: true against predicted digits; the errors alone are coloured.",
            )
        for name, z in logits.items():
            p = softmax(z.astype(np.float64), 1)
            title = f"{row}, {name}: surest errors"
            show(
                f"wrong-{row}-{name}.png",
                figures.confidently_wrong(title, data.test_images, data.test_labels, p),
                f"{row}, {name}: the errors of which it was surest: guess, probability, label.",
            )
    return blocks


def _front(trainer: Trainer) -> Any:
    """The first convolution and its ReLU."""
    layers = [layer for _, layer in list(trainer.model.named_children())[:2]]
    return trainer.backend.nn.Sequential(*layers).eval()


def _environment(inputs: Inputs) -> list[Block]:
    trained = sum(inputs.store.result(run)["seconds"] for run in inputs.runs)
    rows = [[key, value] for key, value in inputs.environment.items()]
    rows.append(["training", f"{len(inputs.runs)} runs, {trained:,.0f} s in all, one core each"])
    rows.append(
        ["this report", f"{time.perf_counter() - inputs.started:,.0f} s, runs reused included"]
    )
    return [
        Heading("Environment"),
        Table("environment", ["what", "value"], rows),
        Heading("Make it again", 3),
        Code(inputs.command),
    ]
