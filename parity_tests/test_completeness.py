"""Every public name of torch's is here, or on a list that says why not: ``docs/coverage.md``."""

import inspect
import re

import pytest
import torch

from parity_tests.coverage import (
    COMING,
    EXCEPT,
    LEFT_OUT,
    NAMESPACES,
    PAGE,
    TORCH_NAMES,
    agrees,
    kind,
    listed,
    parameters,
    present,
    public,
    updated,
)

TEXT = PAGE.read_text()
LISTED = listed(TEXT)
HERE = {namespace: present(namespace) for namespace in NAMESPACES}


def test_the_page_has_a_section_for_each_namespace() -> None:
    assert list(LISTED) == NAMESPACES
    version = ".".join(torch.__version__.split(".")[:2])
    assert f"Every public name of torch {version} " in re.sub(r"\s+", " ", TEXT)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_every_name_is_here_or_listed(namespace) -> None:
    rows, here = LISTED[namespace], HERE[namespace]
    missing = {name for name, state in rows.items() if not state.startswith(EXCEPT)}
    torch_s = TORCH_NAMES[namespace].keys()
    assert torch_s - here.keys() - rows.keys() == set(), "neither here nor listed"
    assert missing & here.keys() == set(), "here, and listed: python -m parity_tests.coverage"
    assert rows.keys() - missing - here.keys() == set(), "said to be here"
    assert rows.keys() - torch_s == set(), "listed, and torch has no such name"
    assert list(rows) == sorted(rows)
    for name, state in rows.items():
        wanted = f"{COMING}|({LEFT_OUT}|{EXCEPT}).* .*"
        assert re.fullmatch(wanted, state), f"{name}: to come, or left out: why"


def test_the_page_s_counts() -> None:
    assert updated(TEXT) == TEXT, "python -m parity_tests.coverage"


@pytest.mark.parametrize(
    ("namespace", "name"), [(space, name) for space, names in HERE.items() for name in names]
)
def test_what_is_here_is_what_torch_has(namespace, name) -> None:
    ours, theirs = HERE[namespace][name], TORCH_NAMES[namespace][name]
    assert kind(ours) == kind(theirs)
    if name in LISTED[namespace]:
        assert not agrees(ours, theirs), "listed for a difference that is no more"
    elif not agrees(ours, theirs):
        assert parameters(ours) == parameters(theirs)


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_what_public_means(namespace) -> None:
    """No name of Python's, of type hints, or of other parts of torch's is among them."""
    for name, value in TORCH_NAMES[namespace].items():
        home = value.__name__ if inspect.ismodule(value) else value.__module__
        assert not name.startswith("_")
        assert home.startswith("torch.") or (home == "torch" and inspect.isbuiltin(value))


def test_modules_without_a_list_of_their_own() -> None:
    names = public(torch.nn) | public(torch.nn.functional)
    for name in ("Linear", "Container", "utils", "conv2d", "gelu", "relu", "max_pool2d"):
        assert name in names
    for name in ("Tensor", "math", "Optional", "has_torch_function", "boolean_dispatch"):
        assert name in vars(torch.nn.functional)
        assert name not in names
