"""The table of more training data: which runs it is made of, and what it says of them."""

import html
import json
import re
from typing import Any

import numpy as np
import pytest

import numpy_impl
import train
from experiments.config import resolve
from experiments.data import load
from experiments.recipes import TRANSFORMED
from reports import augmentation, figures, ledger, make_report, runs, write
from reports.accuracy import canonical, plan
from reports.runs import Run, Store

CELLS = {
    ("momentum-10ep", "numpy", False): (0.97, 0.971, 0.969),
    ("momentum-10ep", "numpy", True): (0.98, 0.981, 0.979),
    ("momentum-10ep", "torch", False): (0.97,),
    ("augmented", "numpy", True): (0.9949, 0.9951),
}


class Stored:
    """A store of the accuracies above."""

    def result(self, run: Run) -> dict[str, Any]:
        cell = (run.recipe, run.backend, bool(run.config.transformations))
        return {"test_accuracy": CELLS[cell][run.seed], "seconds": 1.0, "predictions": []}


@pytest.fixture
def planned() -> list[Run]:
    return [
        augmentation.run(*cell, seed)
        for cell, values in CELLS.items()
        for seed in range(len(values))
    ]


@pytest.mark.parametrize("complete", [False, True])
def test_each_network_is_run_with_and_without_transformations(complete: bool) -> None:
    seeds = [0, 3, 5]
    planned = augmentation.plan(seeds, complete)
    assert len(set(planned)) == len(planned)
    for run in planned:
        assert re.fullmatch(r"[\w.-]+", run.name)  # a folder's name
        plain = resolve(run.recipe, {"backend": run.backend, "seed": run.seed}).as_dict()
        changed = {k for k, v in run.config.as_dict().items() if v != plain[k]}
        assert changed <= TRANSFORMED.keys()
        assert run.config.transformations in ({}, TRANSFORMED)
    assert augmentation.is_complete(planned, seeds) is complete
    found: dict[tuple[str, str, bool], list[int]] = {}
    for run in planned:
        cell = (run.recipe, run.backend, bool(run.config.transformations))
        found.setdefault(cell, []).append(run.seed)
    assert found["augmented", "numpy", True] == seeds  # three, of which the mean must reach a limit
    if complete:
        assert len(found) == 4 * len(augmentation.NETWORKS)
        assert all(of_cell == seeds for of_cell in found.values())
    else:
        assert set(planned) < set(augmentation.plan(seeds, complete=True))


def test_the_lab_s_own_runs_serve_as_those_without() -> None:
    lab, ours = plan(["momentum-10ep", "cnn-10ep"], [0, 1, 2]), augmentation.plan([0, 1, 2])
    shared = {run for run in ours if run in lab}
    assert {(run.recipe, run.backend) for run in shared} == {
        ("momentum-10ep", "numpy"),
        ("momentum-10ep", "torch"),
        ("cnn-10ep", "numpy"),
        ("cnn-10ep", "torch"),
    }
    assert canonical("momentum-10ep") == "momentum-10ep"


def test_the_table_shows_mean_spread_and_number_and_what_was_not_run(planned) -> None:
    table = augmentation.table(augmentation.scores(Stored(), planned))
    columns = [f"{how}, {name}" for how in ("without", "with") for name in ("NumPy", "PyTorch")]
    assert table.header[2:] == [*columns, "gained (points)"]
    rows = table.rows
    assert rows[0] == [
        "the lab's MLP",
        "`momentum-10ep`",
        "0.9700 ± 0.0010 (n = 3)",
        "0.9700 (n = 1)",
        "0.9800 ± 0.0010 (n = 3)",
        "not run",
        "+1.00",
    ]
    assert rows[1][2:] == ["not run"] * 4 + [""]
    assert rows[2][2:] == ["not run", "not run", "0.9950 ± 0.0001 (n = 2)", "not run", ""]


def test_a_mean_below_the_limit_is_named(planned, monkeypatch) -> None:
    assert augmentation.violations(Stored(), planned, is_mnist=True) == []
    monkeypatch.setitem(CELLS, ("augmented", "numpy", True), (0.9949, 0.9949))
    (said,) = augmentation.violations(Stored(), planned, is_mnist=True)
    assert said == "augmented on transformed images, NumPy: 0.9949 is below 0.995"
    assert augmentation.violations(Stored(), planned, is_mnist=False) == []
    assert augmentation.violations(Stored(), [], is_mnist=True) == []


