"""Stochastic gradient descent."""

from typing import Any

from numpy_impl.optim.declare import at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class SGD(Optimizer):
    r"""Gradient descent with momentum: :math:`v = \mu v + (1 - \tau) g,\; w = w - \eta v`.

    g is the gradient plus ``weight_decay * w`` (its negative with ``maximize``). The first step
    takes v = g: dampening does not apply, nor does the textbook's start from 0. Nesterov steps
    along :math:`g + \mu v`.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        momentum: :math:`\mu`.
        dampening: :math:`\tau`.
        weight_decay: L2, coupled: added to the gradient.
        nesterov: look ahead; needs momentum and no dampening.
        maximize: go up instead of down.
        foreach, fused: torch's hints on speed; accepted, without effect on the result.
        differentiable: must be False.

    Raises:
        ValueError: for a negative lr, momentum or weight_decay, or an impossible combination.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.SGD.html;
    Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """

    _ranges = at_least_0("lr", "momentum", "weight_decay")
    _state_names = state_names(momentum_buffer="momentum")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                "nesterov needs momentum above 0 and dampening 0, "
                f"got momentum={momentum}, dampening={dampening}"
            )
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float, v: Array) -> None:
        momentum, dampening = group["momentum"], group["dampening"]
        if momentum != 0:
            if t == 1:
                v[...] = g
            else:
                v *= momentum
                v += g if dampening == 0 else (1 - dampening) * g
            g = g + momentum * v if group["nesterov"] else v
        w -= group["lr"] * g
