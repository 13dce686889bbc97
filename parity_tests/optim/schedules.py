"""The schedules' table, and the runs that compare each with its twin."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from numpy_impl import nn, optim
from torch_ref.compare import Result, Tolerance

STEPS = 300
MOMENTUM = "SGD(groups, lr=0.1, momentum=0.7)"
ADAM = "Adam(groups, lr=0.1, betas=(0.8, 0.99))"


class Falling:
    """A factor, and a scale, whose state a state dict has."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, t: float) -> float:
        return 1 / (1 + self.rate * t)


@dataclass(frozen=True)
class ScheduleCase:
    """One schedule, over two groups of different rates, from the start or continued.

    ``args`` may name ``S``, the schedules; ``opt``, the optimizer; and ``Falling``.
    """

    name: str
    args: str
    last_epoch: int | None = None
    optimizer: str = "SGD(groups, lr=0.1)"

    def __str__(self) -> str:
        continued = "" if self.last_epoch is None else f", last_epoch={self.last_epoch}"
        return f"{self.name}({self.args}{continued}) of {self.optimizer.split('(')[0]}"

    def build(self, ours: bool) -> tuple[Any, Any]:
        """An optimizer and its schedule, of ``numpy_impl.optim`` or ``torch.optim``."""
        module = optim if ours else torch.optim
        params: list[Any] = [
            nn.Parameter(np.ones(1)) if ours else torch.nn.Parameter(torch.ones(1))
            for _ in range(2)
        ]
        groups = [{"params": [params[0]], "lr": 0.3}, {"params": [params[1]]}]
        optimizer = eval(f"optim.{self.optimizer}", {"optim": module, "groups": groups})
        names = {"S": module.lr_scheduler, "opt": optimizer, "Falling": Falling}
        first = "" if self.name == "ChainedScheduler" else "opt, "
        with warnings.catch_warnings():
            # a schedule that is made of others steps them before the optimizer's first step
            warnings.simplefilter("ignore", UserWarning)
            schedule = eval(f"S.{self.name}({first}{self.args})", names)
        if self.last_epoch is None:
            return optimizer, schedule
        optimizer.step()
        for _ in range(self.last_epoch):  # the groups now have what it left in them
            schedule.step()
        continued = f"{first}{self.args}, last_epoch={self.last_epoch}".replace(", ,", ",")
        return optimizer, eval(f"S.{self.name}({continued})", names)

    def step(self, schedule: Any, t: int) -> None:
        """Go on, with the metric of step ``t`` if it needs one: ever better, then noise."""
        if self.name == "ReduceLROnPlateau":
            noise = np.random.default_rng(t).standard_normal()
            sign = -1 if schedule.mode == "max" else 1
            schedule.step(sign * (max(3 - 0.1 * t, 1) + 0.1 * noise) if t % 40 else np.nan)
        else:
            schedule.step()

    def measure(self, dtype: str) -> list[Result]:
        """What the groups hold at each step, and what get_last_lr tells."""
        rates = []
        for ours in (True, False):
            optimizer, schedule = self.build(ours)
            found = []
            for t in range(STEPS):
                found.append(driven(optimizer) + schedule.get_last_lr())
                optimizer.step()
                self.step(schedule, t)
            rates.append(np.array(found))
        return [Result("rates", "step", *rates)]

    def tolerance(self, dtype: str, result: Result) -> Tolerance:
        """Bit for bit: rates are Python floats in both worlds."""
        return Tolerance(0, 0)


KEYS = ("lr", "momentum", "initial_lr", "max_lr", "min_lr", "max_momentum", "base_momentum")


def driven(optimizer: Any) -> list[float]:
    """The options that schedules drive, and those that they leave, of each group."""
    found = []
    for group in optimizer.param_groups:
        found += [*(group.get(key, -1) for key in KEYS), *group.get("betas", ())]
    return found


