"""``train.py --doctor``: each complaint where it belongs, and none about a sound run."""

import dataclasses

import numpy as np
import pytest

from experiments.backend import NumpyBackend, TorchBackend
from experiments.config import Config
from experiments.data import load
from experiments.doctor import examine
from experiments.trainer import Trainer
from parity_tests.experiments.calls import call

QUICK = {"hidden": (30,), "batch_size": 32, "lr": 0.05}


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def complaints(data, backend=NumpyBackend, change=lambda trainer: None, **fields) -> list[str]:
    trainer = Trainer(Config(**{**QUICK, **fields}), backend(), data)
    change(trainer)
    return [advice.measured for advice in examine(trainer) if not advice.well]


@pytest.mark.parametrize("backend", [NumpyBackend, TorchBackend])
@pytest.mark.parametrize("model", ["mlp", "cnn", "lstm"])
def test_a_sound_run(model, backend, digits) -> None:
    adam = {"optimizer": "adam", "lr": 0.01}
    assert complaints(digits, backend, model=model, **adam) == []


def shuffled(digits):
    order = np.random.default_rng(0).permutation(len(digits.train_labels))
    return dataclasses.replace(digits, train_labels=digits.train_labels[order])


def rare(digits):
    labels = np.where(digits.train_labels == 3, 4, digits.train_labels)
    return dataclasses.replace(digits, train_labels=labels)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (shuffled, "nearest class mean tells"),
        (rare, "the rarest class has 0.0%"),
        (lambda d: dataclasses.replace(d, scale=0.01), "inputs have mean"),
        (lambda d: dataclasses.replace(d, scale=1e4), "inputs have mean"),
    ],
)
def test_data(change, complaint, digits) -> None:
    assert any(line.startswith(complaint) for line in complaints(change(digits)))


def dead(trainer) -> None:
    trainer.model[0].bias.data[:20] = -1000


def stuck(trainer) -> None:
    trainer.model[0].bias.requires_grad_(False)


def cut_off(trainer) -> None:
    trainer.model[2].weight.data[...] = 0


@pytest.mark.parametrize(
    ("change", "fields", "complaint"),
    [
        (lambda trainer: None, {"init_scale": 40.0}, "initial loss"),
        (lambda trainer: None, {"lr": 1e-7}, "one batch, 200 times"),
        (dead, {}, "ReLU 1: "),
        (stuck, {}, "3 of 4 parameters move"),
        (cut_off, {}, "gradients as shares"),
    ],
)
def test_network(change, fields, complaint, digits) -> None:
    found = complaints(digits, change=change, **fields)
    assert any(line.startswith(complaint) for line in found)


def test_the_command(capsys) -> None:
    flags = ["--doctor", "--dataset", "digits", "--hidden", "20", "--batch-size", "16"]
    assert call(*flags, "--lr", "0.05") == 0
    printed = capsys.readouterr().out
    assert printed.count("ok    ") == 8
    assert "LOOK" not in printed
    assert call(*flags, "--lr", "1e-7") == 1
    assert "LOOK  one batch, 200 times: " in capsys.readouterr().out


def test_text_is_not_judged_as_pixels() -> None:
    data = load("text")
    data = dataclasses.replace(data, train_images=data.train_images[:96])
    fields = {"model": "gpt", "hidden": (32,), "layers": 1, "optimizer": "adam", "lr": 0.01}
    trainer = Trainer(Config(**{**QUICK, **fields, "batch_size": 4}), NumpyBackend(), data)
    found = [advice.measured for advice in examine(trainer)]
    assert not any("pixels" in line or "class" in line for line in found)
    assert found[0].startswith("initial loss")
