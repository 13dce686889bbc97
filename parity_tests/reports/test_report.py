"""The report: what is reused, what is resumed, and that its pages agree with each other."""

import base64
import csv
import dataclasses
import html
import io
import json
import re
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.data import load
from parity_tests.reports.conftest import ROW
from reports import accuracy, ledger, make_report, write
from reports.document import Content, Table, anchor
from reports.runs import ROOT, Run, Store, canonical, code_version
from torch_ref.compare import Tolerance


def new_store(folder: Path) -> Store:
    return Store(folder, load("digits").checksum, ["--dataset", "digits"])


@pytest.fixture(scope="module")
def report(store, tmp_path_factory) -> Path:
    """A report of that row, with a short ledger."""
    folder = tmp_path_factory.mktemp("report")
    inputs = write.Inputs(
        folder,
        store,
        load("digits"),
        [ROW],
        [0],
        accuracy.plan([ROW], [0]),
        {"commit": "abc | def"},
        time.perf_counter(),
        "python reports/make_report.py --rows momentum-5ep",
        full=False,
    )
    with pytest.MonkeyPatch.context() as patch:
        lines = [ledger.Line("Linear", "float64", 3, {"forward": 1e-16}, 0.25, Tolerance(0.1, 0.2))]
        patch.setattr(ledger, "measure_all", lambda committed: lines)
        assert write.write_report(inputs) == []
    return folder


def test_finished_runs_are_reused_only_for_the_same_code_data_and_configuration(
    store, monkeypatch
) -> None:
    runs = accuracy.plan([ROW], [0])
    assert {(run.backend, run.dtype) for run in runs} == {
        (backend, dtype) for backend in ("numpy", "torch") for dtype in ("float32", "float64")
    }
    assert all(store.has(run) for run in runs)
    again = new_store(store.folder)
    assert all(again.has(run) for run in runs)
    assert not store.has(dataclasses.replace(runs[0], seed=1))
    assert not Store(store.folder, "another checksum", []).has(runs[0])
    monkeypatch.setattr("reports.runs.code_version", lambda backend: "another")
    assert not new_store(store.folder).has(runs[0])
    before = [(store.path(run) / "result.json").stat().st_mtime_ns for run in runs]
    store.make_missing(runs, jobs=2)
    assert before == [(store.path(run) / "result.json").stat().st_mtime_ns for run in runs]


def test_an_interrupted_run_goes_on_to_the_same_result(store) -> None:
    run = Run(ROW, "numpy", "float32", 0)
    whole = store.result(run)
    (store.path(run) / "result.json").unlink()
    assert not store.has(run)
    checkpoint = (store.path(run) / "checkpoint.safetensors").stat().st_mtime_ns
    store.make(run)
    again = store.result(run)
    # resumed, not repeated: nothing was left to train
    assert (store.path(run) / "checkpoint.safetensors").stat().st_mtime_ns == checkpoint
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in whole.items() if k != "seconds"
    }


def test_a_failing_run_says_why(store, monkeypatch) -> None:
    broken = Store(store.folder / "broken", "x", ["--data-dir", "/nowhere/at/all"])
    with pytest.raises(RuntimeError, match="no such folder"):
        broken.make(Run(ROW, "numpy", "float32", 0))


def test_prose_does_not_change_the_code_version(tmp_path, monkeypatch) -> None:
    def version(source: str) -> str:
        folder = tmp_path / "numpy_impl"
        folder.mkdir(exist_ok=True)
        (folder / "a.py").write_text(source)
        monkeypatch.setattr("reports.runs.ROOT", tmp_path)
        return code_version("numpy")

    code = 'def f():\n    """Says."""\n    return 1\n'
    assert version(code) == version('"""New."""\n' + code.replace("Says", "Says more") + "# why\n")
    assert version(code) != version(code.replace("1", "2"))


def test_recipes_of_equal_configuration_share_their_runs() -> None:
    assert canonical("sgd-10ep-as-published") == "sgd-10ep"
    assert canonical("sgd-5ep-as-published") == "sgd-5ep-as-published"
    planned = accuracy.plan(accuracy.rows(), [0, 1, 2])
    assert len(planned) == len(set(planned))
    assert {run.seed for run in planned if run.recipe == "cnn-10ep"} == {0}


