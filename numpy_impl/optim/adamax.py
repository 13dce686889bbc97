"""Adamax."""

from typing import Any

import numpy as np

from numpy_impl.optim.averages import lerp_in_place
from numpy_impl.optim.declare import BELOW_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class Adamax(Optimizer):
    r"""Adam by the largest gradient of late: :math:`w = w - \eta\,\hat m / u`.

    With :math:`m = \beta_1 m + (1-\beta_1) g,\ \hat m = m / (1-\beta_1^t),\
    u = \max(\beta_2 u, |g| + \epsilon)`. The paper has no epsilon; with 0 a weight whose gradients
    are all 0 becomes NaN.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: L2, added to the gradient.
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.
        differentiable, capturable: must be False.

    Raises:
        ValueError: for a value out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Adamax.html;
    Kingma and Ba 2015, section 7.1, https://arxiv.org/abs/1412.6980
    """

    _ranges = at_least_0("lr", "eps", "weight_decay", betas=(BELOW_1, BELOW_1))
    _state_names = state_names("step", "exp_avg", "exp_inf")

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float, m: Array, u: Array) -> None:
        beta1, beta2 = group["betas"]
        lerp_in_place(m, g, 1 - beta1)
        u *= beta2
        size = np.abs(g)
        size += group["eps"]
        np.maximum(u, size, out=u)
        step = group["lr"] / (1 - beta1**t) * m
        step /= u
        w -= step
