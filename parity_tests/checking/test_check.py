"""``check.py`` as people call it, and the library's two functions."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parity_tests.checking.forked import Copies
from torch_ref import assert_right, check

ROOT = Path(__file__).parents[2]
LAYERS = """
import numpy as np


class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy):
        return dy * {mask}
"""


def call(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "check.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)


@pytest.fixture(scope="module")
def copied() -> Iterator[Callable[..., subprocess.CompletedProcess]]:
    """As :func:`call`, in copies of one process, where there are any."""
    if not hasattr(os, "fork"):
        yield call
        return
    copies = Copies()
    yield copies
    copies.close()


@pytest.fixture
def layers(tmp_path) -> Path:
    file = tmp_path / "layers.py"
    file.write_text(LAYERS.replace("{mask}", "self.mask"))
    return file


def test_a_right_layer_and_its_page(layers, tmp_path) -> None:
    page = tmp_path / "page.html"
    done = call(f"{layers}:ReLU", "--html", str(page))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ReLU beside PyTorch's ReLU: right")
    assert "<table>" in page.read_text()


def test_a_wrong_layer(tmp_path) -> None:
    file = tmp_path / "layers.py"
    file.write_text(LAYERS.replace("{mask}", "1"))
    done = call(str(file), "--json")
    assert done.returncode == 1
    (verdict,) = json.loads(done.stdout)
    assert verdict["verdict"] == "wrong"
    assert "relu mask missing" in [finding["key"] for finding in verdict["findings"]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import nothing_of_this_name", "nothing_of_this_name"),
        ("def f(:", "SyntaxError"),
        ("class ReLU:\n    def forward(self, x):\n        while True: pass\n", "2 seconds"),
        ("import sys\nsys.exit(0)", "bad.py:2: sys.exit(0)"),
        ("n = input('how many? ')", "asks for input"),
        ("import numpy as np\nx = np.float(3)", "bad.py:2: x = np.float(3)"),
        ("while True: pass", "bad.py:1: while True: pass"),
        ("a = []\nwhile True: a.append([0] * 10**6)", "more memory than it may have"),
        ("import ctypes\nctypes.string_at(0)", "Segmentation fault"),
        ("class ReLU:\n    def forward(self, x):\n        raise SystemExit\n", "ends the program"),
        (
            "class ReLU:\n    def forward(self, x):\n        import os; os._exit(0)",
            "ends the whole",
        ),
        ("class ReLU:\n    def forward(self, x):\n        return self.forward(x)", "without end"),
    ],
)
def test_code_that_does_not_run(body, said, copied, tmp_path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(body)
    done = copied(str(file), "--timeout", "2", "--memory", "0.5")
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


NOISY = """
import os, sys, threading, time
import matplotlib.pyplot as plt
print("hello"); os.system("echo from the shell"); print("error", file=sys.stderr)
plt.plot([1, 2]); plt.show()
threading.Thread(target=lambda: time.sleep(600)).start()
"""


def test_noise_and_threads_at_import_do_not_spoil_the_answer(tmp_path) -> None:
    file = tmp_path / "random.py"  # a name of the library's, in the working directory
    file.write_text(NOISY + LAYERS.replace("{mask}", "self.mask"))
    command = [sys.executable, str(ROOT / "check.py"), "random.py", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert [v["verdict"] for v in json.loads(done.stdout)] == ["right"]
    assert not done.stderr


@pytest.mark.parametrize("name", ["my layers.py", "my-layers.py", "pkg/layers.py"])
def test_odd_names_and_relative_imports(name, copied, tmp_path) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    (file.parent / "beside.py").write_text("f = 1")
    relative = "from .beside import f\n" if "/" in name else "from beside import f\n"
    file.write_text(relative + LAYERS.replace("{mask}", "self.mask"))
    assert copied(str(file)).returncode == 0


def test_strict_and_the_adapter(copied) -> None:
    linear = "examples/check/linear.py:LinearBatchMean"
    assert copied(linear).returncode == 0
    assert copied(linear, "--strict").returncode == 1
    odd = ("examples/check/adapted/odd.py:FunnelSign", "--like", "Linear")
    without = copied(*odd)
    assert without.returncode == 2
    assert "class FunnelSignAdapter:" in without.stdout
    done = copied(odd[0], "--adapter", "examples/check/adapted/adapters.py")
    assert done.returncode == 1
    assert "wrong sign" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such.py"], "check.py: there is no file no_such.py"),
        (["check.py", "--like", "Nothing"], "check.py: --like Nothing is not known"),
        (["check.py", "--kwargs", "3"], "check.py: --kwargs takes name=value"),
        (["check.py", "--timeout", "0"], "check.py: --timeout takes a number of seconds above 0"),
        (["check.py", "--timeout", "x"], "check.py: argument --timeout"),
        (["check.py", "--kwargs", "bias=false"], "check.py: --kwargs takes Python's values"),
        (["check.py", "--html", "no/page.html"], "check.py: --html no/page.html can't be written"),
        (["examples"], "check.py: examples is a directory"),
        (["README.md"], "check.py: README.md is no Python file"),
        (
            ["examples/check/images.py:Conv2d", "--kwargs", "paddin=1"],
            "check.py: PyTorch's Conv2d has no argument paddin",
        ),
        (
            ["examples/check/images.py:Conv2d", "--args", "2", "4", "3", "--kwargs", "padding=-1"],
            "check.py: PyTorch's Conv2d can't be made of (2, 4, 3, padding=-1)",
        ),
        (["check.py", "--nothing"], "check.py: unrecognized arguments: --nothing"),
    ],
)
def test_wrong_use_is_one_line(arguments, said, copied) -> None:
    done = copied(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1


class Tanh:
    def forward(self, x):
        import numpy as np

        self.y = np.tanh(x)
        return self.y

    def backward(self, dy):
        return dy * (1 - self.y**2)


class TanhWithoutSquare(Tanh):
    def backward(self, dy):
        return dy * (1 - self.y)


def test_the_library() -> None:
    assert_right(Tanh, like="Tanh")
    assert "derivative incomplete" in check(TanhWithoutSquare, like="Tanh")[0].keys
    with pytest.raises(AssertionError, match="the square is missing"):
        assert_right(TanhWithoutSquare, like="Tanh")
    assert "<table>" in check(Tanh, like="Tanh")._repr_html_()