def test_pages_and_csv_hold_the_same_cells(report) -> None:
    page = html.unescape((report / "report.html").read_text())
    text = (report / "REPORT.md").read_text()
    cells_of_page = [
        re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", page)
    ]
    cells_of_text = [
        cell.strip().replace("\\|", "|").replace("`", "")
        for line in text.splitlines()
        if line.startswith("| ")
        for cell in re.split(r"(?<!\\)\|", line)[1:-1]
    ]
    numbers = json.loads((report / "report.json").read_text())["tables"]
    count = 0
    for path in report.glob("*.csv"):
        rows = list(csv.reader(io.StringIO(path.read_text())))
        assert [list(r.values()) for r in numbers[path.stem]] or rows
        for row in rows[1:]:
            for cell in row:
                count += 1
                assert cell in cells_of_page, (path.name, cell)
                assert cell in cells_of_text, (path.name, cell)
    assert count == len(cells_of_page) > 40


def test_pages_hold_the_same_prose(report) -> None:
    page = html.unescape((report / "report.html").read_text())
    text = (report / "REPORT.md").read_text()
    text = re.sub(r"<details>.*?</details>|```.*?```", "", text, flags=re.DOTALL)
    in_page = re.findall(r"<(?:p|figcaption)>(.*?)</(?:p|figcaption)>", page)
    shown = [re.sub(r"</?(code|strong)>", "", paragraph) for paragraph in in_page]
    blocks = [block.strip() for block in text.split("\n\n")]
    prose = [block for block in blocks if block and not re.match(r"#|\||!\[|- \[", block)]
    assert [re.sub(r"[`*]", "", block) for block in prose] == shown
    assert len(shown) > 20


def test_the_page_needs_no_other_file(report) -> None:
    page = (report / "report.html").read_text()
    assert not re.search(r"(src|href)=['\"](?!data:|#)", page)
    assert "<script" not in page
    images = re.findall(r"src='data:image/png;base64,([^']+)'", page)
    files = sorted((report / "figures").glob("*.png"))
    assert sorted(base64.b64decode(image) for image in images) == sorted(
        file.read_bytes() for file in files
    )
    # two curves, two of the benchmark; for each backend weights, confusion matrix, surest errors
    assert len(files) == 10
    for file in files:
        assert f"(figures/{file.name})" in (report / "REPORT.md").read_text()


def test_the_page_starts_with_its_contents_and_folds_its_long_tables(report) -> None:
    page, text = (report / "report.html").read_text(), (report / "REPORT.md").read_text()
    headings = re.findall(r"<h[23] id='([^']+)'>", page)
    assert len(set(headings)) == len(headings) > 8
    assert re.findall(r"href='#([^']+)'", page) == headings
    assert page.index("<nav") < page.index("<h2")
    lines = text.split("```")[0::2]  # without code
    titles = re.findall(r"^##+ (.+)$", "".join(lines), re.MULTILINE)
    assert [anchor(title) for title in titles] == headings
    assert re.findall(r"\]\(#([^)]+)\)", text) == headings
    unfolded = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", unfolded, re.MULTILINE):
        cells = table.count("\n") * table.splitlines()[0].count(" | ")
        assert cells <= 100, f"fold this one: {table}"
    for name in ("commands", "ledger", "defects", "layers", "growth", "agreement"):
        header = next(csv.reader(io.StringIO((report / f"{name}.csv").read_text())))
        assert f"| {' | '.join(header)} |" not in unfolded, name
        assert f"| {' | '.join(header)} |" in text, name


@pytest.mark.parametrize(
    ("mnist", "full", "seeds", "problems", "says", "never"),
    [
        (True, True, [0, 1], [], "within the tolerances", "not the full report"),
        (True, False, [0, 1], [], "**This is not the full report**", "8x8 digits"),
        (False, False, [0, 1], [], "8x8 digits, not MNIST.**", "not the full report"),
        (True, True, [0, 1], ["a", "b < c"], "tolerances:** a; b < c.", "Every number"),
        (True, True, [0, 1], [], "seeds 0, 1, the lab's CNN with the first alone.", "seed 0."),
        (True, True, [0], [], "2 test images; seed 0.", "seeds 0"),
        (True, True, [0], [], "(1.2 for sgd-5ep, whose initial values are not", "Tolerance: "),
        (
            False,
            False,
            [0],
            [],
            "Tolerance: the two backends' means may lie 0.3",
            "whose initial values",
        ),
        (True, True, [0], [], "must agree to 1e-8 (relative to its value)", "1e-08"),
        (True, True, [0], [], "2 components, 3 configurations, each in", "Speed and memory"),
    ],
)
def test_the_report_says_what_it_is_of(mnist, full, seeds, problems, says, never) -> None:
    images = np.zeros((2, 8, 8))
    data = SimpleNamespace(name="x", train_images=images, test_images=images)
    inputs = SimpleNamespace(
        command="c",
        data=data,
        seeds=seeds,
        is_mnist=mnist,
        full=full,
        rows=["r"],
        augmented=[],
        growth=[],
    )
    names = ["accuracy", "agreement", "commands", "ledger", "defects", "environment"]
    names += ["reasons", "shapes"] * mnist
    lines = [("Conv", "float64", 1), ("Conv", "float32", 1), ("conv", "float64", 2)]
    values = {
        "title": "T",
        "inputs": inputs,
        "problems": problems,
        "agreement": "A",
        "lines": [ledger.Line(*line) for line in lines],
        "recipes": {},
        "accuracy": accuracy,
        "ledger": ledger,
        "shapes": write.shapes,
    }
    figures = {"curves": [], "networks": []}
    content = Content([Table(name, [name], [["1"]]) for name in names], figures, values)
    text, page = content.markdown("report.j2"), html.unescape(content.html("report.html.j2"))
    assert says in text
    assert says.replace("**", "") in re.sub(r"</?strong>", "", page)
    assert never not in text
    assert never not in page


