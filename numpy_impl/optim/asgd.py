"""Averaged stochastic gradient descent."""

from typing import Any

import numpy as np

from numpy_impl.optim.declare import at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options
from numpy_impl.tensor.tensor import Tensor


class ASGD(Optimizer):
    r"""Gradient descent that keeps an average: :math:`w = (1 - \lambda \eta_t) w - \eta_t g`.

    The average is :math:`a = a + \mu_t (w - a)`. After the step
    :math:`\eta_{t+1} = \eta / (1 + \lambda \eta t)^\alpha` and
    :math:`\mu_{t+1} = 1 / \max(1, t - t_0)`: up to :math:`t_0` the average is w itself. It is
    kept beside w, as ``ax`` in the state, and the model goes on with w.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        lambd: :math:`\lambda`.
        alpha: :math:`\alpha`.
        t0: :math:`t_0`.
        weight_decay: L2, added to the gradient.
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.
        differentiable, capturable: must be False.

    Raises:
        ValueError: for a negative lr or weight_decay.

    :math:`\eta_t` and :math:`\mu_t` are kept in float32, as in torch. A state that torch loads has
    them in the parameter's dtype; here a resumed run is the uninterrupted one either way.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.ASGD.html;
    Polyak and Juditsky 1992, https://doi.org/10.1137/0330046
    """

    _ranges = at_least_0("lr", "weight_decay")
    _state_names = state_names("step", "eta", "mu", "ax")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _start(self, name: str, w: Array, group: Options) -> Array | np.generic:
        numbers = {"eta": group["lr"], "mu": 1}
        return np.float32(numbers[name]) if name in numbers else np.zeros_like(w)

    def _rule(
        self, w: Array, g: Array, group: Options, t: float, eta: Any, mu: Any, a: Array
    ) -> None:
        eta, mu = float(eta), float(mu)
        w *= 1 - group["lambd"] * eta
        w -= eta * g
        if mu == 1:
            a[...] = w
        else:
            step = w - a
            step *= mu
            a += step

    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        super()._update(param, group, state)
        lr, t = group["lr"], float(state["step"])
        state["eta"] = np.float32(lr / (1 + group["lambd"] * lr * t) ** group["alpha"])
        state["mu"] = np.float32(1 / max(1, t - group["t0"]))
