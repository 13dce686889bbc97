"""What may import what, and how long a file may be: the rules that keep the house readable."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LIBRARY = ROOT / "numpy_impl"
# the rooms of numpy_impl, and what of numpy_impl each may stand on
STANDS_ON = {
    "io": {"io", "nn", "tensor", "types"},
    "kernels": {"kernels", "types"},
    "textbook": set(),
    "types": {"types"},
    "random": {"random", "kernels", "types"},
    "grad_mode": {"grad_mode"},
    "tensor": {"tensor", "kernels", "random", "grad_mode", "types"},
    "nn": {"nn", "tensor", "kernels", "random", "grad_mode", "types"},
    "optim": {"optim", "tensor", "kernels", "random", "grad_mode", "types"},
    # an averaged model is a module
    "optim/swa_utils": {"optim", "nn", "tensor", "grad_mode", "types"},
}
SOURCES = sorted(LIBRARY.rglob("*.py"))
WRITTEN = sorted(
    path
    for folder in ("numpy_impl", "torch_ref", "experiments", "reports", "parity_tests")
    for path in (ROOT / folder).rglob("*.py")
)


def imported(source: str) -> set[str]:
    """The dotted names of the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def faults(room: str, source: str) -> list[str]:
    """The imports that a file of that room must not have."""
    wrong = []
    for name in sorted(imported(source)):
        package, *parts = name.split(".")
        if package != "numpy_impl":
            if package != "numpy" and package not in sys.stdlib_module_names:
                wrong.append(name)
        elif room in STANDS_ON and (parts[0] if parts else "") not in STANDS_ON[room]:
            wrong.append(name)
    return wrong


def room_of(path: Path) -> str:
    inside = path.relative_to(LIBRARY).with_suffix("")
    return str(inside) if str(inside) in STANDS_ON else inside.parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_arrows_run_one_way(path) -> None:
    assert not faults(room_of(path), path.read_text())


def test_a_wrong_arrow_is_seen() -> None:
    assert faults("kernels", "from numpy_impl.nn import Linear") == ["numpy_impl.nn.Linear"]
    assert faults("kernels", "def f():\n    import numpy_impl") == ["numpy_impl"]
    assert faults("optim", "import numpy_impl.nn.functional as F") == ["numpy_impl.nn.functional"]
    assert faults("nn", "import torch, scipy.linalg") == ["scipy.linalg", "torch"]
    assert faults("nn", "import math\nfrom numpy_impl.kernels import masks") == []


def test_kernels_hold_no_layer() -> None:
    for path in (LIBRARY / "kernels").glob("*.py"):
        bases = {
            ast.unparse(base)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef)
            for base in node.bases
        }
        assert not {base for base in bases if "Module" in base}, path


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_can_be_read_in_one_go(path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 500, f"{lines} lines: split it by subject"
