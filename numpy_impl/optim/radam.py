"""RAdam."""

import math
from typing import Any

import numpy as np

from numpy_impl.optim.averages import average_square_in_place, lerp_in_place
from numpy_impl.optim.declare import BELOW_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class RAdam(Optimizer):
    r"""Rectified Adam: :math:`w = w - \eta\,r\,\hat m \sqrt{1-\beta_2^t} / (\sqrt v + \epsilon)`.

    With Adam's m, v, :math:`\hat m = m / (1-\beta_1^t)`, and as the number of gradients that v is
    an average of, :math:`\rho_\infty = 2/(1-\beta_2) - 1` in the end and
    :math:`\rho = \rho_\infty - 2 t \beta_2^t / (1-\beta_2^t)` now, the rectification is
    :math:`r = \sqrt{\frac{(\rho-4)(\rho-2)\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\rho}}`.
    While :math:`\rho \le 5` too few are known: :math:`w = w - \eta\,\hat m`. Unlike Adam's,
    epsilon is added before the bias is corrected.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: L2, added to the gradient.
        decoupled_weight_decay: shrink w by ``lr * weight_decay`` instead (RAdamW).
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.
        capturable, differentiable: must be False.

    Raises:
        ValueError: for a value out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.RAdam.html;
    Liu et al. 2020, https://arxiv.org/abs/1908.03265
    """

    _ranges = at_least_0("lr", "eps", "weight_decay", betas=(BELOW_1, BELOW_1))
    _state_names = state_names("step", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float, m: Array, v: Array) -> None:
        beta1, beta2 = group["betas"]
        lerp_in_place(m, g, 1 - beta1)
        average_square_in_place(v, g, beta2)
        step = m / (1 - beta1**t)
        step *= group["lr"]
        last = 2 / (1 - beta2) - 1
        known = last - 2 * t * beta2**t / (1 - beta2**t)
        if known > 5:
            r = (known - 4) * (known - 2) * last / ((last - 4) * (last - 2) * known)
            root = np.sqrt(v)
            root += group["eps"]
            step *= math.sqrt(r) * math.sqrt(1 - beta2**t)
            step /= root
        w -= step
