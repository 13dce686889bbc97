"""Random networks in the suite; more of them by hand, see parity_tests/fuzz/networks.py."""

import inspect
import re

import pytest

from numpy_impl import nn, optim
from numpy_impl.nn import init
from parity_tests.fuzz import networks
from parity_tests.fuzz.description import describe

# seeds, and what they found: each was different once
FOUND = {
    6: "a ParameterList keeps no Buffer",
    347: "attention of which only the weights are used",
    677: "the same, with dropout and a row of zeros",
}
# what no random network holds, and why
LEFT_OUT = {
    "RNNBase": "a base",
    "RNNCellBase": "a base",
}
DESCRIBED = 500  # networks until all layers were seen


@pytest.fixture(scope="module")
def programs() -> str:
    return "".join(describe(seed, is_tried=False).program for seed in range(DESCRIBED))


def test_the_networks_hold_every_layer_and_loss(programs):
    classes = {
        name
        for name, value in vars(nn).items()
        if inspect.isclass(value) and issubclass(value, nn.Module)
    }
    assert classes - set(re.findall(r"\bnn\.(\w+)", programs)) == set(LEFT_OUT)


def test_every_optimizer_and_schedule_trains_one(programs):
    optimizers = {name for name in optim.__all__ if name[0].isupper()} - {"Optimizer"}
    assert optimizers <= set(re.findall(r"\boptim\.(\w+)", programs))
    schedules = set(optim.lr_scheduler.__all__) - {"LRScheduler"}  # the base
    assert schedules <= set(re.findall(r"\.lr_scheduler\.(\w+)", programs))


def kinds(seeds) -> list[str]:
    found = [networks.compare_alone(seed) for seed in seeds]
    return [text for kind, text in found if kind == "different"]


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_random_networks_train_as_pytorch_s(first):
    assert not kinds(range(first, first + 25))


@pytest.mark.parametrize("seed", FOUND)
def test_what_was_different_once(seed):
    assert networks.compare_alone(seed) == ("same", "")


def off(layer):
    """The layer with a backward that is a little too large."""

    class Off(layer):
        def forward(self, input):
            return super().forward(input)

        def backward(self, grad_output):
            return super().backward(grad_output) * (1 + 1e-6)

    return Off


@pytest.mark.parametrize("name", ["Tanh", "Softmax", "Flatten"])
def test_a_backward_that_is_off_by_a_millionth_is_found(monkeypatch, name):
    seeds = [seed for seed in range(40) if f"nn.{name}(" in describe(seed).program]
    assert not kinds(seeds)
    monkeypatch.setattr(nn, name, off(getattr(nn, name)))
    assert kinds(seeds)


def test_a_step_that_is_off_by_a_millionth_is_found(monkeypatch):
    seeds = [seed for seed in range(37) if "optim.Adam(" in describe(seed).program]
    rule = optim.Adam._rule

    def slow(self, w, g, group, *others):
        rule(self, w, g, {**group, "lr": group["lr"] * (1 - 1e-6)}, *others)

    monkeypatch.setattr(optim.Adam, "_rule", slow)
    assert kinds(seeds)


def test_other_first_weights_are_found(monkeypatch):
    draw = init.kaiming_uniform_

    def slightly_other(weight, a=0):
        draw(weight, a)
        weight.data *= 1 + 1e-15

    monkeypatch.setattr(init, "kaiming_uniform_", slightly_other)
    assert "initial network" in kinds(range(1))[0]


def test_a_failure_is_a_program_that_can_be_read(monkeypatch):
    def broken(*args, **options):
        raise ArithmeticError("broken")

    monkeypatch.setattr(nn, "Linear", broken)
    (text,) = kinds([0])
    assert text.startswith("--seed 0 --count 1: ArithmeticError('broken')")
    assert "network = nn.Sequential(" in text
    assert "optimizers = [" in text
