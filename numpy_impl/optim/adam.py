"""Adam."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_impl.optim.optimizer import (
    Optimizer,
    check_at_least_0,
    laid_out_like,
    lerp_in_place,
    refuse,
    update_in_place,
)
from numpy_impl.tensor.tensor import Tensor


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

    _state_arrays = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    _state_needs = ("step", "exp_avg", "exp_avg_sq")

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
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_at_least_0(options, "lr", "eps", "weight_decay")
        if np.shape(options["betas"]) != (2,):
            raise ValueError(f"betas must be two numbers, got {options['betas']!r}")
        for i, beta in enumerate(options["betas"]):
            if not 0 <= beta < 1:
                raise ValueError(f"betas[{i}] must lie in [0, 1), got {beta}")
        refuse(options, "capturable", "differentiable")

    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        (beta1, beta2), lr, decay = group["betas"], group["lr"], group["weight_decay"]
        if not state:
            state["step"] = np.float32(0)
            state["exp_avg"] = np.zeros_like(param.data)
            state["exp_avg_sq"] = np.zeros_like(param.data)
            if group["amsgrad"]:
                state["max_exp_avg_sq"] = np.zeros_like(param.data)
        t = np.asarray(state["step"]).item() + 1  # a file may have made an array of it
        state["step"] = np.float32(t)
        one = param.data.dtype.type
        weight1, weight2, step_size = one(1 - beta1), one(1 - beta2), one(lr / (1 - beta1**t))
        root = math.sqrt(1 - beta2**t)
        assert param.grad is not None
        grad = laid_out_like(param.grad, param.data)
        largest = state["max_exp_avg_sq"] if group["amsgrad"] else state["exp_avg_sq"]
        arrays = (param.data, grad, state["exp_avg"], state["exp_avg_sq"], largest)

        def update(
            w: np.ndarray, g: np.ndarray, m: np.ndarray, v: np.ndarray, top: np.ndarray
        ) -> None:
            if group["maximize"]:
                g = -g
            if decay != 0 and group["decoupled_weight_decay"]:
                w *= 1 - lr * decay
            elif decay != 0:
                g = g + decay * w
            lerp_in_place(m, g, weight1)
            v *= beta2
            v += (weight2 * g) * g  # torch's order, in which g * g can't overflow alone
            if group["amsgrad"]:
                np.maximum(top, v, out=top)
            denominator = np.sqrt(top)
            denominator /= root
            denominator += group["eps"]
            w -= (step_size * m) / denominator

        update_in_place(update, *arrays)
