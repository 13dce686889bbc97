"""The lab's defects, each put into a copy of our component: the checks here must see it fail.

The report prints ``DEFECTS`` as its table of what was wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import experiments.trainer as trainer_module
from experiments.backend import NumpyBackend
from experiments.config import Config
from experiments.data import load
from experiments.trainer import Callbacks, Trainer
from numpy_impl import nn, optim
from parity_tests.cases import Case, ModuleParity
from parity_tests.optim import cases as optim_cases
from parity_tests.optim.test_optimizer import test_steps_agree_with_the_twin as steps_agree


@dataclass(frozen=True)
class Defect:
    """One fault of the lab.

    Attributes:
        what: the fault.
        effect: what it did to the result.
        check: which of our checks catches it.
        demonstrate: puts it into a copy of our component and runs that check; it must raise
            AssertionError.
    """

    what: str
    effect: str
    check: str
    demonstrate: Callable[[pytest.MonkeyPatch], None]


CONV = Case("Conv2d", "3, 4, 3, padding=1", (2, 3, 8, 8))
POOL = Case("MaxPool2d", "2", (2, 3, 8, 8))
SGD = optim_cases.Case("SGD", "lr=0.1, weight_decay=0.1")
MOMENTGD = optim_cases.Case("MomentGD", "lr=0.1")


class FlippedConv2d(nn.Conv2d):
    """A true convolution: the kernel is flipped before it slides."""

    def forward(self, input):
        upright = self.weight.data
        self.weight.data = upright[..., ::-1, ::-1].copy()
        try:
            return super().forward(input)
        finally:
            self.weight.data = upright


class WrongBackwardConv2d(nn.Conv2d):
    """Backward forgets to flip the kernel for the input, and flips it for the weights."""

    def backward(self, grad_output):
        upright = self.weight.data
        self.weight.data = upright[..., ::-1, ::-1].copy()
        try:
            grad = super().backward(grad_output)
        finally:
            self.weight.data = upright
        assert self.weight.grad is not None
        self.weight.grad = np.flip(self.weight.grad, (-2, -1)).copy()
        return grad


class SubsamplingMaxPool2d(nn.MaxPool2d):
    """Takes every second element instead of the maximum; its backward agrees with that."""

    def forward(self, input):
        output = input[:, :, ::2, ::2].copy()
        self.save_for_backward(output, input.shape)
        return output

    def backward(self, grad_output):
        grad_output, shape = self.saved_for_backward(grad_output)
        grad = np.zeros(shape, grad_output.dtype)
        grad[:, :, ::2, ::2] = grad_output
        return grad


def broken(name: str, faulty: type, case: Case) -> Callable[[pytest.MonkeyPatch], None]:
    def demonstrate(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nn, name, faulty)
        ModuleParity().test_agrees_with_the_twin(case, "float64")

    return demonstrate


def digits_run(**fields) -> Trainer:
    return Trainer(Config(hidden=(16,), epochs=2, **fields), NumpyBackend(), load("digits"))


def dropout_off_after_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = digits_run(dropout=0.5, evaluations=8)
    modes = []
    sound_step, sound_predict = trainer.backend.train_step, trainer.predict

    def step(model, *rest):
        modes.append(model.training)
        return sound_step(model, *rest)

    def predict(raw):
        logits = sound_predict(raw)
        trainer.model.eval()  # the defect: nothing switches back
        return logits

    monkeypatch.setattr(trainer.backend, "train_step", step)
    monkeypatch.setattr(trainer, "predict", predict)
    trainer.run()
    assert all(modes), "a training step ran in evaluation mode"


def early_stop_asked_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = digits_run(patience=1, min_delta=5.0)
    trainer.config = Config(hidden=(16,), epochs=6, patience=1, min_delta=5.0)
    sound = Trainer._close_epoch

    def late(self, *rest):
        sound(self, *rest)
        self.state.stopped_early &= self.state.epoch == self.config.epochs

    monkeypatch.setattr(Trainer, "_close_epoch", late)
    trainer.run()
    assert trainer.state.epoch == 2, "the run went on after patience had run out"


class DecayedTwice(optim.SGD):
    """Decays the weights itself besides adding their decay to the gradient."""

    def _update(self, param, group, state):
        param.data *= 1 - group["lr"] * group["weight_decay"]
        super()._update(param, group, state)


class HiddenDecay(optim.MomentGD):
    """Lets the learning rate fall by 1% a step though nobody asked for it."""

    def __init__(self, params, lr=0.01, mu=0.9, lr_decay=1.0, mu_decay=1.0):
        super().__init__(params, lr, mu, lr_decay * 0.99, mu_decay)


def broken_optimizer(faulty: type, case: optim_cases.Case) -> Callable[[pytest.MonkeyPatch], None]:
    def demonstrate(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(optim, case.name, faulty)
        steps_agree(case, "float64")

    return demonstrate


def evaluating_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = digits_run(evaluations=10**6)
    trainer.run()
    records = [record["kind"] for record in trainer.state.history]
    assert records.count("dev") <= 4 * 2, "the dev set was evaluated more than 4 times an epoch"


def rates_are_those_of_the_configuration(trainer: Trainer) -> None:
    """With no scheduler asked for, every step's metrics show the configured rate."""
    assert trainer.config.scheduler == "none"
    trainer.run()
    rates = {r["lr"] for r in trainer.state.history if r["kind"] == "train"}
    assert rates == {trainer.config.lr}, f"the learning rate was {sorted(rates)}"