def test_digits_are_said_and_not_compared_with_the_lab(report) -> None:
    text = (report / "REPORT.md").read_text()
    assert "bundled 8x8 digits, not MNIST" in text.split("## ")[0]
    assert "0.8896" not in text.split("## What was wrong in the lab")[0]
    assert not (report / "reasons.csv").exists()


def score(*values: float) -> accuracy.Score:
    return accuracy.Score(values)


def scores_at(published: float, intended: float) -> dict:
    return {
        (recipe, backend): score(value)
        for backend in accuracy.BACKENDS
        for recipe, value in (
            ("momentum-5ep-as-published", published),
            ("momentum-5ep", intended),
        )
    }


def test_what_leaves_its_tolerance_is_named() -> None:
    sound = scores_at(0.8896, 0.96)
    assert accuracy.violations([ROW], sound, [], True) == []
    off = accuracy.violations([ROW], scores_at(0.8896 + 0.0061, 0.96), [], True)
    assert len(off) == 2
    assert "0.61 points from the published 0.8896, allowed 0.6" in off[0]
    assert accuracy.violations([ROW], scores_at(0.1, 0.96), [], with_published=False) == []
    apart = {**sound, ("momentum-5ep", "torch"): score(0.9562)}
    assert "0.38 points apart" in accuracy.violations([ROW], apart, [], True)[0]
    cnn = {("cnn-10ep", backend): score(0.9849) for backend in accuracy.BACKENDS}
    assert len(accuracy.violations(["cnn-10ep"], cnn, [], True)) == 2
    for agreement, holds in (
        (accuracy.Agreement(ROW, "float64", 10000, 10000, 1e-9, 5), True),
        (accuracy.Agreement(ROW, "float64", 9999, 10000, 1e-9, 5), False),
        (accuracy.Agreement(ROW, "float64", 10000, 10000, 2e-8, 5), False),
        (accuracy.Agreement(ROW, "float32", 9980, 10000, 1e-2, 5), True),
        (accuracy.Agreement(ROW, "float32", 9979, 10000, 1e-5, 5), False),
    ):
        assert bool(accuracy.violations([ROW], sound, [agreement], True)) is not holds


def test_mean_and_sample_deviation() -> None:
    assert score(0.9, 0.91, 0.92).cell() == "0.9100 ± 0.0100"
    assert score(0.9).cell() == "0.9000"


def test_agreement_counts_what_differs(store, tmp_path) -> None:
    (found,) = (
        a
        for a in accuracy.agreements(store, accuracy.plan([ROW], [0]))
        if a.steps == 50 and a.dtype == "float64" and a.recipe == ROW
    )
    assert found.identical == found.total == 297
    assert 0 <= found.loss < 1e-10
    twin = Run(ROW, "torch", "float64", 0)
    path = store.path(twin) / "metrics.jsonl"
    text = path.read_text()
    try:
        records = [json.loads(line) for line in text.splitlines()]
        step = next(r for r in records if r["kind"] == "train" and r["step"] == 7)
        step["loss"] *= 1 + 1e-6
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
        worst = max(a.loss for a in accuracy.agreements(store, [Run(ROW, "numpy", "float64", 0)]))
        np.testing.assert_allclose(worst, 1e-6, rtol=1e-3)
    finally:
        path.write_text(text)


