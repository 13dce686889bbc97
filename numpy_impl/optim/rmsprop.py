"""RMSprop."""

from typing import Any

import numpy as np

from numpy_impl.optim.averages import average_square_in_place, lerp_in_place
from numpy_impl.optim.declare import at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options


class RMSprop(Optimizer):
    r"""The gradient by its recent size: :math:`w = w - \eta\, g / (\sqrt{s} + \epsilon)`.

    With :math:`s = \alpha s + (1-\alpha) g^2`; epsilon stands outside the root. ``centered`` takes
    the variance :math:`s - \bar g^2` for s, with :math:`\bar g = \alpha \bar g + (1-\alpha) g`.
    With ``momentum`` :math:`\mu` the quotient goes into :math:`b = \mu b + g/(\sqrt{s}+\epsilon)`,
    and :math:`w = w - \eta b`.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        alpha: :math:`\alpha`.
        eps: :math:`\epsilon`.
        weight_decay: L2, added to the gradient.
        momentum: :math:`\mu`.
        centered: divide by the standard deviation.
        capturable, differentiable: must be False.
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.

    Raises:
        ValueError: for a negative value.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.RMSprop.html;
    Hinton 2012, https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf;
    Graves 2013 (centered), https://arxiv.org/abs/1308.0850
    """

    _ranges = at_least_0("lr", "alpha", "eps", "weight_decay", "momentum")
    _state_names = state_names(
        "step", "square_avg", momentum_buffer="momentum", grad_avg="centered"
    )

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _rule(
        self, w: Array, g: Array, group: Options, t: float, s: Array, b: Array, mean: Array
    ) -> None:
        average_square_in_place(s, g, group["alpha"])
        if group["centered"]:
            lerp_in_place(mean, g, 1 - group["alpha"])
            root = mean * mean
            np.sqrt(np.subtract(s, root, out=root), out=root)
        else:
            root = np.sqrt(s)
        root += group["eps"]
        if group["momentum"] > 0:
            b *= group["momentum"]
            b += np.divide(g, root, out=root)
            w -= group["lr"] * b
        else:
            w -= np.divide(group["lr"] * g, root, out=root)