TABLE: dict[str, tuple[str, ...]] = {
    "LambdaLR": (
        "lambda t: 0.95**t",
        "[lambda t: 1 / (t + 1), Falling(0.2)]",
        "lr_lambda=lambda t: t // 30",
    ),
    "MultiplicativeLR": (
        "lambda t: 0.95",
        "(lambda t: 1 + 0.1 / (t + 1), Falling(0.001))",
        "Falling(0.01)",
    ),
    "StepLR": ("7", "step_size=3, gamma=0.5", "1, 0.99"),
    "MultiStepLR": ("[3, 10, 10, 40], gamma=0.3", "(2, 30)", "milestones=range(0, 300, 7)"),
    "ConstantLR": ("", "0.5, total_iters=40", "factor=1.0, total_iters=3", "0.3, 0"),
    "LinearLR": (
        "",
        "0.05, total_iters=40",
        "1.0, 0.0, 100",
        "start_factor=0.7, end_factor=0.2, total_iters=13",
    ),
    "ExponentialLR": ("0.93", "gamma=1.01", "0.5"),
    "PolynomialLR": ("", "50, power=0.9", "total_iters=200, power=2.5"),
    "CosineAnnealingLR": ("20", "T_max=13, eta_min=0.001", "300", "1"),
    "CosineAnnealingWarmRestarts": (
        "20",
        "7, T_mult=2",
        "T_0=3, T_mult=3, eta_min=0.01",
        "1",
    ),
    "CyclicLR": (
        "0.01, 0.1, 10",
        "[0.01, 0.02], (0.1, 0.3), 7, 13, mode='triangular2', base_momentum=[0.7, 0.75]",
        "0.01, 0.1, 9, mode='exp_range', gamma=0.99, max_momentum=0.95",
        "0.01, 0.1, 9, mode='none', scale_fn=Falling(0.3)",
        "0.01, 0.1, 9, 4, scale_fn=lambda x: 0.9**x, scale_mode='iterations'",
        "0.01, 0.1, step_size_up=20, cycle_momentum=False",
    ),
    "OneCycleLR": (
        "0.1, 310",
        "[0.1, 0.3], epochs=31, steps_per_epoch=10, anneal_strategy='linear'",
        "0.1, total_steps=310, three_phase=True, pct_start=0.2, div_factor=10.0",
        "0.1, 305, three_phase=True, pct_start=0.4, final_div_factor=5, base_momentum=[0.6, 0.7]",
        "0.1, 400, cycle_momentum=False, pct_start=1.0",
    ),
    "ReduceLROnPlateau": (
        "",
        "'max', 0.5, patience=3, threshold=0.05, cooldown=4",
        "'max', factor=0.7, patience=0, threshold=0.05, threshold_mode='abs', min_lr=[0.01, 0.02]",
        "mode='min', patience=2, threshold=0.1, threshold_mode='abs', cooldown=2, eps=0.003",
    ),
    "SequentialLR": (
        "[S.ConstantLR(opt, 0.1, 20), S.ExponentialLR(opt, 0.9)], [20]",
        "[S.LinearLR(opt), S.CosineAnnealingLR(opt, 30), S.StepLR(opt, 9)], milestones=[7, 100]",
        "[S.StepLR(opt, 2), S.CosineAnnealingWarmRestarts(opt, 9), S.LinearLR(opt)], [0, 40]",
        "[S.ChainedScheduler([S.ConstantLR(opt, 0.1), S.ExponentialLR(opt, 0.9)])], []",
        "[S.SequentialLR(opt, [S.LinearLR(opt), S.StepLR(opt, 3)], [4]), S.StepLR(opt, 9)], [30]",
    ),
    "ChainedScheduler": (
        "[S.ConstantLR(opt, 0.1, 20), S.ExponentialLR(opt, 0.9)]",
        "(S.MultiplicativeLR(opt, Falling(0.001)), S.MultiStepLR(opt, [3, 9])), opt",
        "[S.LinearLR(opt, total_iters=9), S.CosineAnnealingLR(opt, 50)], optimizer=opt",
        "[S.SequentialLR(opt, [S.LinearLR(opt), S.StepLR(opt, 3)], [9]), S.ExponentialLR(opt, 1)]",
    ),
}
NOT_CONTINUED = ("ReduceLROnPlateau", "SequentialLR", "ChainedScheduler")
CYCLED = ("CyclicLR", "OneCycleLR")

SCHEDULES = [
    ScheduleCase(name, args, last_epoch, optimizer)
    for name, table in TABLE.items()
    for args in table
    for last_epoch in ((None,) if name in NOT_CONTINUED else (None, 4))
    for optimizer in ((MOMENTUM, ADAM) if name in CYCLED else (MOMENTUM,))
]
