"""Components that no driver recognises: an adapter of few lines, whose skeleton is printed."""

import importlib
import re
from pathlib import Path

import pytest

from torch_ref import check

ADAPTED = Path(__file__).parents[2] / "examples" / "check" / "adapted"
# component, like, verdict, key
ODD = [
    ("Funnel", "Linear", "right", ""),
    ("FunnelSign", "Linear", "wrong", "sign"),
    ("Augmented", "Linear", "right", ""),
    ("Standardiser", "BatchNorm1d", "right", ""),
    ("SquaredGap", "MSELoss", "right", ""),
    ("heavy_ball", "Momentum", "right", ""),
]
SKELETONS = [row for row in ODD if row[0] != "FunnelSign"]  # which borrows Funnel's


@pytest.fixture
def odd(monkeypatch):
    monkeypatch.syspath_prepend(str(ADAPTED))
    return importlib.import_module("odd"), importlib.import_module("adapters")


@pytest.mark.parametrize(("name", "like", "verdict", "key"), ODD, ids=lambda v: str(v))
def test_an_adapter_drives_what_is_not_recognised(name, like, verdict, key, odd):
    components, adapters = odd
    component = getattr(components, name)
    assert check(component, like).verdict == "unusable"
    found = check(component, adapter=getattr(adapters, f"{name}Adapter"))
    assert found.verdict == verdict, found
    assert found[0].keys == ([key] if key else [])


def body(text: str, name: str) -> list[str]:
    """The lines of a class, without comments and empty ones."""
    start = text.split(f"class {name}Adapter", 1)[1].split("\n", 1)[1].split("\n\n\n")[0]
    lines = [re.sub(r" *#.*", "", line) for line in start.splitlines()]
    return [line for line in lines if line.strip()]


@pytest.mark.parametrize(("name", "like", "verdict", "key"), SKELETONS, ids=lambda v: str(v))
def test_the_skeleton_filled_in_is_the_adapter(name, like, verdict, key, odd):
    (found,) = check(getattr(odd[0], name), like)
    skeleton = body(found.skeleton, name)
    adapter = body((ADAPTED / "adapters.py").read_text(), name)
    pattern = re.escape("\n".join(skeleton)).replace(re.escape("..."), r"(?:.|\n)+?")
    assert re.fullmatch(pattern, "\n".join(adapter))
    assert 1 <= len([line for line in adapter if line not in skeleton]) <= 10
    compile(found.skeleton, "adapter.py", "exec")


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        ("forward", lambda self, it, x: ..., "forward returns '...': fill it in"),
        ("forward", lambda self, it, x: None, "forward returns no array, but None"),
        ("gradients", lambda self, it: {"weight": ..., "bias": ...}, "has '...' for weight"),
        ("gradients", lambda self, it: None, "gradients returns no dict, but None"),
        ("backward", None, "the adapter has no method backward"),
        ("make", lambda self: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_an_adapter_lacks_is_said(method, value, said, odd):
    components, adapters = odd
    adapter = type("Broken", (adapters.FunnelAdapter,), {method: value})
    (found,) = check(components.Funnel, adapter=adapter)
    assert found.verdict == "unusable"
    assert said in found.findings[0].says


def test_the_batch_norm_is_told_its_mode_and_watched_in_place(odd):
    components, adapters = odd

    class Deaf(adapters.StandardiserAdapter):
        def mode(self, it, training):
            it.phase = "learn"

        def forward(self, it, x):
            x += 0.0
            x *= 2
            return it.forward(x / 2, it.phase)

    (found,) = check(components.Standardiser, adapter=Deaf)
    assert {"batch statistics in evaluation", "changed in place"} <= set(found.keys)


def test_gradients_that_add_up_are_cleared_where_the_adapter_can(odd):
    components, adapters = odd

    class Adding(components.Funnel):
        def pull(self, slope):
            before = self.slopes or (0, 0)
            dx = super().pull(slope)
            self.slopes = (before[0] + self.slopes[0], before[1] + self.slopes[1])
            return dx

    class Adds(adapters.FunnelAdapter):
        def make(self, in_features, out_features):
            return Adding(in_features, out_features)

    class Clears(Adds):
        def clear(self, it):
            it.slopes = None

    assert "gradients never cleared" in check(Adding, adapter=Adds)[0].keys
    assert check(Adding, adapter=Clears).verdict == "right"
