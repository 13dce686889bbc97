"""The scaling report: its model of the network, what it concludes, and its page."""

import copy
import json

import numpy as np
import pytest

from experiments.distributed import Group
from reports import scaling
from reports.runs import ROOT

COMMITTED = json.loads((ROOT / "reports" / "scaling.json").read_text())


def node(seconds_a_row: float, size: float = 4e6) -> dict:
    """One whose steps take a time for each row and none else."""
    rows = (scaling.BATCH, *(scaling.BATCH // nodes for nodes in scaling.NODES))
    steps = {str(n): n * seconds_a_row for n in rows}
    return {"bytes": size, "copying": 0.0, "sum": 0.0, "steps": steps}


def test_a_sum_over_nodes() -> None:
    assert scaling.all_reduce(1, 1e6, 1e-3, 1e6) == 0
    assert scaling.all_reduce(2, 1e6, 0, 1e6) == pytest.approx(
        1
    )  # each sends and gets a half twice
    assert scaling.all_reduce(4, 1e6, 0, 1e6) == pytest.approx(1.5)
    assert scaling.all_reduce(4, 0, 1e-3, 1e6) == pytest.approx(4e-3)
    assert scaling.all_reduce(64, 0, 1e-3, 1e6) == pytest.approx(12e-3)


@pytest.mark.parametrize("nodes", scaling.NODES)
def test_a_network_that_costs_nothing_loses_nothing(nodes) -> None:
    found = scaling.computed(node(1e-4), nodes, 0, np.inf)
    assert found["strong"] == pytest.approx((1e-4 * scaling.BATCH / nodes, 1))
    assert found["weak"] == pytest.approx((1e-4 * scaling.BATCH, 1))


def test_a_step_of_nodes_waits_for_its_sums() -> None:
    it = {**node(1e-3), "copying": 1e-3}
    found = scaling.computed(it, 4, 1e-3, 1e9)
    sums = 1e-3 + (4e-3 + 6e-3) + (4e-3 + 24e-9)
    assert found["strong"] == pytest.approx((0.032 + sums, 0.128 / (4 * (0.032 + sums))))
    assert found["weak"] == pytest.approx((0.128 + sums, 0.128 / (0.128 + sums)))


def numbers(cnn: float, mlp: float, load: float = 0.0) -> dict:
    """Two cores; seconds a row."""
    alone = {"CNN": node(cnn), "MLP": node(mlp)}
    shared = copy.deepcopy(alone)
    for it in shared.values():
        it["steps"] = {"128": it["steps"]["128"] / 2, "256": it["steps"]["128"]}
    runs = {"1 x 1": [alone], "1 x 2": [alone], "2 x 1": [shared]}
    return {"cpu": "some", "cores": 2, "load": load, "rounds": 1, "measured": {"numpy": runs}}


def test_what_the_page_concludes() -> None:
    def page(*of: float) -> str:
        return scaling.content(numbers(*of)).markdown("scaling.j2")

    fast = page(1e-2, 1e-6)
    assert "**The CNN profits from strong scaling.**" in fast
    assert "**The MLP does not profit from strong scaling.**" in fast
    assert "it began: idle." in fast
    assert "takes 640 ms with 2 x 1 (processes x threads), and 1.28e+03 ms with 1 x 2" in fast
    assert "sharing out is no slower here" in fast
    other = page(1e-6, 1e-2, 1.5)
    assert "**The CNN does not profit" in other
    assert "**The MLP profits" in other
    assert "**not idle**" in other
    slower = numbers(1e-2, 1e-2)
    slower["measured"]["numpy"]["2 x 1"][0]["CNN"]["steps"]["128"] = 2
    assert "sharing out is slower here" in scaling.content(slower).markdown("scaling.j2")


def test_set_ups_use_all_cores() -> None:
    assert scaling.set_ups(1) == [(1, 1), (2, 1)]
    assert scaling.set_ups(2) == [(1, 1), (1, 2), (2, 1), (3, 1), (4, 1)]
    assert scaling.set_ups(8) == [(1, 1), (1, 8), (2, 4), (3, 2), (4, 2)]


def test_a_worker_measures_both_models(monkeypatch) -> None:
    monkeypatch.setattr(scaling, "_SECONDS", 0.0)
    found = scaling.work("numpy", Group())
    assert found["MLP"]["bytes"] == 4 * (784 * 600 + 600 + 600 * 10 + 10)
    for it in found.values():
        assert sorted(map(int, it["steps"])) == [2, 16, 32, 128]
        assert all(0 < seconds < 5 for seconds in it["steps"].values())
        assert 0 < it["copying"] < 1


def test_the_committed_page_is_of_the_committed_numbers() -> None:
    page = (ROOT / "reports" / "SCALING.md").read_text()
    assert scaling.content(COMMITTED).markdown("scaling.j2") == page


def test_a_wrong_flag_is_answered_in_one_line(capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        scaling.main(["--rounds", "0"])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert "--rounds must be at least 1, got 0" in said
    assert said.count("\n") == 1
