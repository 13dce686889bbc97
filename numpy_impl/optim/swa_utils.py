"""Averages of a model's weights over training: SWA (all alike) and EMA (the latest count most)."""

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any, Literal

import numpy as np

from numpy_impl.grad_mode import no_grad
from numpy_impl.nn.batchnorm import _BatchNorm
from numpy_impl.nn.module import Module
from numpy_impl.optim.averages import lerp_in_place
from numpy_impl.optim.lr_scheduler.base import (
    LRScheduler,
    check_choice,
    check_optimizer,
    of_each_group,
)
from numpy_impl.optim.optimizer import Optimizer
from numpy_impl.tensor.creation import check_device
from numpy_impl.tensor.tensor import Tensor, to_array
from numpy_impl.tensor.views import arrays_changed
from numpy_impl.types import Array

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

Average = Callable[[Any, Any, Any], Any]


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"decay must lie in [0, 1], got {decay}")


def get_ema_multi_avg_fn(decay: float = 0.999) -> Average:
    r"""The function that moves averages: :math:`\bar w = decay\,\bar w + (1 - decay)\,w`, in place.

    Args:
        decay: what the average keeps, in [0, 1].

    Source: https://pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
    """
    _check_decay(decay)

    def ema_update(ema_param_list: Any, current_param_list: Any, _: Any) -> None:
        for average, current in zip(ema_param_list, current_param_list, strict=True):
            array = to_array(average)
            if array.dtype.kind == "f":
                lerp_in_place(array, to_array(current), 1 - decay)
            else:  # through floating-point numbers, and the fraction is lost
                mean = Tensor(array) * decay + Tensor(current) * (1 - decay)
                array[...] = mean.data

    return ema_update


def get_swa_multi_avg_fn() -> Average:
    r"""The function that adds the model n + 1: :math:`\bar w = \bar w + (w - \bar w) / (n + 1)`.

    In place, for lists. The count is a Tensor in :class:`AveragedModel`: its share, as torch's, is
    of float32. Integers can't be averaged so (RuntimeError): :func:`get_swa_avg_fn` can.

    Source: https://pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
    """

    def swa_update(averaged_param_list: Any, current_param_list: Any, num_averaged: Any) -> None:
        share = float(1 / (num_averaged + 1))
        for average, current in zip(averaged_param_list, current_param_list, strict=True):
            array = to_array(average)
            if array.dtype.kind != "f":
                raise RuntimeError(
                    f"averaged_param_list must hold floating-point Tensors, got {array.dtype}"
                )
            lerp_in_place(array, to_array(current), share)

    return swa_update


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    r"""The function for one average: :math:`decay\,\bar w + (1 - decay)\,w`.

    Args:
        decay: what the average keeps, in [0, 1].

    Source: https://pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn() -> Average:
    r"""The function for one average of n models: :math:`\bar w + (w - \bar w) / (n + 1)`.

    Source: https://pytorch.org/docs/stable/optim.html#weight-averaging-swa-and-ema
    """

    @no_grad()
    def swa_update(averaged_param: Any, current_param: Any, num_averaged: Any) -> Any:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    r"""A copy of a model whose parameters are averages of the model's over its training.

    The first ``update_parameters`` takes the model's values, later ones average.

    Args:
        model: what to average; it is copied.
        device: None or "cpu".
        avg_fn: of the average, the model's parameter and the number of models so far, all Tensors:
            the new average; :func:`get_swa_avg_fn` unless given.
        multi_avg_fn: instead, of lists of them of one dtype, in place.
        use_buffers: average buffers, too; else they are the model's own.

    Raises:
        AssertionError: if both functions are given.

    Source: Izmailov et al. 2018, https://arxiv.org/abs/1803.05407;
    https://pytorch.org/docs/stable/generated/torch.optim.swa_utils.AveragedModel.html
    """

    n_averaged: Array

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Average | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("avg_fn and multi_avg_fn must not both be given")
        check_device(device)
        self.module = deepcopy(model)
        self.register_buffer("n_averaged", np.zeros((), np.int64))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the present values of ``model`` into the averages."""
        averages = [to_array(p) for p in self.module.parameters()]
        currents = [to_array(p) for p in model.parameters()]
        buffers, current_buffers = list(self.module.buffers()), list(model.buffers())
        if self.use_buffers:
            averages += buffers
            currents += current_buffers
        if self.n_averaged == 0:
            for average, current in zip(averages, currents, strict=True):
                average[...] = current
        elif self.multi_avg_fn is None:
            count = Tensor(self.n_averaged.copy())
            average_of = get_swa_avg_fn() if self.avg_fn is None else self.avg_fn
            for average, current in zip(averages, currents, strict=True):
                average[...] = to_array(average_of(Tensor(average), Tensor(current), count))
        else:
            self._update_lists(self.multi_avg_fn, averages, currents)
        if not self.use_buffers:
            for buffer, current in zip(buffers, current_buffers, strict=True):
                buffer[...] = current
        self.n_averaged += 1
        arrays_changed()

    def _update_lists(self, update: Average, averages: list[Array], currents: list[Array]) -> None:
        for dtype in dict.fromkeys(array.dtype for array in averages):
            pairs = zip(averages, currents, strict=True)
            arrays, others = zip(*[(a, c) for a, c in pairs if a.dtype == dtype], strict=True)
            tensors = [Tensor(array) for array in arrays]
            update(tensors, [Tensor(other) for other in others], Tensor(self.n_averaged.copy()))
            for array, tensor in zip(arrays, tensors, strict=True):
                if tensor.data is not array:  # a Tensor's in-place methods give it a new one
                    array[...] = tensor.data


@no_grad
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of BatchNorm layers to those of the data, in one pass.

    Args:
        loader: batches: arrays, Tensors, or lists and tuples that begin with one.
        model: whose statistics to set; it is called in training mode.
        device: None or "cpu".

    Source: https://pytorch.org/docs/stable/optim.html#taking-care-of-batch-normalization
    """
    check_device(device)
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    if not layers:
        return
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain average over all batches
    for batch in loader:
        model(batch[0] if isinstance(batch, list | tuple) else batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    r"""From :math:`\eta` to a fixed rate, for training whose weights are averaged.

    Args:
        optimizer: whose groups it drives.
        swa_lr: the rate to end at, for all groups or a list of one for each.
        anneal_epochs: steps until then.
        anneal_strategy: "cos" or "linear".
        last_epoch: steps made before; -1 starts anew.

    Raises:
        ValueError: if the list has another length, the strategy is unknown, or the steps no
            integer of at least 0.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.swa_utils.SWALR.html
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = of_each_group(swa_lr, "swa_lr", check_optimizer(optimizer))
        self._anneal_strategy = check_choice(anneal_strategy, "anneal_strategy", ("cos", "linear"))
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be an integer of 0 or more, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, t: int) -> float:
        """How much of the way is done at step t."""
        share = max(0, min(1, t / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * share)) / 2 if self._anneal_strategy == "cos" else share

    def get_lr(self) -> list[Any]:
        t = self._step_count - 1
        if self.anneal_epochs == 0:
            t = max(1, t)
        before, now = self._share(t - 1), self._share(t)
        rates = []
        for group, rate in zip(self.optimizer.param_groups, self._rates(), strict=True):
            end = group["swa_lr"]
            # the rate at the start, from that of the step before
            start = end if before == 1 else (rate - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
