"""A run goes on from its checkpoint to the bits of the run that was not interrupted, whatever it is
made of; and through kills and faults (``python -m parity_tests.faults`` has many more of these)."""

import dataclasses
import os
import subprocess
import sys
import typing
from pathlib import Path

import numpy as np
import pytest

from experiments import checkpoint
from experiments.backend import make_backend
from experiments.config import Config
from experiments.data import Dataset, load
from experiments.models import ACTIVATIONS
from experiments.trainer import Callbacks, State, Trainer
from parity_tests.experiments.calls import ROOT


def choices(name: str) -> list[str]:
    """What a flag may be, as its declaration says: a new optimizer is in this table at once."""
    hints = typing.get_type_hints(Config, include_extras=True)
    rules = hints[name].__metadata__
    return [choice for rule in rules for choice in getattr(rule, "choices", ())]


OPTIMIZERS, SCHEDULES = choices("optimizer"), choices("scheduler")
QUICKER = {"step_size": 3, "milestones": (2, 5, 9), "gamma": 0.7}
OF_OPTIMIZER = {
    "sgd": {"momentum": 0.9, "weight_decay": 1e-3},
    "momentgd": {"lr_decay": 0.99, "mu_decay": 0.999},
    "adam": {"weight_decay": 1e-3},
}
TABLE = {
    f"{optimizer}, {schedule}": {
        "optimizer": optimizer,
        "scheduler": schedule,
        **OF_OPTIMIZER[optimizer],
    }
    for optimizer in OPTIMIZERS
    for schedule in SCHEDULES
}
TABLE |= {activation: {"activation": activation} for activation in ACTIVATIONS}
TABLE |= {
    "dropout": {"dropout": 0.4},
    "dropout in a cnn": {"model": "cnn", "dropout": 0.4},
    "batch norm": {"model": "cnn", "batch_norm": True, "optimizer": "adam"},
    "cnn3": {"model": "cnn3", "optimizer": "adam", "dropout": 0.3},
    "lstm": {"model": "lstm", "optimizer": "adam", "dropout": 0.3},
    "early stopping": {"patience": 2, "min_delta": 5.0},
    "rotate": {"rotate": 10.0},
    "shift, scale, shear": {"shift": 1.0, "scale": (0.9, 1.2), "shear": 8.0},
    "elastic": {"elastic": (30.0, 4.0), "dropout": 0.2},
    "float64": {"dtype": "float64", "dropout": 0.2},
}
EPOCHS = 4


@pytest.fixture(scope="module")
def few() -> Dataset:
    """90 digits to learn and choose from, 10 to test: nine steps an epoch."""
    digits = load("digits")
    return dataclasses.replace(
        digits,
        train_images=digits.train_images[:90],
        train_labels=digits.train_labels[:90],
        test_images=digits.test_images[:10],
        test_labels=digits.test_labels[:10],
    )


def stored(state: State, file: Path) -> bytes:
    values = {f.name: getattr(state, f.name) for f in dataclasses.fields(state)}
    checkpoint.save_state(file, values | {"seconds": 0.0})
    return file.read_bytes()


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("values", TABLE.values(), ids=TABLE)
def test_every_part_goes_on_exactly(backend, values, few, tmp_path) -> None:
    config = Config(backend=backend, hidden=(8,), epochs=EPOCHS, batch_size=10, **QUICKER | values)
    kept: list[Path] = []

    def keep(state: State, improved: bool) -> None:
        kept.append(tmp_path / f"{state.epoch}.safetensors")
        stored(state, kept[-1])

    Trainer(config, make_backend(backend), few, Callbacks(on_checkpoint=keep)).run()
    assert len(kept) == (3 if config.patience else EPOCHS)
    for file in kept[:-1]:
        trainer = Trainer(config, make_backend(backend), few)
        trainer.resume(State(**checkpoint.load_state(file)))
        assert stored(trainer.run(), tmp_path / "again") == kept[-1].read_bytes()


def test_the_table_would_see_what_is_lost(few, tmp_path) -> None:
    """Each part of the state decides the end: without it the run would end elsewhere."""
    config = Config(
        hidden=(8,), epochs=3, batch_size=10, dropout=0.3, optimizer="adam", scheduler="step",
        **QUICKER,
    )  # fmt: skip
    kept = tmp_path / "first.safetensors"

    def keep(state: State, improved: bool) -> None:
        if state.epoch == 1:
            stored(state, kept)

    whole = Trainer(config, make_backend("numpy"), few, Callbacks(on_checkpoint=keep)).run()
    other = Trainer(config, make_backend("numpy"), few)
    other.run()
    lost = {
        "weights": other.state.weights,
        "optimizer": other.state.optimizer,
        "scheduler": other.state.scheduler,
        "rng": other.state.rng,
    }
    for name, value in lost.items():
        trainer = Trainer(config, make_backend("numpy"), few)
        trainer.resume(State(**checkpoint.load_state(kept) | {name: value}))
        ended = trainer.run()
        assert any(
            not np.array_equal(array, whole.weights[key]) for key, array in ended.weights.items()
        ), name


@pytest.mark.skipif(not hasattr(os, "fork"), reason="what is killed is a forked child")
def test_kills_and_faults() -> None:
    """In a process of its own, which forks before it has threads; this seed draws both backends."""
    few = ["--kills", "3", "--calls", "6", "--seed", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "parity_tests.faults", *few],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "3 kills: each run ended with the bits" in done.stdout
    assert "6 faults" in done.stdout
