"""The text data set, and what a model of it writes."""

import numpy as np
import pytest

from experiments import text
from experiments.backend import NumpyBackend, TorchBackend
from experiments.config import resolve
from experiments.data import load
from experiments.errors import UserError
from experiments.trainer import Trainer
from parity_tests.experiments.calls import about, call, refusal, result

SMALL = {"hidden": (16,), "layers": 1, "heads": 2}
FLAGS = ["--hidden", "16", "--layers", "1", "--heads", "2", "--epochs", "1", "--batch-size", "256"]


@pytest.fixture(scope="module")
def data():
    return load("text")


def test_symbols_go_to_numbers_and_back() -> None:
    written = "Beautiful is better\n than ugly ~ "
    assert text.decode(text.encode(written)) == written
    assert text.decode(text.encode("na\u00efve\t!")) == "nave!"  # what has no number is left out


def test_each_symbol_s_label_is_the_next() -> None:
    numbers = text.encode("".join(chr(32 + i % 90) for i in range(2 * text.CONTEXT + 5)))
    seen, following = text.stretches(numbers)
    assert seen.shape == following.shape == (2, text.CONTEXT)
    np.testing.assert_array_equal(seen.ravel()[1:], following.ravel()[:-1])
    assert following[-1, -1] == numbers[2 * text.CONTEXT]


def test_the_text_is_that_of_this_python(data) -> None:
    assert data.symbols == text.SYMBOLS
    assert data.classes == len(text.SYMBOLS) == 96
    assert data.train_images.dtype == np.uint8
    assert data.train_labels.shape == data.train_images.shape
    assert data.train_images.shape[1] == text.CONTEXT
    assert 0 < len(data.test_images) < len(data.train_images) / 8
    assert "dictionary" in text.decode(data.train_images.ravel())
    assert load("text").checksum == data.checksum


def test_a_python_without_its_library_s_text(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(text.sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "broken.py").write_text("def (:")
    with pytest.raises(UserError, match="comes without its library's docstrings"):
        text.docstrings()


def test_both_backends_write_the_same(data) -> None:
    written = []
    for backend in (NumpyBackend(), TorchBackend()):
        config = resolve("gpt", {**SMALL, "dtype": "float64"})
        written.append(text.write(Trainer(config, backend, data), length=70))
    assert written[0] == written[1]
    assert len(written[0]) == 70


@pytest.mark.parametrize("head", ["tied", "untied"])
def test_a_run_of_the_gpt(head, tmp_path, capsys, monkeypatch, data) -> None:
    few = 40 * text.CONTEXT
    beginning = text.decode(data.train_images.ravel()[: 12 * few])
    monkeypatch.setattr(text, "docstrings", lambda: beginning)
    folder = tmp_path / "run"
    assert call("--recipe", "gpt", *FLAGS, "--head", head, "--out", str(folder)) == 0
    printed = capsys.readouterr().out
    assert "the model writes:\n  | " in printed
    assert "docstrings of Python" in printed
    assert f"head={head}" in printed
    assert "init_scale" not in printed  # it has no effect here
    assert about(folder)["config"]["dataset"] == "text"
    loss = result(folder)["test_loss"]
    assert loss < np.log(96)  # better than guessing
    assert call("--evaluate", str(folder / "last.safetensors")) == 0
    assert f"test loss {loss:.4f}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "gpt", "--dataset", "digits"], "--dataset must be text for the gpt"),
        (["--dataset", "text"], "--dataset must be text for the gpt, and images for the others"),
        (["--model", "gpt", "--heads", "3"], "--heads must divide --hidden, got 3"),
        (["--model", "gpt", "--data", "."], "--data . has no effect with the text"),
        (["--layers", "2"], "--layers has no effect: it needs --model gpt, this run has mlp"),
        (["--model", "lstm", "--init-scale", "2"], "--init-scale has no effect: it needs"),
        (["--model", "gpt", "--hidden", "1600000"], "GB of memory"),
    ],
)
def test_wrong_use(flags, message, capsys) -> None:
    assert message in refusal(capsys, *flags)
