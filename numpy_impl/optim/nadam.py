"""NAdam."""

from typing import Any

import numpy as np

from numpy_impl.optim.averages import average_square_in_place, lerp_in_place
from numpy_impl.optim.declare import BELOW_1, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options
from numpy_impl.tensor.tensor import Tensor


class NAdam(Optimizer):
    r"""Adam that looks ahead, as Nesterov: :math:`w = w - \eta\,\hat m/(\sqrt{\hat v}+\epsilon)`.

    With :math:`m = \beta_1 m + (1-\beta_1) g,\ v = \beta_2 v + (1-\beta_2) g^2,\
    \hat v = v / (1-\beta_2^t)`, a momentum that grows with t,
    :math:`\mu_t = \beta_1 (1 - \frac12 0.96^{t\psi})`, and with
    :math:`\Pi_t = \mu_1 \cdots \mu_t`
    :math:`\hat m = \mu_{t+1} m / (1 - \Pi_{t+1}) + (1-\mu_t) g / (1 - \Pi_t)`.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        betas: :math:`\beta_1, \beta_2`, each in [0, 1).
        eps: :math:`\epsilon`.
        weight_decay: L2, added to the gradient.
        momentum_decay: :math:`\psi`.
        decoupled_weight_decay: shrink w by ``lr * weight_decay`` instead (NAdamW).
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.
        capturable, differentiable: must be False.

    Raises:
        ValueError: for a value out of range.

    The product is kept in float32, as in torch. A state that torch loads has it in the parameter's
    dtype: there a float64 run that is resumed differs from the uninterrupted one, here it does not.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.NAdam.html;
    Dozat 2016, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """

    _ranges = at_least_0("lr", "eps", "weight_decay", "momentum_decay", betas=(BELOW_1, BELOW_1))
    _state_names = state_names("step", "mu_product", "exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _start(self, name: str, w: Array, group: Options) -> Array | np.generic:
        return np.float32(1) if name == "mu_product" else np.zeros_like(w)

    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        super()._update(param, group, state)
        state["mu_product"] *= np.float32(_momentum(float(state["step"]), group))

    def _rule(
        self, w: Array, g: Array, group: Options, t: float, past: Any, m: Array, v: Array
    ) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        mu, next_mu = _momentum(t, group), _momentum(t + 1, group)
        product = float(past * np.float32(mu))
        lerp_in_place(m, g, 1 - beta1)
        average_square_in_place(v, g, beta2)
        root = v / (1 - beta2**t)
        np.sqrt(root, out=root)
        root += group["eps"]
        step = lr * (1 - mu) / (1 - product) * g
        step /= root
        w -= step
        np.multiply(lr * next_mu / (1 - product * next_mu), m, out=step)
        step /= root
        w -= step


def _momentum(t: float, group: Options) -> float:
    return float(group["betas"][0] * (1 - 0.5 * 0.96 ** (t * group["momentum_decay"])))
