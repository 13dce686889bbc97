"""Stochastic gradient descent."""

from typing import Any

from numpy_impl.kernels.elementwise import silently
from numpy_impl.optim.declare import at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options
from numpy_impl.tensor.rows import is_sparse
from numpy_impl.tensor.tensor import Tensor


class SGD(Optimizer):
    r"""Gradient descent with momentum: :math:`v = \mu v + (1 - \tau) g,\; w = w - \eta v`.

    g is the gradient plus ``weight_decay * w`` (its negative with ``maximize``). The first step
    takes v = g: dampening does not apply, nor does the textbook's start from 0. Nesterov steps
    along :math:`g + \mu v`. With gradients of few rows (``Embedding(sparse=True)``) v has few, too:
    those that were used so far.

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
        RuntimeError: for weight_decay or fused with a gradient of few rows; for an array where the
            momentum has few rows, or nesterov the other way round.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.SGD.html;
    Sutskever et al. 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """

    _ranges = at_least_0("lr", "momentum", "weight_decay")
    _state_names = state_names(momentum_buffer="momentum")
    _gradients = "either"

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

    @silently
    def _update(self, param: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        """One step of one parameter; here alone if the gradient or the momentum has few rows."""
        g: Any = param._grad
        momentum, v = group["momentum"], state.get("momentum_buffer")
        if momentum == 0 or not (is_sparse(g) or is_sparse(v)):
            super()._update(param, group, state)
            return
        is_mixed = v is not None and is_sparse(v) is not is_sparse(g)
        if is_mixed and (is_sparse(v) or group["nesterov"]):
            kinds = ["an array", "one of few rows"]
            raise RuntimeError(
                f"the gradient is {kinds[is_sparse(g)]}, the momentum is {kinds[is_sparse(v)]}: "
                "both must be of one kind"
            )
        g = -g if group["maximize"] else g
        if v is None:
            v = g.coalesce().clone()
        else:
            v *= momentum
            v += (1 - group["dampening"]) * g
        state["momentum_buffer"] = v = v.coalesce() if is_sparse(v) else v
        param._data -= group["lr"] * (g + momentum * v if group["nesterov"] else v)

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
