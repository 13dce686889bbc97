"""Schedules along a cosine."""

import math
from typing import Any

from numpy_impl.optim.lr_scheduler.base import LRScheduler, check_positive_int
from numpy_impl.optim.optimizer import Optimizer


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

    def get_lr(self) -> list[Any]:
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        rates = self._rates()
        if self._is_initial:
            return rates
        if self._step_count == 1 and t > 0:  # resumed, and no step since
            return self._get_closed_form_lr()
        if (t - 1 - period) % (2 * period) == 0:  # leaving the lowest point
            return [
                rate + (base - low) * (1 - math.cos(math.pi / period)) / 2
                for base, rate in zip(self.base_lrs, rates, strict=True)
            ]
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return [ratio * (rate - low) + low for rate in rates]

    def _get_closed_form_lr(self) -> list[Any]:
        t, period, low = self.last_epoch, self.T_max, self.eta_min
        return [
            low + (base - low) * (1 + math.cos(math.pi * t / period)) / 2 for base in self.base_lrs
        ]


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""From :math:`\eta_0` to ``eta_min`` along half a cosine, then anew from the top.

    Args:
        optimizer: whose groups it drives.
        T_0: steps of the first way down.
        T_mult: how much longer each way down is than the one before.
        eta_min: the lowest rate.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: if ``T_0`` or ``T_mult`` is no positive integer, or ``eta_min`` no number.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.CosineAnnealingWarmRestarts.html;
    Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = self.T_i = check_positive_int(T_0, "T_0")
        self.T_mult = check_positive_int(T_mult, "T_mult")
        if not isinstance(eta_min, float | int):
            raise ValueError(f"eta_min must be a number, got {eta_min!r}")
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        self._warn_if_called()
        height = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * height / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go one step on, or to ``epoch``, and write the groups' rates.

        Args:
            epoch: where to go, which may lie between two steps: ``epoch + i / batches``.

        Raises:
            ValueError: if ``epoch`` is negative.
        """
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"epoch must not be negative, got {epoch}")
        elif epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            # restart n is at T_0 (T_mult^n - 1) / (T_mult - 1), a sum of a geometric series
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
        self.last_epoch = math.floor(epoch)
        self._write(self.get_lr)
