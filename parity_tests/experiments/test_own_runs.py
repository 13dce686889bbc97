"""More epochs for a run, a configuration as argument, networks and pictures of one's own."""

import csv

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments import checkpoint, pictures
from experiments.data import load
from parity_tests.experiments.calls import QUICK, about, call, refusal, result

BACKENDS = ("numpy", "torch")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_prolonged_run_is_one_that_was_started_longer(backend, tmp_path, capsys) -> None:
    flags = [*QUICK, "--backend", backend, "--dropout", "0.2", "--scheduler", "exponential"]
    flags += ["--gamma", "0.99"]
    long, short = tmp_path / "long", tmp_path / "short"
    assert call(*flags, "--epochs", "4", "--out", str(long)) == 0
    assert call(*flags, "--out", str(short)) == 0
    capsys.readouterr()
    assert call("--resume", str(short)) == 0
    assert "is finished, after 2 epochs; --epochs" in capsys.readouterr().out
    assert call("--resume", str(short), "--epochs", "4") == 0
    assert (long / "metrics.jsonl").read_bytes() == (short / "metrics.jsonl").read_bytes()
    a, b = result(long), result(short)
    del a["seconds"], b["seconds"]
    assert a == b
    assert about(long)["config"] == about(short)["config"]
    assert len(about(short)["commands"]) == 2
    ours, theirs = (checkpoint.load_arrays(f / "last.safetensors")[0] for f in (long, short))
    for key in ours:
        np.testing.assert_array_equal(ours[key], theirs[key])
    said = refusal(capsys, "--resume", str(short), "--epochs", "3")
    assert "has done 4 epochs already" in said


def test_a_cosine_can_t_be_prolonged(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--scheduler", "cosine", "--out", str(out)) == 0
    said = refusal(capsys, "--resume", str(out), "--epochs", "4")
    assert "every learning rate hangs on the number of epochs" in said


def test_a_configuration_is_taken_and_flags_win(tmp_path) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    assert call(*QUICK, "--lr", "0.02", "--out", str(out)) == 0
    file = str(out / "config.json")
    assert call("--config", file, "--epochs", "1", "--out", str(again)) == 0
    a, b = about(out)["config"], about(again)["config"]
    assert {key for key in a if a[key] != b[key]} == {"epochs"}


def test_a_run_folder_says_what_came_out(tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--tensorboard", "--out", str(out)) == 0
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert len(rows) == result(out)["steps"]
    assert rows[-1]["epoch"] == "2"
    assert rows[-1]["dev_loss"]
    assert np.trace(result(out)["confusion"]) == round(297 * result(out)["test_accuracy"])
    assert {"python", "numpy", "torch"} <= about(out)["versions"].keys()
    assert "--tensorboard" in about(out)["commands"][0]
    assert call("--evaluate", str(out)) == 0
    assert "accuracy by class: 0 " in capsys.readouterr().out


def test_tensorboard_shows_the_metrics(tmp_path) -> None:
    """Read back by TensorBoard's own reader, after a run that was prolonged."""
    out = tmp_path / "run"
    assert call(*QUICK, "--tensorboard", "--out", str(out)) == 0
    assert call("--resume", str(out), "--epochs", "3", "--tensorboard") == 0
    shown = EventAccumulator(str(out)).Reload()
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    for tag, column in {
        "loss/train": "train_loss",
        "accuracy/train": "train_accuracy",
        "loss/dev": "dev_loss",
        "accuracy/dev": "dev_accuracy",
        "lr": "lr",
    }.items():
        written = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        found = [(event.step, event.value) for event in shown.Scalars(tag)]
        assert [step for step, _ in found] == [step for step, _ in written]
        np.testing.assert_allclose([v for _, v in found], [v for _, v in written], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_picture_is_answered(backend, tmp_path, capsys) -> None:
    out = tmp_path / "run"
    assert call(*QUICK, "--model", "cnn", "--batch-norm", "--lr", "0.05", "--out", str(out)) == 0
    digit = load("digits").train_images[0].astype(np.uint8) * 15
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    Image.fromarray(digit).save(files[0])
    Image.fromarray(255 - digit).save(files[1])
    capsys.readouterr()
    flags = ["--weights", str(out), "--backend", backend]
    assert call("--predict", *map(str, files), *flags) == 0
    answers = [line for line in capsys.readouterr().out.splitlines() if "%)" in line]
    assert len(answers) == 2
    assert answers[0] == answers[1]
    (tmp_path / "broken.png").write_bytes(files[0].read_bytes()[:60])
    said = refusal(capsys, "--predict", str(tmp_path / "broken.png"), *flags)
    assert "can't be read as a picture" in said


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))", ""),
        ("return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))", "must give (N, 10)"),
        ("return 1", "must return a Module"),
        ("return oops", "net.py:2: in build: NameError"),
        ("return (", "net.py:2: SyntaxError"),
        ("return nn.Linear(3, 10)", "the network: "),
    ],
)
def test_a_network_of_one_s_own(backend, body, said, tmp_path, capsys) -> None:
    file, out = tmp_path / "net.py", tmp_path / "run"
    file.write_text(f"def build(nn):\n    {body}\n")
    flags = ["--dataset", "digits", "--epochs", "1", "--model", f"{file}:build"]
    flags += ["--backend", backend, "--out", str(out)]
    if said:
        assert said in refusal(capsys, *flags)
        assert not out.exists()
    else:
        assert call(*flags) == 0
        assert call("--evaluate", str(out)) == 0


def test_a_network_that_has_changed_since(tmp_path, capsys) -> None:
    """Its run doesn't go on; its weights are tested, if they fit, but not silently."""
    file, out = tmp_path / "net.py", tmp_path / "run"
    source = (
        "def build(nn):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.ReLU())\n"
    )
    file.write_text(source)
    flags = ["--dataset", "digits", "--epochs", "1", "--model", f"{file}:build"]
    assert call(*flags, "--out", str(out)) == 0
    assert call("--evaluate", str(out)) == 0
    assert capsys.readouterr().err == ""
    file.write_text(source.replace("ReLU", "Tanh"))
    assert "model_checksum" in refusal(capsys, "--resume", str(out), "--epochs", "2")
    said = f"{file}:build has changed since these weights were trained"
    assert call("--evaluate", str(out)) == 0
    assert said in capsys.readouterr().err
    file.write_text(source.replace("nn.Flatten()", "nn.Flatten(), nn.Linear(64, 64)"))
    assert call("--evaluate", str(out)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "do not fit the model" in error
    file.write_text(source)
    assert call("--resume", str(out), "--epochs", "2") == 0


def test_a_drawing_is_placed_as_mnist_s_makers_did(tmp_path) -> None:
    """In 20 of 28 pixels, its centre of mass at the 14th of each axis."""
    drawing = np.full((300, 200), 255, np.uint8)
    drawing[40:240, 30:60] = drawing[210:240, 30:130] = 0
    Image.fromarray(drawing).save(tmp_path / "l.png")
    pixels = pictures.read(tmp_path / "l.png", (28, 28), "mnist").astype(float)
    assert np.ptp(np.flatnonzero(pixels.any(1))) == 19
    for axis in (0, 1):
        assert abs(pixels.sum(1 - axis) @ np.arange(28) / pixels.sum() - 14) <= 0.5