def test_the_picture_shows_five_digits_and_25_transformed_ones(monkeypatch) -> None:
    shown = []
    monkeypatch.setattr(figures, "transformed", lambda *images: shown.append(images) or b"png")
    data = load("digits")
    assert augmentation.picture(data) == b"png"
    numpy_impl.random.rand(3)  # the stream may stand anywhere
    state = numpy_impl.get_rng_state()
    assert augmentation.picture(data) == b"png"
    np.testing.assert_array_equal(numpy_impl.get_rng_state(), state)
    (originals, results), (_, again) = shown
    assert originals.shape == (5, 8, 8)
    assert results.shape == (5, 5, 8, 8)
    np.testing.assert_array_equal(results, again)
    assert np.abs(results - originals[:, None]).max((2, 3)).min() > 0.1  # each of them changed
    first = data.train_images[np.argmax(data.train_labels == 2)] / np.float32(16)
    np.testing.assert_array_equal(originals[0], first)
    monkeypatch.undo()
    assert augmentation.picture(data).startswith(b"\x89PNG")


def test_a_report_of_this_part_alone(tmp_path, monkeypatch) -> None:
    """Really trained, on the digits: one network in one backend, with and without."""
    cells = {("momentum-10ep", "numpy", False): 1, ("momentum-10ep", "numpy", True): 1}
    monkeypatch.setattr(augmentation, "SEEDS", cells)
    monkeypatch.setattr(make_report, "HERE", tmp_path)
    monkeypatch.setattr(ledger, "measure_all", lambda committed: [])
    monkeypatch.setattr(write, "_defects_table", lambda: write.Table("defects", ["a"], [["b"]]))
    assert make_report.main(["--rows", "augmentation", "--dataset", "digits", "--jobs", "1"]) == 0
    (folder,) = (tmp_path / "other").iterdir()
    text = (folder / "REPORT.md").read_text()
    page = html.unescape((folder / "report.html").read_text())
    for part in (text, page):
        assert "More training data by small transformations" in part
        assert "turned by up to 10 degrees, shifted by up to 2 pixels" in part
        assert "scaled by 0.9 to 1.1, sheared by up to 8 degrees, and bent" in part
        assert "--rotate 10 --shift 2 --scale 0.9 1.1 --shear 8 --elastic 30 4" in part
        assert "The accuracy table" not in part
        assert "The lab's figures again" not in part
        assert "trains them too" in part
    assert "(figures/transformed.png)" in text
    assert (folder / "figures" / "transformed.png").exists()
    numbers = json.loads((folder / "report.json").read_text())["tables"]["augmentation"]
    assert re.fullmatch(r"0\.\d{4} \(n = 1\)", numbers[0]["with, NumPy"])
    assert numbers[0]["with, NumPy"] != numbers[0]["without, NumPy"]
    trained = {path.name for path in (tmp_path / "runs" / "digits").iterdir() if path.is_dir()}
    assert trained == {run.name for run in augmentation.plan([0])}
    for run in augmentation.plan([0]):
        about = json.loads((tmp_path / "runs" / "digits" / run.name / "config.json").read_text())
        assert {**about["config"], "dataset": "auto"} == run.config.as_dict()


def test_complete_means_every_cell_and_what_is_there_is_shown_anyway(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(make_report, "HERE", tmp_path)
    there = augmentation.run("augmented", "torch", True, 1)
    foreign = augmentation.run("augmented", "torch", True, 7)
    monkeypatch.setattr(Store, "has", lambda self, run: run in (there, foreign))
    monkeypatch.setattr(Store, "make_missing", lambda self, runs, jobs: None)
    written: list[write.Inputs] = []
    monkeypatch.setattr(write, "write_report", lambda inputs: written.append(inputs) or [])
    command = ["--rows", "augmentation", "--dataset", "digits"]
    for more in ([], ["--complete"]):
        assert make_report.main([*command, *more]) == 0
    usual, complete = written
    seeds = [0, 1, 2]
    assert usual.command == f"python reports/make_report.py {' '.join(command)}"
    assert set(usual.augmented) == {*augmentation.plan(seeds), there}
    assert complete.command.endswith("augmentation --complete --dataset digits")
    assert complete.augmented == augmentation.plan(seeds, complete=True)


def test_readme_shows_the_picture() -> None:
    readme = (runs.ROOT / "README.md").read_text()
    assert 'src="reports/figures/transformed.png"' in readme
    committed = runs.ROOT / "reports" / "figures" / "transformed.png"
    assert committed.read_bytes().startswith(b"\x89PNG")
    (arguments,) = re.findall(r"^python train.py (.*--rotate.*)$", readme, re.MULTILINE)
    assert resolve(None, train.parse(arguments.split())).transformations == TRANSFORMED
