"""Schedules in which rate and momentum go against one another."""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Literal

from numpy_impl.optim.lr_scheduler.base import (
    LRScheduler,
    attributes_of,
    check_choice,
    check_optimizer,
    check_positive_int,
    cycled_option,
    of_each_group,
    set_momentum,
    set_value,
    start_momentum,
)
from numpy_impl.optim.optimizer import Optimizer


class CyclicLR(LRScheduler):
    r"""Up and down between ``base_lr`` and ``max_lr``, along straight lines.

    The height of a cycle stays with "triangular", is halved at each cycle with "triangular2",
    and is times :math:`gamma^t` with "exp_range". The momentum (Adam's :math:`\beta_1`) goes down
    where the rate goes up.

    Args:
        optimizer: whose groups it drives.
        base_lr, max_lr: the bounds, for all groups or a list of one for each.
        step_size_up: steps of the way up.
        step_size_down: steps of the way down; as many unless given.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: for "exp_range".
        scale_fn: what to multiply the height by, instead of ``mode``.
        scale_mode: whether ``scale_fn`` gets the "cycle", from 1, or the step ("iterations").
        cycle_momentum: False leaves the momentum alone.
        base_momentum, max_momentum: its bounds, for all groups or a list of one for each.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: if ``mode`` is unknown, a list has another length, or the optimizer has no
            momentum to cycle.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CyclicLR.html;
    Smith 2017, https://arxiv.org/abs/1506.01186
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: Literal["triangular", "triangular2", "exp_range"] = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: Literal["cycle", "iterations"] = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        base_lrs = of_each_group(base_lr, "base_lr", check_optimizer(optimizer))
        if last_epoch == -1:
            for rate, group in zip(base_lrs, optimizer.param_groups, strict=True):
                set_value(group, "lr", rate)
        self.max_lrs = of_each_group(max_lr, "max_lr", optimizer)
        down = step_size_up if step_size_down is None else step_size_down
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = float(step_size_up) / self.total_size
        if scale_fn is None:
            check_choice(mode, "mode", ("triangular", "triangular2", "exp_range"))
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = cycled_option(optimizer)
            self.base_momentums = of_each_group(base_momentum, "base_momentum", optimizer)
            self.max_momentums = of_each_group(max_momentum, "max_momentum", optimizer)
            if last_epoch == -1:
                start_momentum(optimizer, self.base_momentums, self.max_momentums)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """What the height of cycle or step ``x`` is multiplied by."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        scale: float = 1 / (2.0 ** (x - 1)) if self.mode == "triangular2" else self.gamma**x
        return scale

    def get_lr(self) -> list[Any]:
        self._warn_if_called()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle  # how much of this cycle is done
        up = x <= self.step_ratio
        height = x / self.step_ratio if up else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds, strict=True):
                set_momentum(group, high - (high - low) * height * scale, self.use_beta1)
        bounds = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height * scale for low, high in bounds]

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimizer, under torch's keys.

        Of a ``scale_fn`` that is an object there are its attributes, of a function nothing.
        """
        state = self._state_without("optimizer", "_scale_fn_custom")
        return {**state, "_scale_fn_custom": attributes_of(self._scale_fn_custom)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned; ``scale_fn`` stays."""
        state = deepcopy(dict(state_dict))
        attributes = state.pop("_scale_fn_custom")
        if attributes is not None:
            vars(self._scale_fn_custom).update(attributes)
        self.__dict__.update(state)


class OneCycleLR(LRScheduler):
    r"""Up to ``max_lr`` and far down, once; the momentum (Adam's :math:`\beta_1`) against it.

    From ``max_lr / div_factor`` up, then to ``max_lr / div_factor / final_div_factor`` down:
    at once, or with ``three_phase`` back to where it started first.

    Args:
        optimizer: whose groups it drives.
        max_lr: the highest rate, for all groups or a list of one for each.
        total_steps: steps in all.
        epochs, steps_per_epoch: or their product, if it is not given.
        pct_start: the share of the steps that go up, a float in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: False leaves the momentum alone.
        base_momentum, max_momentum: its bounds, for all groups or a list of one for each.
        div_factor: how much lower the first rate is than the highest.
        final_div_factor: how much lower the last rate is than the first.
        three_phase: go down in two phases, of which the first is as long as the way up.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: for a number of steps that is missing or not positive, a value out of range, a
            list of another length, an optimizer that has no momentum to cycle; and in ``step()``
            after the last one.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.OneCycleLR.html;
    Smith and Topin 2018, https://arxiv.org/abs/1708.07120
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        check_optimizer(optimizer)
        if total_steps is not None:
            self.total_steps = check_positive_int(total_steps, "total_steps")
        elif epochs is not None and steps_per_epoch is not None:
            check_positive_int(epochs, "epochs")
            self.total_steps = epochs * check_positive_int(steps_per_epoch, "steps_per_epoch")
        else:
            raise ValueError(
                "total_steps, or epochs and steps_per_epoch, must be given, got "
                f"epochs={epochs}, steps_per_epoch={steps_per_epoch}"
            )
        if not isinstance(pct_start, float) or pct_start < 0 or pct_start > 1:
            raise ValueError(f"pct_start must be a float in [0, 1], got {pct_start!r}")
        check_choice(anneal_strategy, "anneal_strategy", ("cos", "linear"))
        up = float(pct_start * self.total_steps) - 1
        last = self.total_steps - 1
        high, low = "max_momentum", "base_momentum"
        phases = [(up, "initial_lr", "max_lr", high, low), (last, "max_lr", "min_lr", low, high)]
        if three_phase:
            down = float(2 * pct_start * self.total_steps) - 2
            phases[1:] = [
                (down, "max_lr", "initial_lr", low, high),
                (last, "initial_lr", "min_lr", high, high),
            ]
        keys = ("end_step", "start_lr", "end_lr", "start_momentum", "end_momentum")
        self._schedule_phases: list[dict[str, Any]]
        self._schedule_phases = [dict(zip(keys, phase, strict=True)) for phase in phases]
        self._anneal_func_type = anneal_strategy
        max_lrs = of_each_group(max_lr, "max_lr", optimizer)
        if last_epoch == -1:
            for group, rate in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = rate / div_factor
                group["max_lr"] = rate
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = cycled_option(optimizer)
            lowest = of_each_group(base_momentum, "base_momentum", optimizer)
            highest = of_each_group(max_momentum, "max_momentum", optimizer)
            if last_epoch == -1:
                start_momentum(optimizer, lowest, highest)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: Any, end: Any, share: float) -> Any:
        """The value after that share of the way."""
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * share) + 1)
        return (end - start) * share + start

    def get_lr(self) -> list[Any]:
        self._warn_if_called()
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"step() can be called {self.total_steps} times, got call {t}")
        start, *_, last = 0.0, self._schedule_phases[-1]
        for phase in self._schedule_phases:
            if t <= phase["end_step"] or phase is last:
                break
            start = phase["end_step"]
        share = (t - start) / (phase["end_step"] - start)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], share))
            if self.cycle_momentum:
                bounds = group[phase["start_momentum"]], group[phase["end_momentum"]]
                set_momentum(group, self._between(*bounds, share), self.use_beta1)
        return rates
