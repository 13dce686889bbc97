"""ReduceLROnPlateau: a schedule that looks at how training goes."""

import math
from typing import Literal, SupportsFloat

from numpy_impl.optim.lr_scheduler.base import (
    LRScheduler,
    check_choice,
    check_optimizer,
    of_each_group,
    set_value,
    values_of,
    warn_of_epoch,
)
from numpy_impl.optim.optimizer import Optimizer


class ReduceLROnPlateau(LRScheduler):
    r""":math:`\eta` times ``factor`` when a metric has not improved for ``patience`` steps.

    Args:
        optimizer: whose groups it drives.
        mode: "min" if a smaller metric is better, "max" if a larger one is.
        factor: the factor, below 1.
        patience: steps without improvement that are let pass.
        threshold: what an improvement must exceed.
        threshold_mode: "rel" to the best metric, or "abs".
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: below which no rate goes, for all groups or a list of one for each.
        eps: a reduction smaller than this is left out.

    Raises:
        ValueError: if ``factor`` is not below 1, a mode is unknown, or ``min_lr`` has another
            length.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ReduceLROnPlateau.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: Literal["min", "max"] = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: Literal["rel", "abs"] = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError(f"factor must be below 1, got {factor}")
        self.factor = factor
        self.optimizer = check_optimizer(optimizer)
        self.default_min_lr = None if isinstance(min_lr, list | tuple) else min_lr
        self.min_lrs = of_each_group(min_lr, "min_lr", optimizer)
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = values_of(optimizer, "lr")
        self.mode = check_choice(mode, "mode", ("min", "max"))
        self.threshold = threshold
        self.threshold_mode = check_choice(threshold_mode, "threshold_mode", ("rel", "abs"))
        self.mode_worse = math.inf if mode == "min" else -math.inf
        self._reset()

    def _reset(self) -> None:
        self.best = self.mode_worse
        self.cooldown_counter = self.num_bad_epochs = 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at the metric, and reduce the rates if it is time to.

        Args:
            metrics: the number that should improve.
            epoch: deprecated: the step to call this.
        """
        current = float(metrics)
        if epoch is not None:
            warn_of_epoch(epoch)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce_lr()
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = values_of(self.optimizer, "lr")

    def _reduce_lr(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):  # a group was added
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"min_lrs must have a rate for each of {len(groups)} groups, got "
                    f"{len(self.min_lrs)}: a group was added since"
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, lowest)
            if old - new > self.eps:
                set_value(group, "lr", new)

    @property
    def in_cooldown(self) -> bool:
        """Whether nothing is counted just now."""
        return self.cooldown_counter > 0

    def _is_better(self, a: float, best: float) -> bool:
        if self.mode == "min":
            is_relative = self.threshold_mode == "rel"
            return a < (best * (1.0 - self.threshold) if is_relative else best - self.threshold)
        is_relative = self.threshold_mode == "rel"
        return a > (best * (self.threshold + 1.0) if is_relative else best + self.threshold)
