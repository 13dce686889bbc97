"""Stochastic gradient descent."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_impl.optim.optimizer import (
    Optimizer,
    check_at_least_0,
    laid_out_like,
    refuse,
    scalars,
    update_in_place,
)
from numpy_impl.tensor.tensor import Tensor


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

    _state_arrays = ("momentum_buffer",)

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
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check_options(self, options: Mapping[str, Any]) -> None:
        check_at_least_0(options, "lr", "momentum", "weight_decay")
        refuse(options, "differentiable")

    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        lr, momentum, decay, keep = scalars(
            param.data.dtype,
            group["lr"],
            group["momentum"],
            group["weight_decay"],
            1 - group["dampening"],
        )
        assert param.grad is not None
        grad = laid_out_like(param.grad, param.data)
        has_buffer, decays = group["momentum"] != 0, group["weight_decay"] != 0
        first = has_buffer and state.get("momentum_buffer") is None
        if first:
            state["momentum_buffer"] = np.zeros_like(param.data)
        # without momentum the third array is not read
        buffer = state["momentum_buffer"] if has_buffer else grad

        def update(w: np.ndarray, g: np.ndarray, v: np.ndarray) -> None:
            if group["maximize"]:
                g = -g
            if decays:
                g = g + decay * w
            if has_buffer:
                if first:
                    v[...] = g
                else:
                    v *= momentum
                    v += g if group["dampening"] == 0 else keep * g
                g = g + momentum * v if group["nesterov"] else v
            w -= lr * g

        update_in_place(update, param.data, grad, buffer)
