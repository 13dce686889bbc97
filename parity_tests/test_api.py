"""Every public name: a docstring, a case; and what may be imported."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import numpy_impl
import torch_ref
from numpy_impl import nn, optim
from numpy_impl.optim import lr_scheduler
from parity_tests.coverage import parameters
from parity_tests.tables import tables

ROOT = Path(numpy_impl.__file__).parent.parent

MODULES = [name for name in nn.__all__ if inspect.isclass(getattr(nn, name))]
OPTIMIZERS = [name for name in optim.__all__ if inspect.isclass(getattr(optim, name))]
SCHEDULERS = [name for name in lr_scheduler.__all__ if inspect.isclass(getattr(lr_scheduler, name))]
INITIALISERS = list(nn.init.__all__)

# bases and containers have test modules of their own instead of case tables
WITHOUT_CASES = {
    *("Module", "Parameter", "Buffer", "Sequential", "ModuleList", "ModuleDict"),
    *("ParameterList", "ParameterDict", "RNNBase", "RNNCellBase"),
    "LinearCrossEntropyOptions",  # an argument of a loss's
    # and so have lazy ones
    *(name for name in MODULES if name.startswith(("Lazy", "Uninitialized"))),
}


CASED = {case.name for table in tables().values() for case in table}


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - set(torch.optim.__all__)))
def test_optimizers_beyond_torch_have_the_twin_s_signature(name) -> None:
    """All else has torch's: test_completeness."""
    assert parameters(getattr(optim, name)) == parameters(getattr(torch_ref.optim, name))


@pytest.mark.parametrize(
    "name",
    sorted(
        (set(MODULES) - WITHOUT_CASES)
        | (set(OPTIMIZERS) - {"Optimizer"})
        | (set(SCHEDULERS) - {"LRScheduler"})
        | (set(INITIALISERS) - {"calculate_gain"})
    ),
)
def test_every_component_has_cases(name) -> None:
    assert name in CASED


def test_case_names_are_unique() -> None:
    for module, table in tables().items():
        names = [str(case) for case in table]
        assert len(names) == len(set(names)), module


@pytest.mark.parametrize(
    "thing",
    [getattr(nn, name) for name in MODULES]
    + [getattr(optim, name) for name in OPTIMIZERS]
    + [getattr(lr_scheduler, name) for name in SCHEDULERS]
    + [getattr(nn.init, name) for name in INITIALISERS]
    + [getattr(nn.functional, name) for name in nn.functional.__all__]
    + [getattr(numpy_impl, name) for name in numpy_impl.__all__],
    ids=lambda thing: getattr(thing, "__qualname__", getattr(thing, "__name__", "?")),
)
def test_everything_public_has_a_docstring_of_its_own(thing) -> None:
    text = thing.__doc__
    assert text
    assert len(text.split()) > 3
    if inspect.isclass(thing):
        assert all(text != base.__doc__ for base in thing.__mro__[1:]), "an inherited docstring"


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"Module", "Parameter"}))
def test_docstrings_name_their_source(name) -> None:
    assert "pytorch.org" in getattr(nn, name).__doc__


def test_every_backward_has_its_forward() -> None:
    names = set(nn.functional.__all__)
    for name in names:
        if name.endswith("_backward"):
            assert name.removesuffix("_backward") in names


def test_numpy_impl_imports_numpy_and_the_standard_library_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"numpy", "numpy_impl"}
    for file in (ROOT / "numpy_impl").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, file
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{file} imports {name}"


def test_importing_numpy_impl_loads_neither_torch_nor_scipy() -> None:
    code = (
        "import sys, numpy_impl; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'torch', 'scipy', 'sklearn'}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
