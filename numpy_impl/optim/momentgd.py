"""The lab's heavy ball."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_impl.optim.optimizer import (
    Optimizer,
    check_at_least_0,
    laid_out_like,
    scalars,
    update_in_place,
)
from numpy_impl.tensor.tensor import Tensor


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

    _state_arrays = ("velocity",)
    _state_needs = ("step", "velocity")

    def __init__(
        self,
        params: Any,
        lr: float = 0.01,
        mu: float = 0.9,
        lr_decay: float = 1.0,
        mu_decay: float = 1.0,
    ) -> None:
        defaults = {"lr": lr, "mu": mu, "lr_decay": lr_decay, "mu_decay": mu_decay}
        super().__init__(params, defaults)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_at_least_0(options, "lr", "mu", "lr_decay", "mu_decay")

    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        if not state:
            state["step"], state["velocity"] = 0, np.zeros_like(param.data)
        t = np.asarray(state["step"]).item()  # a file may have made an array of it
        lr, mu = scalars(
            param.data.dtype,
            group["lr"] * group["lr_decay"] ** t,
            group["mu"] * group["mu_decay"] ** t,
        )
        assert param.grad is not None
        grad = laid_out_like(param.grad, param.data)

        def update(w: np.ndarray, g: np.ndarray, v: np.ndarray) -> None:
            v *= mu
            v -= lr * g
            w += v

        update_in_place(update, param.data, grad, state["velocity"])
        state["step"] = t + 1
