"""``check.py`` as people call it, and the library's two functions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

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
    ],
)
def test_code_that_does_not_run(body, said, tmp_path) -> None:
    file = tmp_path / "bad.py"
    file.write_text(body)
    done = call(str(file), "--timeout", "2")
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no_such.py"], "check.py: there is no file no_such.py"),
        (["check.py", "--like", "Nothing"], "check.py: --like Nothing is not known"),
        (["check.py", "--kwargs", "3"], "check.py: --kwargs takes name=value"),
        (["check.py", "--timeout", "0"], "check.py: --timeout takes a number of seconds above 0"),
        (["check.py", "--nothing"], "check.py: unrecognized arguments: --nothing"),
    ],
)
def test_wrong_use_is_one_line(arguments, said) -> None:
    done = call(*arguments)
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