def test_a_ledger_entry_that_grew_is_flagged(monkeypatch) -> None:
    case = next(
        case
        for name, table in ledger.tables().items()
        if name.endswith("test_linear")
        for case in table
    )
    monkeypatch.setattr(ledger, "tables", lambda: {"one": [case]})
    lines = ledger.measure_all("")
    assert [line.dtype for line in lines] == ["float64", "float32"]
    assert not any(line.grown for line in lines)
    assert all(0 <= line.used < 1 for line in lines)
    text = ledger.table(lines).csv()
    assert not any(line.grown for line in ledger.measure_all(text))
    lines[1].errors["forward"] = 2e-7
    once_small = ledger.table(lines).csv()
    sound = type(case).measure

    def worse(self, dtype):
        for result in sound(self, dtype):
            off = 1e-4 if result.direction == "forward" else 0
            yield dataclasses.replace(result, ours=result.ours + off)

    monkeypatch.setattr(type(case), "measure", worse)
    grown = ledger.measure_all(once_small)
    assert all(line.grown == ["forward"] for line in grown)
    assert all(line.used > 1 for line in grown)
    assert "▲" in ledger.table(grown).csv()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seeds", "a-b"], "--seeds must look like 0-2"),
        (["--seeds", "3-1"], "--seeds must name at least one"),
        (["--rows", "sgd"], "--rows must be of sgd-5ep"),
        (["--jobs", "0"], "--jobs must be at least 1"),
        (["--quick", "--rows", ROW], "--quick chooses the rows itself"),
        (["--dataset", "cifar"], "--dataset must be auto"),
        (["--data-dir", "/nowhere/at/all"], "no such folder"),
    ],
)
def test_wrong_flags_are_answered_in_one_line(arguments, message, capsys) -> None:
    assert make_report.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_without_training_missing_runs_are_named(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(make_report, "HERE", tmp_path)
    assert make_report.main(["--no-train", "--dataset", "digits", "--rows", ROW]) == 2
    assert "--no-train: 16 of 16 runs are missing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_seeds() -> None:
    assert make_report.parse_seeds("0-2") == [0, 1, 2]
    assert make_report.parse_seeds("5,0-1,5") == [5, 0, 1]


def test_readme_is_given_the_table_and_how_closely_the_backends_agree(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(write, "ROOT", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{write._MARKS[0]}\nold\n{write._MARKS[1]}\nafter\n")
    agreed = [accuracy.Agreement(ROW, dtype, 9, 9, 1e-9, 5) for dtype in accuracy.DTYPES]
    table = accuracy.accuracy_table([ROW], scores_at(0.8896, 0.96), True)
    content = Content([table], values={"agreement": accuracy.agreement_sentence(agreed)})
    for _ in range(2):  # the second time changes nothing
        write._update_readme(content)
        before, shown, after = re.split("|".join(write._MARKS), readme.read_text())
        assert (before, after) == ("before\n", "\nafter\n")
        assert shown.startswith("\n| row | published |")
        assert shown.endswith(f"\n\n{accuracy.agreement_sentence(agreed)}\n")


def test_readme_shows_the_committed_table() -> None:
    """README's table is the committed report's, cell for cell."""
    readme = (ROOT / "README.md").read_text()
    shown = readme.split(write._MARKS[0])[1].split(write._MARKS[1])[0].strip()
    report = (ROOT / "reports" / "REPORT.md").read_text()
    table, *sentence = shown.split("\n\n")
    assert all(block in report for block in (table, *sentence))
    with (ROOT / "reports" / "accuracy.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    for line, row in zip([table.splitlines()[0], *table.splitlines()[2:]], rows, strict=True):
        assert [cell.strip() for cell in line.split("|")[1:-1]] == row


def test_the_committed_report_is_of_mnist_and_within_its_tolerances() -> None:
    numbers = json.loads((ROOT / "reports" / "report.json").read_text())
    assert numbers["data"] == "mnist"
    assert numbers["outside_tolerance"] == []
    assert {row["row"] for row in numbers["tables"]["accuracy"]} == set(accuracy.rows())


def test_the_committed_report_is_of_a_commit_and_of_every_row_in_float64() -> None:
    numbers = json.loads((ROOT / "reports" / "report.json").read_text())
    assert re.fullmatch(r"[0-9a-f]{7,}", numbers["environment"]["commit"])
    planned = {(r.variant, r.dtype) for r in accuracy.plan(accuracy.rows(), [0])}
    assert {(a["recipe"], a["dtype"]) for a in numbers["agreement"]} == planned
    readme = (ROOT / "README.md").read_text()
    assert "Same seed, same run, in float64: all 10,000 predictions are identical" in readme
