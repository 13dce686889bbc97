"""Programs that use numpy_impl pass ``mypy --strict``, with the types that they should have."""

import os
import subprocess
import sys

from numpy_impl import Tensor
from numpy_impl.tensor.methods import Methods
from parity_tests.test_readme import PROGRAMS, README

ROOT = README.parent


def test_programs_pass_mypy_strict(tmp_path) -> None:
    """README's, typed.py, and one that names each attribute that a Tensor has at run time."""
    names = "\n".join(f"    x.{name}" for name in dir(Tensor) if not name.startswith("_"))
    each = f"import numpy_impl\n\n\ndef use(x: numpy_impl.Tensor) -> None:\n{names}\n"
    for number, program in enumerate([*PROGRAMS, each]):
        (tmp_path / f"program_{number}.py").write_text(program)
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            # the library's own files have their own settings
            *("--follow-imports=silent", f"--cache-dir={ROOT / '.mypy_cache' / 'strict'}"),
            *(ROOT / "parity_tests" / "typed.py", *sorted(tmp_path.glob("*.py"))),
        ],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_tensor_has_what_type_checkers_see() -> None:
    for base in Methods.__mro__[:-1]:
        for name, value in vars(base).items():
            if callable(value) or not name.startswith("__"):
                assert vars(Tensor)[name] is value, name
