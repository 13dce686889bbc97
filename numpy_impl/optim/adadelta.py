"""Adadelta."""

from typing import Any

import numpy as np

from numpy_impl.optim.averages import average_square_in_place
from numpy_impl.optim.declare import AT_MOST_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class Adadelta(Optimizer):
    r"""Steps of the size of recent steps: :math:`w = w - \eta\,\Delta`.

    With :math:`s = \rho s + (1-\rho) g^2,\ \Delta = g \sqrt{u + \epsilon} / \sqrt{s + \epsilon},\
    u = \rho u + (1-\rho) \Delta^2`; epsilon stands inside the roots, and makes the first steps.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`; 1 in the paper.
        rho: :math:`\rho`, in [0, 1].
        eps: :math:`\epsilon`.
        weight_decay: L2, added to the gradient.
        foreach: torch's hint on speed; accepted, without effect on the result.
        capturable, differentiable: must be False.
        maximize: go up instead of down.

    Raises:
        ValueError: for a value out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Adadelta.html;
    Zeiler 2012, https://arxiv.org/abs/1212.5701
    """

    _ranges = at_least_0("lr", "eps", "weight_decay", rho=AT_MOST_1)
    _state_names = state_names("step", "square_avg", "acc_delta")

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float, s: Array, u: Array) -> None:
        average_square_in_place(s, g, group["rho"])
        root = s + group["eps"]
        np.sqrt(root, out=root)
        delta = u + group["eps"]
        np.sqrt(delta, out=delta)
        delta /= root
        delta *= g
        average_square_in_place(u, delta, group["rho"])
        delta *= group["lr"]
        w -= delta
