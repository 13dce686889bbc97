"""Learning-rate schedules, in torch's recursive form: the floats are the same."""

import math
import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from numpy_impl.optim.optimizer import Optimizer

__all__ = ["CosineAnnealingLR", "ExponentialLR", "LRScheduler", "MultiStepLR", "StepLR"]


class LRScheduler:
    """Base of every schedule: writes each group's ``lr`` after every ``step()``.

    A subclass writes ``get_lr``, the rates of the step that ``last_epoch`` counts from those of
    the step before, and ``_get_closed_form_lr``, the same from ``base_lrs``, if it has a formula.

    Args:
        optimizer: whose groups it drives; each keeps its first rate as ``initial_lr``.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        TypeError: if ``optimizer`` is none.
        KeyError: if it is resumed and a group has no ``initial_lr``.

    Source: https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be an Optimizer, got {type(optimizer).__name__}")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(f"group {i} needs initial_lr to resume at last_epoch={last_epoch}")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        if not optimizer._has_schedule:
            optimizer._has_schedule, optimizer._was_stepped = True, False
        self._step_count = 0
        self._get_lr_called_within_step = False
        self._is_initial = True  # the first step, made here, leaves the rates as they are
        self.step()
        self._is_initial = False

    def get_lr(self) -> list[float]:
        """The rates of this step, one for each group."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr")

    def get_last_lr(self) -> list[float]:
        """The rates that the last ``step()`` wrote."""
        return list(self._last_lr)

    def step(self, epoch: int | None = None) -> None:
        """Go one step on, and write the groups' rates; after ``optimizer.step()``.

        Args:
            epoch: deprecated: the step to go to, by the closed form where there is one.
        """
        if self._step_count == 1 and not self.optimizer._was_stepped:
            warnings.warn(
                "scheduler.step() came before optimizer.step(), which skips the schedule's first "
                "rate: call optimizer.step() first (the optimizer's own, if it was replaced)",
                stacklevel=2,
            )
        if epoch is not None:
            warnings.warn(
                f"epoch={epoch} in scheduler.step(epoch) is deprecated: it writes the closed "
                "form of the schedule, where there is one; call step() without it",
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr() if closed_form is None else closed_form()
        finally:
            self._get_lr_called_within_step = False
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        self._last_lr = [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimizer, under torch's keys."""
        state = {key: value for key, value in self.__dict__.items() if key != "optimizer"}
        return deepcopy(state)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned."""
        self.__dict__.update(deepcopy(dict(state_dict)))

    def _rates(self) -> list[float]:
        """The rates of now, from which ``get_lr`` goes on; a warning to whoever else calls it."""
        if not self._get_lr_called_within_step:
            warnings.warn(
                "get_lr() computes the next step's rates: get_last_lr() tells those of now",
                stacklevel=3,
            )
        return [group["lr"] for group in self.optimizer.param_groups]


class StepLR(LRScheduler):
    r""":math:`\eta` times gamma every ``step_size`` steps.

    Args:
        optimizer: whose groups it drives.
        step_size: steps between reductions.
        gamma: the factor.
        last_epoch: steps made before; -1 starts anew.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.StepLR.html
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma ** (self.last_epoch // self.step_size) for base in self.base_lrs]


class MultiStepLR(LRScheduler):
    r""":math:`\eta` times gamma at each milestone.

    Args:
        optimizer: whose groups it drives.
        milestones: the steps at which to multiply; one named twice counts twice.
        gamma: the factor.
        last_epoch: steps made before; -1 starts anew.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiStepLR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = Counter(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        times = Counter(self.milestones)[self.last_epoch]
        return [rate * self.gamma**times if times else rate for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        passed = bisect_right(sorted(Counter(self.milestones).elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ExponentialLR(LRScheduler):
    r""":math:`\eta` times gamma at every step.

    Args:
        optimizer: whose groups it drives.
        gamma: the factor.
        last_epoch: steps made before; -1 starts anew.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ExponentialLR.html
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._is_initial:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    r"""From :math:`\eta` to ``eta_min`` along half a cosine over ``T_max`` steps, and back.

    Args:
        optimizer: whose groups it drives.
        T_max: steps of the way down.
        eta_min: the lowest rate.
        last_epoch: steps made before; -1 starts anew.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingLR.html
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        if self._is_initial:
            return self._rates()
        if (t - 1 - period) % (2 * period) == 0:  # leaving the lowest point
            return [
                rate + (base - low) * (1 - math.cos(math.pi / period)) / 2
                for base, rate in zip(self.base_lrs, self._rates(), strict=True)
            ]
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return [ratio * (rate - low) + low for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[float]:
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        return [
            low + (base - low) * (1 + math.cos(math.pi * t / period)) / 2 for base in self.base_lrs
        ]
