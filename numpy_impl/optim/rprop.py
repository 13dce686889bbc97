"""Rprop."""

from typing import Any

import numpy as np

from numpy_impl.optim.declare import Range, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options

_SHRINKING = Range("lie in (0, 1)", lambda value: 0 < value < 1)
_GROWING = Range("be above 1", lambda value: value > 1)


class Rprop(Optimizer):
    r"""Resilient backpropagation, by signs alone: :math:`w = w - d\,\operatorname{sign}(g)`.

    Each weight has a step size d, at first :math:`\eta`. Where the gradient has the sign of the
    last step's, :math:`d = \min(\eta_+ d, d_{max})`; where the sign has changed,
    :math:`d = \max(\eta_- d, d_{min})` and g = 0, so that w waits a step; d is kept where one of
    the two gradients is 0, but for these bounds. For whole batches: a sign must mean something.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`.
        etas: :math:`\eta_-` in (0, 1) and :math:`\eta_+` above 1.
        step_sizes: :math:`d_{min}, d_{max}`.
        capturable, differentiable: must be False.
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.

    Raises:
        ValueError: for a value out of range.

    As in torch, NaN has no sign: a weight whose gradient is NaN stays as it is.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Rprop.html;
    Riedmiller and Braun 1993, https://doi.org/10.1109/ICNN.1993.298623
    """

    _ranges = at_least_0("lr", etas=(_SHRINKING, _GROWING))
    _state_names = state_names("step", "prev", "step_size")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _start(self, name: str, w: Array, group: Options) -> Array:
        return np.full_like(w, group["lr"] if name == "step_size" else 0)

    def _rule(self, w: Array, g: Array, group: Options, t: float, last: Array, d: Array) -> None:
        shrink, grow = group["etas"]
        product = g * last
        has_turned = product < 0
        np.multiply(d, grow, out=d, where=product > 0)
        np.multiply(d, shrink, out=d, where=has_turned)
        np.clip(d, *group["step_sizes"], out=d)
        last[...] = g
        last[has_turned] = 0
        np.subtract(w, d, out=w, where=last > 0)
        np.add(w, d, out=w, where=last < 0)
