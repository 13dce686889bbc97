"""The two backends side by side: same seed, same weights, same steps, nothing copied across."""

import dataclasses
import re

import numpy as np
import pytest
import torch

import numpy_impl
import torch_ref
from experiments.backend import NumpyBackend, TorchBackend
from experiments.config import Config, resolve
from experiments.data import load
from experiments.recipes import RECIPES
from experiments.trainer import Trainer
from parity_tests import lockstep
from torch_ref.convert import to_numpy

STEPS = 200


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture(scope="module")
def text():
    return few(load("text"))


def trainers(config: Config, digits) -> list[Trainer]:
    return [Trainer(config, backend, digits) for backend in (NumpyBackend(), TorchBackend())]


def losses(trainer: Trainer) -> np.ndarray:
    """The losses of the first STEPS steps, epochs as they come."""
    trainer.run()
    return np.array([r["loss"] for r in trainer.state.history if r["kind"] == "train"][:STEPS])


def long_enough(**fields) -> Config:
    # 1,250 training digits in batches of 64: 20 steps an epoch
    return Config(**{"epochs": 10, "batch_size": 64, "evaluations": 1, **fields})


CONFIGS = {
    "mlp": {},
    "mlp with dropout": {"dropout": 0.3, "hidden": (40, 30)},
    "mlp, sgd, l2, schedule": {
        "optimizer": "sgd",
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "scheduler": "cosine",
        "lr": 0.1,
    },
    "mlp, adam": {"optimizer": "adam", "lr": 1e-3},
    "mlp, decays": {"lr_decay": 0.99, "mu_decay": 0.999},
    "cnn": {"model": "cnn"},
    "cnn with dropout": {"model": "cnn", "dropout": 0.5, "lr": 0.02},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_float64_runs_agree_step_by_step(name, digits) -> None:
    """200 steps within 1e-8 relative, and every prediction the same."""
    ours, twin = trainers(long_enough(dtype="float64", **CONFIGS[name]), digits)
    np.random.seed(0)  # the global stream of NumPy plays no part
    ours_losses, twin_losses = losses(ours), losses(twin)
    assert len(ours_losses) == STEPS
    assert ours_losses[-1] < 0.8 * ours_losses[0]  # it does learn
    np.testing.assert_allclose(ours_losses, twin_losses, rtol=1e-8)
    images = digits.test_images
    np.testing.assert_array_equal(ours.predict(images).argmax(1), twin.predict(images).argmax(1))


@pytest.mark.parametrize("name", ["mlp with dropout", "cnn"])
def test_float32_runs_stay_together(name, digits) -> None:
    """100 steps to rounding. Later one ReLU or pooling window may switch for a last bit, and the
    losses jump apart; what was learnt stays the same."""
    ours, twin = trainers(long_enough(**CONFIGS[name]), digits)
    np.testing.assert_allclose(losses(ours)[:100], losses(twin)[:100], rtol=1e-5)
    images = digits.test_images
    same = ours.predict(images).argmax(1) == twin.predict(images).argmax(1)
    assert same.mean() >= 0.99


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_start_from_the_same_weights_and_shuffle(dtype, digits) -> None:
    ours, twin = trainers(long_enough(dtype=dtype, model="cnn"), digits)
    tolerance = 1e-15 if dtype == "float64" else 1e-6
    twins = twin.backend.arrays(twin.model)
    for name, array in ours.backend.arrays(ours.model).items():
        np.testing.assert_allclose(array, twins[name], rtol=tolerance, atol=tolerance, err_msg=name)
    np.testing.assert_array_equal(ours._train_labels, twin._train_labels)
    numpy_impl.manual_seed(11)
    torch.manual_seed(11)
    np.testing.assert_array_equal(ours.backend.randperm(5000), twin.backend.randperm(5000))


@pytest.mark.parametrize(
    ("recipe", "fields"),
    [
        ("lstm-5ep", {"hidden": (24,), "batch_size": 64}),
        ("gpt", {"hidden": (24,), "layers": 2, "head": "tied"}),
        ("gpt", {"hidden": (16,), "layers": 1, "dropout": 0.2}),
    ],
    ids=["lstm", "gpt, tied", "gpt with dropout"],
)
def test_the_programs_agree_step_by_step(recipe, fields, request) -> None:
    """100 steps within 1e-8 relative, of networks small enough for a test.

    At their full size: ``python -m parity_tests.lockstep --recipe gpt --steps 100``.
    """
    data = request.getfixturevalue("text" if recipe == "gpt" else "digits")
    config = resolve(recipe, {"dtype": "float64", "epochs": 5, "evaluations": 1, **fields})
    ours, twin = lockstep.losses(config, data, 100)
    assert len(ours) == len(twin) == 100
    assert ours[-1] < 0.9 * ours[0]
    np.testing.assert_allclose(ours, twin, rtol=1e-8)


def few(data):
    """A text's first 400 stretches, for 20 steps of 16 an epoch."""
    return dataclasses.replace(
        data,
        train_images=data.train_images[:400],
        train_labels=data.train_labels[:400],
        test_images=data.test_images[:50],
        test_labels=data.test_labels[:50],
    )


@pytest.mark.parametrize("factor", [1, 1 + 2e-8])
def test_the_command_says_whether_a_recipe_agrees(factor, digits, monkeypatch, capsys) -> None:
    class Off(TorchBackend):
        def train_step(self, *args):
            loss, logits = super().train_step(*args)
            return loss * factor, logits

    monkeypatch.setattr(lockstep, "load_data", lambda *_: digits)
    monkeypatch.setattr(lockstep, "TorchBackend", Off)
    code = lockstep.main(["--recipe", "momentum-10ep", "--steps", "30"])
    said = capsys.readouterr().out
    assert code == (factor != 1)
    assert f"30 steps in float64: the losses {'DIFFER' if code else 'agree'}" in said
    assert len(re.findall("^step ", said, re.MULTILINE)) == 4
    with pytest.raises(SystemExit):
        lockstep.main(["--recipe", "momentum-10ep", "--steps", "0"])


def test_same_seed_same_dropout_masks() -> None:
    numpy_impl.manual_seed(5)
    torch.manual_seed(5)
    ours, twin = numpy_impl.nn.Dropout(0.2), torch_ref.nn.Dropout(0.2)
    for shape in ((128, 600), (3, 2, 5, 5), (7,)):
        x = np.ones(shape, "f")
        np.testing.assert_array_equal(ours(x), to_numpy(twin(torch.ones(shape))))


def test_a_difference_would_be_noticed(digits) -> None:
    """The comparison above can fail: a tenth of a percent in the learning rate is seen at once."""
    ours, _ = trainers(long_enough(dtype="float64", epochs=1), digits)
    _, twin = trainers(long_enough(dtype="float64", epochs=1, lr=0.01001), digits)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(losses(ours), losses(twin), rtol=1e-8)


def test_every_recipe_resolves_and_both_readings_exist() -> None:
    for name, recipe in RECIPES.items():
        assert resolve(name, {}).recipe == name == recipe.name
    rows = {recipe.row for recipe in RECIPES.values() if recipe.published is not None}
    assert len(rows) == 6
    for row in rows:
        assert row in RECIPES
        assert f"{row}-as-published" in RECIPES
