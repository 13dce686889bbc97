"""AdamW."""

from collections.abc import Mapping
from typing import Any

from numpy_impl.optim.adam import Adam


class AdamW(Adam):
    r"""Adam with weight decay beside the gradient: :math:`w = w - \eta\lambda w`, then Adam's step.

    So the decay of a weight does not depend on the size of its gradients, as it does where
    :math:`\lambda w` is added to them.

    Args:
        params: parameters or groups.
        lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused: Adam's.
        weight_decay: :math:`\lambda`.

    Raises:
        ValueError: for a value out of range.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.AdamW.html;
    Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """As of any optimizer; a state of Adam's goes on as AdamW's, as in torch."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group["decoupled_weight_decay"] = True
