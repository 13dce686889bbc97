"""SparseAdam."""

import math
from typing import Any

import numpy as np

from numpy_impl.optim.declare import ABOVE_0, BELOW_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class SparseAdam(Optimizer):
    r"""Adam on the rows that a gradient has, for tables of which a batch uses few.

    For those, with :math:`m = m + (1-\beta_1)(g - m),\ v = v + (1-\beta_2)(g^2 - v)`:

    .. math:: w = w - \eta\,\frac{\sqrt{1-\beta_2^t}}{1-\beta_1^t}\,\frac{m}{\sqrt{v} + \epsilon}

    The other rows stay what they are, their m and v too, which in Adam would fade. t counts the
    steps of the whole table. Epsilon is not corrected for the bias of v: it weighs more than Adam's
    in the first steps.

    Args:
        params: parameters or groups; their gradients must be of few rows, as
            ``Embedding(sparse=True)`` gives them.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        maximize: go up instead of down.

    Raises:
        ValueError: for a value out of range.
        RuntimeError: in a step, for a gradient that is an array.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html;
    Kingma and Ba 2015, https://arxiv.org/abs/1412.6980
    """

    _ranges = at_least_0(lr=ABOVE_0, eps=ABOVE_0, betas=(BELOW_1, BELOW_1))
    _state_names = state_names("step", "exp_avg", "exp_avg_sq")
    _gradients = "sparse"
    _counter = int

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float, m: Array, v: Array) -> None:
        beta1, beta2 = group["betas"]
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g * g - v)
        step = group["lr"] * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        w -= step * m / (np.sqrt(v) + group["eps"])
