"""LRScheduler, the base of every schedule, and what several of them share."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from types import FunctionType
from typing import Any

import numpy as np

from numpy_impl.optim.optimizer import Optimizer
from numpy_impl.tensor.tensor import Tensor


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
        self.optimizer = check_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", deepcopy(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"group {i} needs initial_lr to resume at last_epoch={last_epoch}")
        self.base_lrs = values_of(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        if not optimizer._has_schedule:
            optimizer._has_schedule, optimizer._was_stepped = True, False
        self._get_lr_called_within_step = False
        self._initial_step()

    def _initial_step(self) -> None:
        """The first step, which most schedules leave the rates as they are in."""
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def get_lr(self) -> list[Any]:
        """The rates of this step, one for each group."""
        raise NotImplementedError(f"{type(self).__name__} has no get_lr")

    def get_last_lr(self) -> list[Any]:
        """The rates that the last ``step()`` wrote."""
        return deepcopy(self._last_lr)

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
            warn_of_epoch(epoch)
        self._step_count += 1
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        closed_form = None if epoch is None else getattr(self, "_get_closed_form_lr", None)
        self._write(self.get_lr if closed_form is None else closed_form)

    def _write(self, rates: Any) -> None:
        """Write what the method ``rates`` says into the groups."""
        self._get_lr_called_within_step = True
        try:
            values = rates()
        finally:
            self._get_lr_called_within_step = False
        for group, rate in zip(self.optimizer.param_groups, values, strict=True):
            set_value(group, "lr", rate)
        self._last_lr = values_of(self.optimizer, "lr")

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimizer, under torch's keys."""
        return self._state_without("optimizer")

    def _state_without(self, *names: str) -> dict[str, Any]:
        return deepcopy({key: value for key, value in vars(self).items() if key not in names})

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned."""
        self.__dict__.update(deepcopy(dict(state_dict)))

    def _rates(self) -> list[Any]:
        """The rates of now, from which ``get_lr`` goes on; a warning to whoever else calls it."""
        self._warn_if_called(4)
        return values_of(self.optimizer, "lr")

    def _warn_if_called(self, stacklevel: int = 3) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn(
                "get_lr() computes the next step's rates: get_last_lr() tells those of now",
                stacklevel=stacklevel,
            )


def check_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer, which must be one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def warn_of_epoch(epoch: Any) -> None:
    """Warn the caller of a step to a named epoch."""
    warnings.warn(
        f"epoch={epoch} in scheduler.step(epoch) is deprecated: it writes the closed "
        "form of the schedule, where there is one; call step() without it",
        stacklevel=3,
    )


def values_of(optimizer: Optimizer, key: str) -> list[Any]:
    """An option of each group, in copies that stay as they are if it changes."""
    return [deepcopy(group[key]) for group in optimizer.param_groups]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Write an option: into the array or Tensor that it is, or in its place."""
    if isinstance(group[key], Tensor):
        group[key].data[...] = float(value)
    elif isinstance(group[key], np.ndarray):
        group[key][...] = value
    else:
        group[key] = value


def of_each_group(value: Any, name: str, optimizer: Optimizer) -> list[Any]:
    """The argument for each group: its own from a list or tuple, or the same for all."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [deepcopy(value) for _ in range(count)]
    if len(value) != count:
        raise ValueError(f"{name} must have one value for each of {count} groups, got {len(value)}")
    return deepcopy(list(value))


def check_choice(value: Any, name: str, allowed: Sequence[str]) -> Any:
    """The value, which must be one of those."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def check_positive_int(value: Any, name: str) -> int:
    """The value, which must be an integer of at least 1."""
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} must be a positive integer, got {value!r}")
    return value


def attributes_of(function: Any) -> dict[str, Any] | None:
    """What a state dict has of a callable: an object's attributes, of a function nothing."""
    found = getattr(function, "__dict__", None)
    is_object = isinstance(found, dict) and not isinstance(function, FunctionType)
    return deepcopy(found) if is_object else None


def cycled_option(optimizer: Optimizer) -> bool:
    """Whether the momentum to cycle is the first of ``betas``; else it is ``momentum``.

    Raises:
        ValueError: if the optimizer has neither.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError(
            f"cycle_momentum needs an optimizer with momentum or betas, got "
            f"{type(optimizer).__name__}: cycle_momentum=False leaves it alone"
        )
    return "betas" in optimizer.defaults


def start_momentum(optimizer: Optimizer, lowest: Iterable[Any], highest: Iterable[Any]) -> None:
    """Write the bounds of the momentum into the groups, and the upper one as where it starts."""
    for group, low, high in zip(optimizer.param_groups, lowest, highest, strict=True):
        set_momentum(group, high, "betas" in optimizer.defaults)
        group["max_momentum"], group["base_momentum"] = high, low


def set_momentum(group: dict[str, Any], value: Any, use_beta1: bool) -> None:
    """Write a group's momentum, which may be the first of its betas."""
    if use_beta1:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value
