"""The schedules: bit for bit torch's rates."""

import numpy as np
import pytest

from numpy_impl import nn, optim
from numpy_impl.optim import lr_scheduler
from parity_tests.optim.cases import SCHEDULES


@pytest.mark.parametrize("case", SCHEDULES, ids=str)
def test_rates_are_torch_s_bit_for_bit(case) -> None:
    for result in case.measure("float64"):
        result.check(case.tolerance("float64", result), str(case))


@pytest.mark.parametrize("case", SCHEDULES, ids=str)
def test_a_loaded_state_continues(case) -> None:
    optimizer, schedule = case.build(ours=True)
    for _ in range(11):
        schedule.step()
    other_optimizer, other = case.build(ours=True)
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
