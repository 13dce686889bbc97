"""Schedules made of schedules."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from numpy_impl.optim.lr_scheduler.base import LRScheduler, set_value, values_of
from numpy_impl.optim.lr_scheduler.plateau import ReduceLROnPlateau
from numpy_impl.optim.optimizer import Optimizer


class _Composed(LRScheduler):
    """What both share: the state has those of the schedules."""

    _schedulers: Sequence[LRScheduler]

    def _check(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> Optimizer:
        """The optimizer that all of the schedules drive."""
        if len(schedulers) < 1:
            raise ValueError("schedulers must hold at least one schedule, got none")
        for i, scheduler in enumerate(schedulers):
            if not hasattr(scheduler, "optimizer"):
                raise TypeError(f"schedulers[{i}] must be one, got {type(scheduler).__name__}")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ValueError(
                    f"schedulers[{i}] must be a schedule of steps alone, got a ReduceLROnPlateau, "
                    "whose step() needs a metric"
                )
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        for i, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not optimizer:
                raise ValueError(
                    f"schedulers must drive one optimizer, got another in schedulers[{i}]"
                )
        return optimizer

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything but the optimizer, with the schedules' states: torch's keys."""
        state = self._state_without("optimizer", "_schedulers")
        return {**state, "_schedulers": [s.state_dict() for s in self._schedulers]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what ``state_dict()`` returned."""
        state = dict(state_dict)
        for scheduler, own in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(own)
        self.__dict__.update(deepcopy(state))


class SequentialLR(_Composed):
    r"""One schedule after another: the next takes over at each milestone, from its own start.

    Args:
        optimizer: whose groups they drive.
        schedulers: the schedules.
        milestones: the steps at which the second and all later ones begin.
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: if there are no schedules, those of another optimizer, a ReduceLROnPlateau, or
            another number of milestones than one less.
        TypeError: for something that is no schedule.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.SequentialLR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = self._check(schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"milestones must be one less than the {len(schedulers)} schedulers, "
                f"got {len(milestones)}"
            )
        self._schedulers = schedulers
        self._milestones = milestones
        self.last_epoch = last_epoch + 1
        # each has made its first step by itself: back, and the first step of the one that begins
        for group in optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        _undo(self)
        first = schedulers[bisect_right(milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Go one step on, by the schedule whose turn it is."""
        self.last_epoch += 1
        turn = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[turn]
        if turn > 0 and self._milestones[turn - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()


def _undo(scheduler: LRScheduler) -> None:
    """Count a schedule, or all that it is made of, one step back."""
    if isinstance(scheduler, _Composed):
        for part in scheduler._schedulers:
            _undo(part)
    else:
        scheduler.last_epoch -= 1


class ChainedScheduler(_Composed):
    r"""Several schedules at once: each goes on from the rates that the one before it wrote.

    Args:
        schedulers: the schedules.
        optimizer: whose groups they drive; the first one's unless given.

    Raises:
        ValueError: if there are none, those of several optimizers, or a ReduceLROnPlateau.
        TypeError: for something that is no schedule.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.lr_scheduler.ChainedScheduler.html
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self.optimizer = self._check(schedulers, optimizer)
        self._schedulers = schedulers
        self._last_lr = values_of(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Go one step on, with every schedule."""
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values_of(self.optimizer, "lr")
