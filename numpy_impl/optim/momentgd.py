"""The lab's heavy ball."""

from typing import Any

from numpy_impl.optim.declare import at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class MomentGD(Optimizer):
    r"""Heavy ball: :math:`v = \mu_t v - \eta_t g,\; w = w + v`.

    With :math:`\eta_t = \eta\,d_\eta^t,\ \mu_t = \mu\,d_\mu^t` and t = 0 at the first step. Unlike
    SGD's buffer, v holds the learning rate: when that changes, the past keeps its own.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        mu: :math:`\mu`.
        lr_decay: :math:`d_\eta`, per step.
        mu_decay: :math:`d_\mu`, per step.

    Raises:
        ValueError: for a negative value.

    Source: Polyak 1964, https://doi.org/10.1016/0041-5553(64)90137-5; PyTorch has no such
    optimizer, the twin is written as a ``torch.optim.Optimizer``
    """

    _ranges = at_least_0("lr", "mu", "lr_decay", "mu_decay")
    _state_names = state_names("step", "velocity")

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        mu: float = 0.9,
        lr_decay: float = 1.0,
        mu_decay: float = 1.0,
    ) -> None:
        super().__init__(params, locals())

    def _rule(self, w: Array, g: Array, group: Options, t: float, v: Array) -> None:
        v *= group["mu"] * group["mu_decay"] ** (t - 1)
        v -= group["lr"] * group["lr_decay"] ** (t - 1) * g
        w += v
