"""Adam."""

import math
from typing import Any

import numpy as np

from numpy_impl.optim.averages import average_square_in_place, lerp_in_place
from numpy_impl.optim.declare import BELOW_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class Adam(Optimizer):
    r"""Adaptive moments: :math:`w = w - \eta\,\hat m / (\sqrt{\hat v} + \epsilon)`.

    With :math:`m = \beta_1 m + (1-\beta_1) g,\ v = \beta_2 v + (1-\beta_2) g^2` and
    :math:`\hat m = m / (1-\beta_1^t),\ \hat v = v / (1-\beta_2^t)`; epsilon stands outside the
    root. With ``amsgrad`` the largest v so far takes v's place.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: L2, added to the gradient.
        amsgrad: keep the largest v.
        foreach, fused: torch's hints on speed; accepted, without effect on the result.
        maximize: go up instead of down.
        capturable, differentiable: must be False.
        decoupled_weight_decay: shrink w by ``lr * weight_decay`` instead (AdamW).

    Raises:
        ValueError: for a value out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Adam.html;
    Kingma and Ba 2015, https://arxiv.org/abs/1412.6980
    """

    _ranges = at_least_0("lr", "eps", "weight_decay", betas=(BELOW_1, BELOW_1))
    _state_names = state_names("step", "exp_avg", "exp_avg_sq", max_exp_avg_sq="amsgrad")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _rule(
        self, w: Array, g: Array, group: Options, t: float, m: Array, v: Array, top: Array
    ) -> None:
        beta1, beta2 = group["betas"]
        lerp_in_place(m, g, 1 - beta1)
        average_square_in_place(v, g, beta2)
        if group["amsgrad"]:
            v = np.maximum(top, v, out=top)
        root = np.sqrt(v)
        root /= math.sqrt(1 - beta2**t)
        root += group["eps"]
        w -= group["lr"] / (1 - beta1**t) * m / root
