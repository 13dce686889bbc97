"""Losses of the difference of input and target: L1Loss, MSELoss, SmoothL1Loss, HuberLoss.

Both count alike: the gradient for the target is that for the input with the two swapped.
"""

from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.nn.loss.base import PairLoss, swapped
from numpy_impl.types import Array


@elementwise
def l1_loss(x: Array, y: Array) -> Array:
    """abs(x - y)."""
    return np.abs(x - y)


@elementwise
def l1_loss_backward(dy: Array, x: Array, y: Array) -> Array:
    """dy * sign(x - y), which as in torch is 0 for 0 and for NaN."""
    sign = np.greater(x, y).astype(x.dtype)
    sign -= np.less(x, y)
    return sign * dy


class L1Loss(PairLoss):
    r"""Mean absolute error, :math:`|x - y|`; derivative :math:`\mathrm{sign}(x - y)`, 0 at 0.

    A target that is a Tensor and requires a gradient gets one; an array is constant.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input and target of one shape (others are broadcast with a warning, as in torch); the loss
        is 0-d, or of that shape for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.L1Loss.html
    """

    _functions = (l1_loss, l1_loss_backward, swapped(l1_loss_backward))
    _shapes = "warned"


@elementwise
def mse_loss(x: Array, y: Array) -> Array:
    """(x - y)**2."""
    difference = x - y
    return difference * difference


@elementwise
def mse_loss_backward(dy: Array, x: Array, y: Array) -> Array:
    """2 * (x - y) * dy."""
    return (x - y) * (2 * dy)


class MSELoss(PairLoss):
    r"""Mean squared error, :math:`(x - y)^2`, averaged over all elements.

    A target that is a Tensor and requires a gradient gets one; an array is constant.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input and target of one shape (others are broadcast with a warning, as in torch);
        the loss is 0-d, or of that shape for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MSELoss.html
    """

    _functions = (mse_loss, mse_loss_backward, swapped(mse_loss_backward))
    _shapes = "warned"


@elementwise
def huber_loss(x: Array, y: Array, delta: float = 1.0) -> Array:
    """(x - y)**2 / 2 up to delta, from there on delta * (abs(x - y) - delta / 2)."""
    size = np.asarray(x - y)
    np.abs(size, out=size)
    held = size.clip(None, delta)
    size -= held * 0.5
    size *= held
    return size


@elementwise
def huber_loss_backward(dy: Array, x: Array, y: Array, delta: float = 1.0) -> Array:
    """dy * (x - y), the difference held between -delta and delta."""
    held = np.asarray(x - y)
    held.clip(-delta, delta, out=held)
    held *= dy
    return held


class HuberLoss(PairLoss):
    r""":math:`\frac12 (x - y)^2` for differences up to :math:`\delta`,
    :math:`\delta\,(|x - y| - \frac12\delta)` for larger ones; derivative: the difference, held
    between :math:`-\delta` and :math:`\delta`.

    Args:
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        delta: where the parabola goes over into a straight line.

    Shape:
        as for L1Loss.

    Raises:
        ValueError: unless delta is positive; for another reduction or shapes that do not broadcast.
        TypeError: if delta is no number, or the dtypes differ.

    Source: Huber 1964, https://doi.org/10.1214/aoms/1177703732;
    https://pytorch.org/docs/stable/generated/torch.nn.HuberLoss.html
    """

    _functions = (huber_loss, huber_loss_backward, swapped(huber_loss_backward))
    _options = ("delta",)
    _shapes, _integers = "warned", False

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        if not isinstance(delta, int | float):
            raise TypeError(f"delta must be a number, got {delta!r}")
        if not delta > 0:
            raise ValueError(f"delta must be positive, got {delta}")
        self.delta = delta


@elementwise
def smooth_l1_loss(x: Array, y: Array, beta: float = 1.0) -> Array:
    """(x - y)**2 / (2 beta) up to beta, from there on abs(x - y) - beta / 2."""
    size = np.asarray(x - y)
    np.abs(size, out=size)
    if beta == 0:
        return size
    held = size.clip(None, beta)
    size -= held * 0.5
    if beta != 1:
        held /= beta
    size *= held
    return size


@elementwise
def smooth_l1_loss_backward(dy: Array, x: Array, y: Array, beta: float = 1.0) -> Array:
    """dy * (x - y) / beta, the quotient held between -1 and 1."""
    if beta == 0:
        return l1_loss_backward(dy, x, y)
    held = np.asarray(x - y)
    if beta != 1:
        held /= beta
    held.clip(-1, 1, out=held)
    held *= dy
    return held


class SmoothL1Loss(PairLoss):
    r"""HuberLoss over its threshold: :math:`\frac12 (x - y)^2 / \beta` for differences up to
    :math:`\beta`, :math:`|x - y| - \frac12\beta` for larger ones.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.
        beta: where the parabola goes over into a straight line; 0 gives L1Loss.

    Shape:
        as for L1Loss.

    Raises:
        ValueError: if beta is negative; for another reduction or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: Girshick 2015, https://arxiv.org/abs/1504.08083;
    https://pytorch.org/docs/stable/generated/torch.nn.SmoothL1Loss.html
    """

    _functions = (smooth_l1_loss, smooth_l1_loss_backward, swapped(smooth_l1_loss_backward))
    _options = ("beta",)
    _shapes = "warned"

    def __init__(
        self,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if beta < 0:
            raise ValueError(f"beta must not be negative, got {beta}")
        self.beta = beta
