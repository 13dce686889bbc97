"""Adafactor."""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels.pieces import whole
from numpy_impl.optim.averages import lerp_in_place
from numpy_impl.optim.declare import AT_LEAST_0, Range, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options

_NONE_OR_AT_LEAST_0 = Range("be None or at least 0", lambda value: value is None or value >= 0)
_AT_MOST_0 = Range("be at most 0", lambda value: value <= 0)
_AT_LEAST_1 = Range("be at least 1", lambda value: value >= 1)


class Adafactor(Optimizer):
    r"""Adaptive steps from one number a row and a column: :math:`w = w - \alpha\,\hat u`.

    With the root mean square :math:`|w|` of a parameter,
    :math:`\alpha = \max(\epsilon_2, |w|) \min(\eta, 1/\sqrt t)`. The squares' averages are kept for
    the rows and the columns of the last two axes, with :math:`\beta = t^\tau`::

        R = R + beta (mean of g^2 over a row - R)
        C = C + beta (mean of g^2 over a column - C)
        V = R C / max(mean of R, eps1)
        u = g / max(sqrt(V), eps1),  u^ = u / max(1, |u| / d)

    A parameter with fewer axes keeps :math:`V = V + \beta (g^2 - V)` itself. Weight decay shrinks
    w by :math:`\eta\lambda w`, before the step and after :math:`|w|` is taken.

    Args:
        params: parameters or groups.
        lr: :math:`\eta`, the largest relative step, 0.01 in the paper.
        beta2_decay: :math:`\tau`, at most 0.
        eps: :math:`\epsilon_1`, the dtype's epsilon if None, and :math:`\epsilon_2`.
        d: where the update is clipped, at least 1.
        weight_decay: :math:`\lambda`.
        foreach: torch's hint on speed; accepted, without effect on the result.
        maximize: go up instead of down.

    Raises:
        ValueError: for a value out of range.

    The paper adds :math:`\epsilon_1` to :math:`g^2`; torch, and this, bound by it. Where a group
    mixes dtypes, torch takes the first parameter's epsilon for all, this each its own.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Adafactor.html;
    Shazeer and Stern 2018, https://arxiv.org/abs/1804.04235
    """

    _ranges = at_least_0(
        "lr",
        "weight_decay",
        beta2_decay=_AT_MOST_0,
        eps=(_NONE_OR_AT_LEAST_0, AT_LEAST_0),
        d=_AT_LEAST_1,
    )
    _state_names = state_names("step", "row_var", "col_var", "variance")
    _decay = "in the formula"
    _pieces = staticmethod(whole)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, locals())

    def _start(self, name: str, w: Array, group: Options) -> Array | None:
        if (name == "variance") is (w.ndim > 1):
            return None
        shapes = {"row_var": (*w.shape[:-1], 1), "col_var": (*w.shape[:-2], 1, *w.shape[-1:])}
        return np.zeros(shapes[name], w.dtype) if name in shapes else np.zeros_like(w)

    def _rule(
        self, w: Array, g: Array, group: Options, t: float, rows: Array, columns: Array, v: Array
    ) -> None:
        lr, beta, (eps1, eps2) = group["lr"], t ** group["beta2_decay"], group["eps"]
        if eps1 is None:
            eps1 = float(np.finfo(w.dtype).eps)
        alpha = max(eps2, _rms(w)) * min(lr, 1 / math.sqrt(t))
        if group["weight_decay"] != 0:
            w *= 1 - lr * group["weight_decay"]
        u = g * g
        if v is None:
            lerp_in_place(rows, u.mean(-1, keepdims=True), beta)
            lerp_in_place(columns, u.mean(-2, keepdims=True), beta)
            np.multiply(rows, columns, out=u)
            u /= np.maximum(rows.mean(-2, keepdims=True), eps1)
        else:
            lerp_in_place(v, u, beta)
            u[...] = v
        np.maximum(u, eps1**2, out=u)
        np.sqrt(u, out=u)
        np.divide(g, u, out=u)
        u *= alpha / max(1.0, _rms(u) / group["d"])
        w -= u


def _rms(values: Array) -> float:
    """The root of the mean square."""
    return float(np.linalg.norm(values)) / math.sqrt(values.size)
