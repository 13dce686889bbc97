"""The schedules: bit for bit torch's rates."""

import numpy as np
import pytest
import torch

from numpy_impl import nn, optim
from numpy_impl.optim import lr_scheduler

SCHEDULES = [
    ("StepLR", "7"),
    ("StepLR", "step_size=3, gamma=0.5"),
    ("MultiStepLR", "[3, 10, 10, 40], gamma=0.3"),
    ("ExponentialLR", "0.93"),
    ("CosineAnnealingLR", "20"),
    ("CosineAnnealingLR", "T_max=13, eta_min=0.001"),
]


def build(world, name, args, last_epoch=None):
    if world is torch:
        params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
        module = torch.optim
    else:
        params = [nn.Parameter(np.ones(1)) for _ in range(2)]
        module = optim
    groups = [{"params": [params[0]], "lr": 0.3}, {"params": [params[1]]}]
    optimizer = module.SGD(groups, lr=0.1)
    extra = ""
    if last_epoch is not None:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        extra = f", last_epoch={last_epoch}"
    text = f"module.lr_scheduler.{name}(optimizer, {args}{extra})"
    return optimizer, eval(text, {"module": module, "optimizer": optimizer})


@pytest.mark.parametrize("last_epoch", [None, 4])
@pytest.mark.parametrize(("name", "args"), SCHEDULES)
def test_rates_are_torch_s_bit_for_bit(name, args, last_epoch) -> None:
    (ours, schedule), (twin, other) = (build(w, name, args, last_epoch) for w in (nn, torch))
    for _ in range(300):
        assert [g["lr"] for g in ours.param_groups] == [g["lr"] for g in twin.param_groups]
        assert schedule.get_last_lr() == other.get_last_lr()
        ours.step()
        twin.step()
        schedule.step()
        other.step()


@pytest.mark.parametrize(("name", "args"), SCHEDULES)
def test_a_loaded_state_continues(name, args) -> None:
    optimizer, schedule = build(nn, name, args)
    for _ in range(11):
        schedule.step()
    other_optimizer, other = build(nn, name, args)
    other.load_state_dict(schedule.state_dict())
    other_optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(30):
        schedule.step()
        other.step()
        assert schedule.get_last_lr() == other.get_last_lr()


def test_wrong_use() -> None:
    with pytest.raises(TypeError, match="optimizer must be an Optimizer, got int"):
        lr_scheduler.StepLR(3, 1)
    with pytest.raises(KeyError, match="needs initial_lr"):
        lr_scheduler.StepLR(optim.SGD([nn.Parameter(np.ones(1))]), 1, last_epoch=3)