def schedule_nobody_mentions(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(config, backend, optimizer, steps):
        return optim.lr_scheduler.StepLR(optimizer, 5, 0.5)

    monkeypatch.setattr(trainer_module, "build_scheduler", hidden)
    rates_are_those_of_the_configuration(digits_run(optimizer="sgd", momentum=0.0))


def nothing_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    trainer = digits_run(optimizer="sgd", momentum=0.0)
    trainer.callbacks = Callbacks(on_warning=warnings.append)
    monkeypatch.setattr(trainer.optimizer, "step", lambda: None)
    trainer.run()
    assert not warnings, warnings[0]


DEFECTS = [
    Defect(
        "conv2D's forward flips the kernel: a true convolution, not the cross-correlation that "
        "Conv2d means everywhere",
        "none on accuracy by itself (a flipped kernel can be learnt), but no weights can be "
        "exchanged with any other program",
        "parity of Conv2d's output",
        broken("Conv2d", FlippedConv2d, CONV),
    ),
    Defect(
        "conv2D's backward is wrong even for its own forward",
        "off by 2.4 in the input gradient and 9.3 in the weight gradient on a 3→4 channel, 8x8 "
        "case, with values of order 1 to 10: the CNN could not learn properly",
        "parity of Conv2d's gradients, and the directional derivative",
        broken("Conv2d", WrongBackwardConv2d, CONV),
    ),
    Defect(
        "“max pooling” takes every second element: subsampling",
        "three quarters of the activations are thrown away unseen",
        "parity of MaxPool2d's output (its backward agrees with itself, so a gradient check alone "
        "does not see it)",
        broken("MaxPool2d", SubsamplingMaxPool2d, POOL),
    ),
    Defect(
        "dropout acts on the first step only: evaluation switches to eval mode and nothing "
        "switches back",
        "the regularised rows were trained without dropout",
        "every training step runs in training mode",
        dropout_off_after_evaluation,
    ),
    Defect(
        "early stopping is consulted once, after the last epoch",
        "it never stopped anything",
        "a run whose dev loss does not fall ends after `patience` epochs",
        early_stop_asked_at_the_end,
    ),
    Defect(
        "L2 is applied twice: in the layer and in the optimizer",
        "a decay of 1.1e-3 where the text says 1e-4",
        "parity of SGD's steps",
        broken_optimizer(DecayedTwice, SGD),
    ),
    Defect(
        "the dev set (10,000 images) is evaluated after every step",
        "most of the “45 s per batch” for which the CNN was given up",
        "the number of dev evaluations in a run",
        evaluating_every_step,
    ),
    Defect(
        "MomentGD at 5 epochs ran with a hidden decay of the learning rate, 0.99 per step",
        "0.8896 instead of about 0.96: the rate had fallen to 2% after 400 steps",
        "parity of MomentGD's steps; a configuration is printed and saved whole",
        broken_optimizer(HiddenDecay, MOMENTGD),
    ),
    Defect(
        "the basic model at 5 epochs ran with a schedule that the text does not mention",
        "the rate was halved every 500 steps",
        "the learning rate of every step, in the run's metrics, is the configured one",
        schedule_nobody_mentions,
    ),
    Defect(
        "the first run updated nothing, silently",
        "a flat curve, and a debugging session",
        "a step that moves no parameter is reported at once, and so is an epoch",
        nothing_updated,
    ),
]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what[:40])
def test_the_defect_is_caught(defect, monkeypatch) -> None:
    with pytest.raises(AssertionError):
        defect.demonstrate(monkeypatch)


@pytest.mark.parametrize("case", [CONV, POOL], ids=str)
def test_the_sound_component_passes_the_same_check(case) -> None:
    ModuleParity().test_agrees_with_the_twin(case, "float64")


@pytest.mark.parametrize("case", [SGD, MOMENTGD], ids=str)
def test_the_sound_optimizer_passes_the_same_check(case) -> None:
    steps_agree(case, "float64")


def test_a_gradient_check_alone_does_not_see_subsampling(monkeypatch) -> None:
    """Why two oracles: the subsampling's backward is right for its own forward."""
    monkeypatch.setattr(nn, "MaxPool2d", SubsamplingMaxPool2d)
    ModuleParity().test_directional_derivative(POOL)


def test_sound_runs_pass_the_trainer_checks() -> None:
    modes: list[bool] = []
    warnings: list[str] = []
    trainer = digits_run(dropout=0.5)
    trainer.callbacks = Callbacks(on_warning=warnings.append)
    sound = trainer.backend.train_step

    def step(model, *rest):
        modes.append(model.training)
        return sound(model, *rest)

    trainer.backend.train_step = step
    trainer.run()
    assert all(modes)
    assert not warnings
    records = [record["kind"] for record in trainer.state.history]
    assert records.count("dev") == 4 * 2
    rates_are_those_of_the_configuration(digits_run())
