"""Schedules that multiply the rate by a factor: of functions, steps, lines and powers."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from numpy_impl.optim.lr_scheduler.base import LRScheduler, attributes_of, check_optimizer
from numpy_impl.optim.optimizer import Optimizer

Factor = Callable[[int], float]


class _ByFunction(LRScheduler):
    """What both schedules of functions share."""

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Factor | Sequence[Factor], last_epoch: int = -1
    ) -> None:
        count = len(check_optimizer(optimizer).param_groups)
        if isinstance(lr_lambda, list | tuple):
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(
                f"lr_lambda must have one function for each of {count} groups, "
                f"got {len(self.lr_lambdas)}"
            )
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda must be a function, got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimizer and functions, under torch's keys.

        Of a callable object there are its attributes, of a function or lambda nothing.
        """
        state = self._state_without("optimizer", "lr_lambdas")
        return {**state, "lr_lambdas": [attributes_of(f) for f in self.lr_lambdas]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned; the functions stay."""
        state = deepcopy(dict(state_dict))
        for function, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if attributes is not None:
                vars(function).update(attributes)
        self.__dict__.update(state)


class LambdaLR(_ByFunction):
    r""":math:`\eta_0` times a function of the step.

    Args:
        optimizer: whose groups it drives.
        lr_lambda: the function, or a list of one for each group.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: for a list of another length.
        TypeError: for something that can't be called.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LambdaLR.html
    """

    def get_lr(self) -> list[Any]:
        self._warn_if_called()
        return [
            base * factor(self.last_epoch)
            for factor, base in zip(self.lr_lambdas, self.base_lrs, strict=True)
        ]


class MultiplicativeLR(_ByFunction):
    r""":math:`\eta` times a function of the step, at every step.

    Args:
        optimizer: whose groups it drives.
        lr_lambda: the function, or a list of one for each group.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: for a list of another length.
        TypeError: for something that can't be called.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.MultiplicativeLR.html
    """

    def get_lr(self) -> list[Any]:
        rates = self._rates()
        if self._is_initial:
            return rates
        return [
            rate * factor(self.last_epoch)
            for factor, rate in zip(self.lr_lambdas, rates, strict=True)
        ]


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

    def get_lr(self) -> list[Any]:
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[Any]:
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

    def get_lr(self) -> list[Any]:
        times = Counter(self.milestones)[self.last_epoch]
        return [rate * self.gamma**times if times else rate for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[Any]:
        passed = bisect_right(sorted(Counter(self.milestones).elements()), self.last_epoch)
        return [base * self.gamma**passed for base in self.base_lrs]


class ConstantLR(LRScheduler):
    r""":math:`\eta` times a factor, until step ``total_iters``.

    Args:
        optimizer: whose groups it drives.
        factor: the factor, in [0, 1].
        total_iters: the step that takes it back.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: if ``factor`` is out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ConstantLR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if factor > 1.0 or factor < 0:
            raise ValueError(f"factor must lie in [0, 1], got {factor}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        if self.last_epoch == 0:
            return [rate * self.factor for rate in self._rates()]
        if self.last_epoch != self.total_iters:
            return self._rates()
        return [rate * (1.0 / self.factor) for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[Any]:
        factor = self.factor + (self.last_epoch >= self.total_iters) * (1 - self.factor)
        return [base * factor for base in self.base_lrs]


class LinearLR(LRScheduler):
    r""":math:`\eta` times a factor that goes along a line, over ``total_iters`` steps.

    Args:
        optimizer: whose groups it drives.
        start_factor: the first factor, in (0, 1].
        end_factor: the last factor, in [0, 1].
        total_iters: steps from one to the other.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: if a factor is out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.LinearLR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if start_factor > 1.0 or start_factor <= 0:
            raise ValueError(f"start_factor must lie in (0, 1], got {start_factor}")
        if end_factor > 1.0 or end_factor < 0:
            raise ValueError(f"end_factor must lie in [0, 1], got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        t, rise = self.last_epoch, self.end_factor - self.start_factor
        if t == 0:
            return [rate * self.start_factor for rate in self._rates()]
        if self._is_initial or t > self.total_iters:
            return self._rates()
        ratio = 1.0 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)
        return [rate * ratio for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[Any]:
        t, rise = min(self.total_iters, self.last_epoch), self.end_factor - self.start_factor
        return [base * (self.start_factor + rise * t / self.total_iters) for base in self.base_lrs]


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

    def get_lr(self) -> list[Any]:
        if self._is_initial:
            return self._rates()
        return [rate * self.gamma for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[Any]:
        return [base * self.gamma**self.last_epoch for base in self.base_lrs]


class PolynomialLR(LRScheduler):
    r"""From :math:`\eta` to 0: times :math:`(1 - t / total\_iters)^{power}`.

    Args:
        optimizer: whose groups it drives.
        total_iters: steps until 0.
        power: 1 is a line.
        last_epoch: steps made before; -1 starts anew.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.PolynomialLR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
    ) -> None:
        self.total_iters = total_iters
        self.power = power
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        t, total = self.last_epoch, self.total_iters
        if self._is_initial or t > total:
            return self._rates()
        ratio = ((1.0 - t / total) / (1.0 - (t - 1) / total)) ** self.power
        return [rate * ratio for rate in self._rates()]

    def _get_closed_form_lr(self) -> list[Any]:
        t, total = min(self.total_iters, self.last_epoch), self.total_iters
        return [base * (1.0 - t / total) ** self.power for base in self.base_lrs]
