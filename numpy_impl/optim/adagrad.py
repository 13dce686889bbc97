"""Adagrad."""

from typing import Any

import numpy as np

from numpy_impl.optim.declare import at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class Adagrad(Optimizer):
    r"""A rate for each weight: :math:`s = s + g^2,\; w = w - \eta_t\, g / (\sqrt{s} + \epsilon)`.

    With :math:`\eta_t = \eta / (1 + (t - 1) d)` and t = 1 at the first step; epsilon stands outside
    the root. s only grows, so that steps only shrink. A gradient of few rows
    (``Embedding(sparse=True)``) moves those alone.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        lr_decay: d.
        weight_decay: L2, added to the gradient.
        initial_accumulator_value: where s starts, for all groups alike, as in torch.
        eps: :math:`\epsilon`.
        foreach, fused: torch's hints on speed; accepted, without effect on the result.
        maximize: go up instead of down.
        differentiable: must be False.

    Raises:
        ValueError: for a negative value.
        RuntimeError: for weight_decay or fused with a gradient of few rows.

    Unlike torch's, the state of a parameter begins with its first step, not with the constructor.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Adagrad.html;
    Duchi et al. 2011, https://jmlr.org/papers/v12/duchi11a.html
    """

    _ranges = at_least_0("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    _state_names = state_names("step", "sum")
    _gradients = "either"

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(params, locals())

    def _start(self, name: str, w: Array, group: Options) -> Array:
        return np.full_like(w, self.defaults["initial_accumulator_value"])

    def _rule(self, w: Array, g: Array, group: Options, t: float, total: Array) -> None:
        total += g * g
        rate = group["lr"] / (1 + (t - 1) * group["lr_decay"])
        w -= rate * g / (np.sqrt(total) + group["eps"])
