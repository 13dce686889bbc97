"""The schedules: bit for bit torch's rates."""

import warnings

import numpy as np
import pytest
import torch

from numpy_impl import nn, optim
from numpy_impl.optim import lr_scheduler
from parity_tests.optim.cases import SCHEDULES

WORLDS = pytest.mark.parametrize("ours", [True, False], ids=["ours", "torch's"])
OF_ALL = pytest.mark.parametrize("case", SCHEDULES, ids=str)


def optimizer_of(ours: bool):
    if ours:
        return optim.SGD([nn.Parameter(np.ones(1))], lr=0.1)
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.1)


@OF_ALL
def test_rates_are_torch_s_bit_for_bit(case) -> None:
    for result in case.measure("float64"):
        result.check(case.tolerance("float64", result), str(case))


@OF_ALL
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_steps_to_an_epoch_are_torch_s_bit_for_bit(case) -> None:
    """Forward, back, to where it is, and plain steps from there."""
    jumps = [3, None, 10, 10, None, None, 2, 0, None, 41, 26, None, 27, 1000, None, 13, None]
    rates = []
    for ours in (True, False):
        _, schedule = case.build(ours)
        found = []
        for epoch in jumps * 6:
            schedule.step(epoch)
            found.append([schedule.last_epoch, *schedule.get_last_lr()])
        rates.append(found)
    assert rates[0] == rates[1]


@OF_ALL
def test_a_loaded_state_continues(case) -> None:
    optimizer, schedule = case.build(ours=True)
    for _ in range(11):
        optimizer.step()
        schedule.step()
    other_optimizer, other = case.build(ours=True)
    other.load_state_dict(schedule.state_dict())
    other_optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(30):
        schedule.step()
        other.step()
        assert schedule.get_last_lr() == other.get_last_lr()


@OF_ALL
def test_states_are_torch_s(case) -> None:
    """Key by key after some steps; and ours goes on from torch's."""
    (optimizer, schedule), (twin_optimizer, twin) = case.build(True), case.build(False)
    for _ in range(5):
        for thing in (optimizer, schedule, twin_optimizer, twin):
            thing.step()
    assert schedule.state_dict() == twin.state_dict()
    _, other = case.build(True)
    other.load_state_dict(twin.state_dict())
    assert other.state_dict() == twin.state_dict()


def test_states_and_rates_are_copies() -> None:
    optimizer = optimizer_of(ours=True)
    schedule = lr_scheduler.MultiStepLR(optimizer, [1, 2])
    state = schedule.state_dict()
    state["base_lrs"][0] = state["milestones"][1] = 7
    schedule.get_last_lr()[0] = 7
    assert schedule.base_lrs == schedule.get_last_lr() == [0.1]
    assert schedule.milestones[1] == 1
    state = schedule.state_dict()
    schedule.load_state_dict(state)
    state["base_lrs"][0] = 7
    assert schedule.base_lrs == [0.1]


def warned(function) -> list[str]:
    """The kinds of warnings of a call, by words that ours and torch's have in common."""
    kinds = {
        "order": "optimizer.step()",
        "epoch": "epoch",
        "get_lr": "get_last_lr()",
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    for w in caught:
        assert w.category is UserWarning
        # ours point to the caller; torch's about get_lr to itself
        assert w.filename == __file__ or "torch" in w.filename
    return [
        next(kind for kind, word in kinds.items() if word in str(w.message).replace("`", ""))
        for w in caught
    ]


@WORLDS
def test_a_schedule_that_steps_first_is_warned_of_once(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    schedule = module.StepLR(optimizer, 3)
    assert warned(lambda: schedule.step()) == ["order"]
    assert warned(lambda: schedule.step()) == []
    # a step before the first schedule was made does not count, one before the second does
    optimizer = optimizer_of(ours)
    optimizer.step()
    schedule = module.StepLR(optimizer, 3)
    assert warned(lambda: schedule.step()) == ["order"]
    optimizer.step()
    other = module.ExponentialLR(optimizer, 0.9)
    assert warned(lambda: other.step()) == []
    # neither does a step that somebody else put in its place
    optimizer = optimizer_of(ours)
    schedule = module.StepLR(optimizer, 3)
    optimizer.step = lambda: None
    optimizer.step()
    assert warned(lambda: schedule.step()) == ["order"]


@WORLDS
def test_the_right_order_gives_no_warning(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    both = module.StepLR(optimizer, 3), module.ExponentialLR(optimizer, 0.9)
    optimizer.step(lambda: 1.0)
    for schedule in both:
        assert warned(lambda schedule=schedule: schedule.step()) == []

    class Mine(optim.Optimizer if ours else torch.optim.Optimizer):
        def step(self, closure=None) -> None:
            pass

    optimizer = Mine(optimizer.param_groups[0]["params"], {"lr": 0.1})
    schedule = module.StepLR(optimizer, 3)
    optimizer.step()
    assert warned(lambda: schedule.step()) == []


@WORLDS
def test_an_epoch_is_warned_of(ours) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    optimizer = optimizer_of(ours)
    schedule = module.StepLR(optimizer, 3)
    optimizer.step()
    assert warned(lambda: schedule.step(epoch=4)) == ["epoch"]
    assert warned(lambda: schedule.step(0)) == ["epoch"]


@WORLDS
@pytest.mark.parametrize(
    ("name", "argument"),
    [("StepLR", 1), ("MultiStepLR", [1]), ("ExponentialLR", 0.5), ("CosineAnnealingLR", 9)],
)
def test_get_lr_is_not_for_users(ours, name, argument) -> None:
    module = lr_scheduler if ours else torch.optim.lr_scheduler
    schedule = getattr(module, name)(optimizer_of(ours), argument)
    assert "get_lr" in warned(lambda: schedule.get_lr())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_schedule_without_a_closed_form_goes_by_its_steps() -> None:
    found = []
    for ours in (True, False):

        class Mine((lr_scheduler if ours else torch.optim.lr_scheduler).LRScheduler):
            def get_lr(self):
                return [g["lr"] * (1 + self.last_epoch) for g in self.optimizer.param_groups]

        schedule = Mine(optimizer_of(ours))
        rates = []
        for epoch in (None, 5, 2, None):
            schedule.step(epoch)
            rates.append(schedule.get_last_lr())
        found.append(rates)
    assert found[0] == found[1]


def test_wrong_use() -> None:
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, got int"):
        lr_scheduler.StepLR(3, 1)
    with pytest.raises(KeyError, match="needs initial_lr"):
        lr_scheduler.StepLR(optimizer_of(ours=True), 1, last_epoch=3)
