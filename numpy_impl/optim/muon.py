"""Muon."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_impl.kernels.pieces import whole
from numpy_impl.optim.averages import lerp_in_place
from numpy_impl.optim.declare import ANY, Range, at_least_0, state_names
from numpy_impl.optim.optimizer import Array, Optimizer, Options

_RATES = (None, "original", "match_rms_adamw")


class Muon(Optimizer):
    r"""Momentum made orthogonal, for matrices: :math:`w = w - \eta\lambda w - \eta' O`.

    With :math:`B = \mu B + (1-\mu) g` and, with ``nesterov``, :math:`\tilde B = \mu B + (1-\mu) g`
    again, O has the singular vectors of :math:`\tilde B`, and singular values near 1: they are the
    ones of :math:`X = \tilde B / |\tilde B|` after ``ns_steps`` iterations of Newton and Schulz::

        A = X X^T;  X = a X + (b A + c A^2) X

    For a matrix of n rows, m columns :math:`\eta' = \eta \sqrt{\max(1, n/m)}`, or with
    ``"match_rms_adamw"`` :math:`0.2\,\eta\sqrt{\max(n, m)}`, so that AdamW's rates will do.

    Args:
        params: matrices, or groups of them; the rest of a model is for another optimizer.
        lr: :math:`\eta`.
        weight_decay: :math:`\lambda`.
        momentum: :math:`\mu`.
        nesterov: look ahead.
        ns_coefficients: a, b, c.
        eps: the least norm to divide by.
        ns_steps: iterations, below 100.
        adjust_lr_fn: ``"original"``, the same as None, or ``"match_rms_adamw"``.

    Raises:
        ValueError: for a parameter that is no matrix, or a value out of range.

    As torch's, the iteration is one of bfloat16: matrices of 8 bits, products summed in float32.
    Those sums' order decides how some of them round: O is torch's bit for bit where an axis is
    short, and else within a few roundings of its 8 bits.

    Source: https://pytorch.org/docs/stable/generated/torch.optim.Muon.html;
    Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/;
    Liu et al. 2025 (match_rms_adamw), https://arxiv.org/abs/2502.16982
    """

    _ranges = at_least_0(
        "lr",
        "weight_decay",
        "momentum",
        ns_coefficients=(ANY,) * 3,
        ns_steps=Range("be below 100", lambda value: value < 100),
        adjust_lr_fn=Range(f"be one of {_RATES}", lambda value: value in _RATES),
    )
    _state_names = state_names("momentum_buffer")
    _decay = "decoupled"
    _pieces = staticmethod(whole)

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
    ) -> None:
        super().__init__(params, locals())

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """As of any optimizer; of matrices alone."""
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            if param.ndim != 2:
                self.param_groups.pop()
                raise ValueError(f"params must be 2-d for Muon, got shape {param.shape}")

    def _rule(self, w: Array, g: Array, group: Options, t: float, b: Array) -> None:
        lerp_in_place(b, g, 1 - group["momentum"])
        if group["nesterov"]:
            g = g.copy()
            lerp_in_place(g, b, group["momentum"])
        else:
            g = b
        o = orthogonalize(g, group["ns_coefficients"], group["ns_steps"], group["eps"])
        n, m = w.shape
        ratio = math.sqrt(max(1, n / m))
        if group["adjust_lr_fn"] == "match_rms_adamw":
            ratio = 0.2 * math.sqrt(max(n, m))
        w -= group["lr"] * ratio * o.astype(w.dtype, copy=False)


def orthogonalize(
    matrix: Array, coefficients: tuple[float, float, float], steps: int, eps: float
) -> Array:
    """The nearest matrix with singular values near 1, by Newton and Schulz, in bfloat16.

    The values are bfloat16's, the dtype is float32.
    """
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = as_bfloat16(matrix.T if is_tall else matrix)
    x = as_bfloat16(x / as_bfloat16(np.maximum(as_bfloat16(np.sqrt(np.vdot(x, x))), eps)))
    for _ in range(steps):
        gram = as_bfloat16(x @ x.T)
        polynomial = as_bfloat16(b * gram + c * (gram @ gram))
        x = as_bfloat16(a * x + polynomial @ x)
    return x.T if is_tall else x


def as_bfloat16(values: Any) -> Array:
    """Float32 rounded to the nearest of 8 bits, the even one of two: bfloat16."""
    rounded = np.array(values, np.float32, order="C")
    is_nan = np.isnan(rounded)
    bits = rounded.view(np.uint32)
    bits += ((bits >> 16) & 1) + np.uint32(0x7FFF)
    bits &= np.uint32(0xFFFF0000)
    rounded[is_nan] = np.nan
    return rounded
