"""The benchmark: what it calls a miss, that both backends do the same work, and its pages."""

import copy
import json

import numpy as np
import pytest

from experiments.models import cnn
from parity_tests.test_api import MODULES, OPTIMIZERS, WITHOUT_CASES
from reports import benchmark, speed
from reports.parts import PARTS
from reports.runs import ROOT
from reports.workloads import GROWTH, World, floors, workloads

COMMITTED = json.loads((ROOT / "reports" / "benchmark.json").read_text())


def sample(ratio: float) -> dict[str, list[float]]:
    return {"numpy": [ratio * t for t in (1.0, 2.0, 3.0)], "torch": [1.0, 2.0, 3.0]}


@pytest.fixture
def numbers() -> dict:
    """Every ratio 0.5, on one and two threads."""
    found = copy.deepcopy(COMMITTED)
    for cases in found["threads"].values():
        cases.update({name: sample(0.5) for name in cases})
    found["memory"] = {b: [{"imported": 1.0, "peak": p}] for b, p in (("numpy", 2), ("torch", 9))}
    found["import"] = {"numpy": [0.1], "torch": [1.0]}
    return found


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    found = speed.ratio({"numpy": [1.0, 9.0, 4.0], "torch": [2.0, 3.0, 1.0]})
    assert found == (3.0, 0.5, 4.0)


def test_misses_are_named(numbers) -> None:
    assert speed.misses(numbers) == []
    numbers["threads"]["2"]["CNN training step"] = sample(1.26)
    numbers["threads"]["1"]["CNN, one image"] = sample(0.8)  # missed, whatever the reason
    numbers["threads"]["1"]["MaxPool2d"] = sample(1.6)
    numbers["threads"]["1"]["Flatten"] = sample(3.1)  # has its reason
    axis, sizes = next(iter(numbers["growth"].items()))
    numbers["threads"]["1"][f"{axis}: {sizes[-1]}"] = sample(0.7)
    numbers["import"]["numpy"] = [0.2]
    numbers["memory"]["numpy"][0]["peak"] = 10
    why = speed.WHY_MISSED["CNN, one image"]
    assert speed.misses(numbers) == [
        "CNN training step, 2 threads: 1.26, must be at most 1.25",
        f"CNN, one image, 1 thread: 0.80, must be at most 0.75 ({why})",
        "peak memory of CNN training, MiB: 1.11, must be at most 1.00",
        "import, ms: 0.20, must be at most 0.15",
        "MaxPool2d, 1 thread: 1.60, without a reason",
        f"{axis}, 1 thread: the ratio drifts 0.50 → 0.70",
    ]


def test_a_reason_stands_beside_slow_parts_alone(numbers) -> None:
    numbers["threads"]["1"]["Sigmoid"] = sample(1.6)
    numbers["threads"]["2"]["Tanh"] = sample(3.1)
    numbers["threads"]["1"]["Softmax"] = sample(1.4)
    numbers["threads"]["2"]["LogSoftmax"] = sample(2.9)
    numbers["threads"]["1"]["MaxPool2d"] = sample(1.6)  # for which no reason is given
    table = speed._layers_table(numbers, numbers["layers"])
    assert table.header[-1] == "if above 1.5 (1 thread) and 3 (2 threads), why"
    assert {row[0]: row[-1] for row in table.rows if row[-1]} == {
        "Sigmoid": speed.WHY_SLOW["Sigmoid"],
        "Tanh": speed.WHY_SLOW["Tanh"],
        "MaxPool2d": "no reason is known",
    }
    assert speed.misses(numbers) == ["MaxPool2d, 1 thread: 1.60, without a reason"]


def test_each_slow_part_of_the_committed_benchmark_has_its_reason() -> None:
    assert [line for line in speed.misses(COMMITTED) if "without a reason" in line] == []


def test_every_layer_and_optimizer_is_measured() -> None:
    measured = {name.split(",")[0] for name in workloads()} | {
        constructor.split("(")[0] for constructor, *_ in PARTS.values()
    }
    assert set(MODULES) - WITHOUT_CASES - measured == set()
    assert set(OPTIMIZERS) - {"Optimizer"} - measured == set()
    assert set(speed.WHY_SLOW) <= measured | set(workloads())


def test_both_backends_do_the_same_work() -> None:
    """A training step moves the same weights equally: the timing compares like with like."""
    after = []
    for name in ("numpy", "torch"):
        world = World(name)
        model = cnn(world.nn)
        call = world.training(model, np.random.default_rng(0).random((4, 1, 28, 28), "f"))
        for _ in range(3):
            call()
        after.append({k: v.copy() for k, v in world.backend.arrays(model).items()})
    for key, value in after[0].items():
        np.testing.assert_allclose(value, after[1][key], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_every_workload_runs(backend) -> None:
    heavy = {f"{axis}: {n}" for axis, sizes in GROWTH.items() for n in sizes[2:]}
    heavy |= {"64->64 convolution"}
    world = World(backend)
    for name, build in workloads().items():
        if name not in heavy:
            build(world)()
    if backend == "numpy":
        floors()["MLP training step"]()()


def test_a_worker_answers_seconds() -> None:
    worker = benchmark.Worker("numpy", 1)
    try:
        assert 0 < worker.seconds("MLP, one image") < 1
        assert 0 < worker.seconds("floor: MLP training step") < 1
    finally:
        worker.close()


def test_pages_show_the_numbers(numbers) -> None:
    content = speed.content(numbers)
    assert "Every “must” below is met." in content.markdown("benchmark.j2")
    pictures = content.pictures()
    assert set(pictures) == {"benchmark.png", "growth.png"}
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    numbers["threads"]["1"]["MaxPool2d"] = sample(1.6)
    numbers["import"]["numpy"] = [0.2]
    missed = "import, ms: 0.20, must be at most 0.15; MaxPool2d, 1 thread: 1.60, without a reason"
    assert f"\n\n**Misses:** {missed}.\n\n" in speed.content(numbers).markdown("benchmark.j2")


def test_the_committed_page_and_tables_are_of_the_committed_numbers() -> None:
    content = speed.content(COMMITTED)
    page = (ROOT / "reports" / "BENCHMARK.md").read_text()
    assert content.markdown("benchmark.j2") == page
    for table in content.tables:
        assert table.csv() == (ROOT / "reports" / f"{table.name}.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rounds", "0"], "--rounds must be at least 1"),
        (["--threads", "x"], "--threads must look like 1,2"),
        (["--threads", "2,1"], "--threads must be one or two increasing counts"),
    ],
)
def test_wrong_flags_are_answered_in_one_line(arguments, message, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(arguments)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_name_that_matches_nothing_is_answered_in_one_line(capsys) -> None:
    assert benchmark.main(["--only", "zzz"]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        "benchmark.py: error: --only: no workload's name holds 'zzz': nothing to time\n"
    )
    assert captured.out == ""


def test_a_timing_waits_until_the_other_process_is_still(monkeypatch) -> None:
    waited = []
    worker = benchmark.Worker("numpy", 1)
    monkeypatch.setattr(benchmark.time, "sleep", waited.append)
    try:
        assert worker.seconds("NLLLoss") > 0
    finally:
        worker.close()
    assert waited == [benchmark._PAUSE]
