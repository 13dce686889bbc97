"""The accuracy table's numbers: what is trained for it, what it says, and what it may not say."""

import dataclasses
import re

import pytest

from experiments.recipes import LAB
from reports import accuracy
from reports.accuracy import Agreement, Score
from reports.runs import Run, canonical

UNFITTED = "sgd-5ep-as-published --init-scale 1"


@pytest.fixture
def found() -> dict[tuple[str, str], Score]:
    """Scores of every variant: the published number where there is one; 0.8912 unfitted."""
    values = {name: LAB[name].published or 0.99 for name in LAB} | {UNFITTED: 0.8912}
    return {
        (variant, backend): Score((value - 0.001, value, value + 0.001))
        for variant, value in values.items()
        for backend in accuracy.BACKENDS
    }


def test_every_configuration_is_run_in_float64_by_both_backends() -> None:
    planned = accuracy.plan(accuracy.rows(), [0, 1, 2])
    for dtype in accuracy.DTYPES:
        for backend in accuracy.BACKENDS:
            of_both = [r for r in planned if (r.dtype, r.backend) == (dtype, backend)]
            assert {run.recipe for run in of_both} == {canonical(name) for name in LAB}
    assert {run.seed for run in planned if run.dtype == "float64"} == {0}


def test_the_fitted_row_is_also_run_unfitted_with_every_seed() -> None:
    unfitted = [r for r in accuracy.plan(["sgd-5ep"], [0, 3]) if r.variant == UNFITTED]
    assert {(r.backend, r.seed) for r in unfitted if r.dtype == "float32"} == {
        (backend, seed) for backend in accuracy.BACKENDS for seed in (0, 3)
    }
    for run in unfitted:
        fitted = dataclasses.replace(run, changes=())
        assert (run.config.init_scale, fitted.config.init_scale) == (1.0, 1.5)
        assert dataclasses.replace(run.config, init_scale=1.5) == fitted.config
        assert run.name != fitted.name
        assert re.fullmatch(r"[\w.-]+", run.name)  # a folder's name
        assert run.command().startswith(f"python train.py --backend {run.backend} --recipe ")
        assert UNFITTED in run.command()
    table = accuracy.commands_table(unfitted, "")
    assert len(table.rows) == 1
    assert table.rows[0][:3] == [UNFITTED, "0", "0, 3"]


def test_the_fitted_row_says_that_it_is_and_what_it_gives_unfitted(found) -> None:
    (row,) = accuracy.accuracy_table(["sgd-5ep"], found, True).rows
    for cell in row[2:4]:
        assert cell == "0.9042 ± 0.0010 (fitted; with factor 1: 0.8912 ± 0.0010)"
    (row,) = accuracy.reasons_table(["sgd-5ep"], found, {}).rows
    assert "fitted, no reproduction: initial weights 1.5 times those of the other rows" in row[-1]
    assert "gives 0.8912 ± 0.0010, -1.30 points (NumPy) and 0.8912" in row[-1]
    assert accuracy.violations(["sgd-5ep"], found, [], True) == []
    found[UNFITTED, "torch"] = Score((0.8812,))
    assert accuracy.violations(["sgd-5ep"], found, [], True) == [
        f"{UNFITTED}: the backends' means are 1.00 points apart, allowed 0.3"
    ]


def test_the_cnn_row_says_why_a_batch_took_the_lab_45_seconds(found) -> None:
    seconds = {("cnn-10ep", "numpy"): 0.0374, ("cnn-10ep", "torch"): 0.0451}
    (row,) = accuracy.reasons_table(["cnn-10ep"], found, seconds).rows
    assert row[1:4] == ["–", "–", "–"]
    assert "“45 s per batch”" in row[-1]
    assert "10,000 images of the dev set, evaluated after every step" in row[-1]
    assert "evaluated 2 times an epoch" in row[-1]
    assert "37 ms (NumPy) and 45 ms (PyTorch)" in row[-1]


def test_a_batch_is_timed_from_the_first_run_of_each_backend() -> None:
    class Timed:
        def result(self, run: Run) -> dict[str, float]:
            return {"seconds": 10.0 + 90 * run.seed + 5 * (run.backend == "torch"), "steps": 100}

    runs = [
        Run("cnn-10ep", backend, dtype, seed)
        for dtype in accuracy.DTYPES
        for seed in (0, 1)
        for backend in accuracy.BACKENDS
    ]
    assert accuracy.batch_seconds(Timed(), runs) == {
        ("cnn-10ep", "numpy"): 0.1,
        ("cnn-10ep", "torch"): 0.15,
    }


def pair(recipe: str, float32: int, float64: int | None, loss: float = 1e-3) -> list[Agreement]:
    of_doubles = [] if float64 is None else [Agreement(recipe, "float64", float64, 10000, 2e-15, 5)]
    return [Agreement(recipe, "float32", float32, 10000, loss, 5), *of_doubles]


def test_the_sentence_on_agreement_says_what_was_run_and_no_more() -> None:
    agreed = [*pair("cnn-10ep", 9980, 10000, 0.46), *pair("momentum-10ep", 9994, 10000)]
    agreed += pair("sgd-5ep", 10000, 10000)
    text = accuracy.agreement_sentence(agreed)
    double, single = text.split(". In float32")
    assert double == (
        "Same seed, same run, in float64: all 10,000 predictions are identical in every row; "
        "a step's loss differs by up to 2.0e-15 of its value (cnn-10ep)"
    )
    assert "9,980 of 10,000 for cnn-10ep, 9,994 of 10,000 for momentum-10ep, and all" in single
    assert "4.6e-01 of its value (cnn-10ep)" in single
    one_off = accuracy.agreement_sentence([*agreed, *pair("sgd-10ep", 10000, 9999)])
    assert "identical are 9,999 of 10,000 for sgd-10ep" in one_off
    assert "all 10,000" not in one_off
    not_run = accuracy.agreement_sentence([*agreed, *pair("sgd-10ep", 10000, None)])
    assert "in every row but sgd-10ep, not run in it" in not_run
    same = accuracy.agreement_sentence(pair("sgd-5ep", 10000, 10000))
    assert same.endswith("yet all predictions are identical.")
