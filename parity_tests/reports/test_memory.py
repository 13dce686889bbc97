"""The report's section on memory: measured once, reused, and a growth that is too large is told."""

import json

import pytest

from experiments.data import load
from reports import memory
from reports.document import Content
from reports.runs import Store

FLAT = [(500 * i, 120.0) for i in range(1, memory.POINTS + 1)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("runs"), load("digits").checksum, ["--dataset", "digits"])


def keep(store: Store, last: float) -> None:
    """Results of both backends, whose size at the end is ``last``."""
    for run in memory.PLAN:
        store.path(run).mkdir(exist_ok=True)
        sizes = json.dumps([*FLAT[:-1], (FLAT[-1][0], last)])
        (store.path(run) / "result.json").write_text(sizes)
        (store.folder / f"{run.name}.json").write_text(json.dumps(store.fingerprint(run)))


def page(store: Store, plan) -> str:
    part = memory.content(store, plan)
    return Content(part.tables, part.figures, {"memory": memory}).markdown("memory.j2")


def test_the_section_has_the_numbers_and_the_picture(kept) -> None:
    keep(kept, 122.5)
    text = page(kept, memory.PLAN)
    assert "20,000 steps" in text
    assert "| NumPy | 120.0 | 122.5 | 122.5 | +2.5 |" in text
    assert "| PyTorch | 120.0 | 122.5 | 122.5 | +2.5 |" in text
    assert "figures/memory.png" in text
    assert not memory.violations(kept, memory.PLAN)


def test_growth_is_outside_the_tolerance(kept) -> None:
    keep(kept, 120 + memory.ALLOWED + 0.1)
    found = memory.violations(kept, memory.PLAN)
    assert found == [f"memory: {b} grew by 3.1 MB in 20,000 steps" for b in ("NumPy", "PyTorch")]


def test_what_a_part_leaves_out_is_no_section(kept) -> None:
    assert memory.content(kept, ()) == Content()
    assert memory.violations(kept, ()) == []


def test_it_is_measured_once(kept, monkeypatch) -> None:
    monkeypatch.setattr(memory, "STEPS", 2 * memory.POINTS)
    plan = memory.PLAN[:1]
    memory.make_missing(kept, plan)
    found = memory.sizes(kept, plan)["numpy"]
    assert [step for step, _ in found] == list(range(2, 2 * memory.POINTS + 1, 2))
    assert all(20 < size < 2000 for _, size in found)
    monkeypatch.setattr(memory, "_start", None)  # no second time
    memory.make_missing(kept, plan)
    monkeypatch.setattr(memory, "STEPS", 4 * memory.POINTS)  # that is another measurement
    assert not kept.has(plan[0])


def test_a_process_that_fails_says_why(kept) -> None:
    with pytest.raises(RuntimeError, match=r"memory of nobody failed: (?s:.*)invalid choice"):
        memory.make_missing(kept, [memory.Growth("nobody")])
