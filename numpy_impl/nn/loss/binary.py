"""Losses for two classes, yes or no: BCELoss, BCEWithLogitsLoss, SoftMarginLoss,
MultiLabelSoftMarginLoss.
"""

from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.kernels.special import log_logistic, logistic
from numpy_impl.nn.loss.base import EPSILON, ElementwiseLoss, PairLoss, broadcast_buffer
from numpy_impl.types import Array


@elementwise
def bce_loss(x: Array, y: Array) -> Array:
    """-y * log(x) - (1 - y) * log(1 - x), the logarithms at least -100."""
    loss = y - 1
    loss *= np.maximum(np.log1p(-x), -100)
    loss -= y * np.maximum(np.log(x), -100)
    return loss


@elementwise
def bce_loss_backward(dy: Array, x: Array, y: Array) -> Array:
    """dy * (x - y) / (x * (1 - x)), the denominator at least 1e-12."""
    return dy * (x - y) / np.maximum((1 - x) * x, x.dtype.type(EPSILON))


@elementwise
def bce_loss_target_backward(dy: Array, x: Array, y: Array) -> Array:
    """dy * (log(1 - x) - log(x)), as in torch without bounds."""
    return dy * (np.log(1 - x) - np.log(x))


class BCELoss(PairLoss):
    r"""Binary cross entropy, :math:`-w\,(y \log x + (1 - y) \log(1 - x))`, of probabilities.

    The logarithms are at least -100, and the derivative's denominator :math:`x (1 - x)` at least
    1e-12: probabilities of 0 and 1 give finite numbers.

    Args:
        weight: of each element; broadcasts to the input.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"`` (over all elements, whatever their weights), ``"sum"`` or ``"none"``.

    Shape:
        input and target of one shape; the loss is 0-d, or of that shape for ``"none"``.

    Raises:
        ValueError: for values outside [0, 1], shapes that differ, or a weight that does not fit.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.BCELoss.html
    """

    _functions = (bce_loss, bce_loss_backward, bce_loss_target_backward)
    _shapes, _integers = "equal", False

    def __init__(
        self,
        weight: Array | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def _checked(self, inputs: tuple[Any, ...]) -> list[Array]:
        arrays = super()._checked(inputs)
        for name, values in zip(self._names, arrays, strict=True):
            # the extremes are NaN if anything is
            if values.size and not 0 <= values.min() <= values.max() <= 1:
                raise ValueError(
                    f"{name} must hold values between 0 and 1, got {values.min()} to {values.max()}"
                )
        return arrays


@elementwise
def bce_with_logits(x: Array, y: Array, pos_weight: Array | None) -> Array:
    """(1 - y) * x - (1 + (p - 1) * y) * log(sigmoid(x)); p = 1 for None."""
    log_p = log_logistic(x)
    if pos_weight is not None:
        log_p *= (pos_weight - 1) * y + 1
    return (1 - y) * x - log_p


@elementwise
def bce_with_logits_backward(dy: Array, x: Array, y: Array, pos_weight: Array | None) -> Array:
    """dy * ((1 + (p - 1) * y) * sigmoid(x) - p * y)."""
    if pos_weight is None:
        return (logistic(x) - y) * dy
    positive = pos_weight * y
    return ((positive + 1 - y) * logistic(x) - positive) * dy


@elementwise
def bce_with_logits_target_backward(
    dy: Array, x: Array, y: Array, pos_weight: Array | None
) -> Array:
    """dy * (log(sigmoid(-x)) - p * log(sigmoid(x))), which is -dy * x for p = 1."""
    if pos_weight is None:
        return -x * dy
    return (log_logistic(-x) - pos_weight * log_logistic(x)) * dy


class BCEWithLogitsLoss(ElementwiseLoss):
    r"""Sigmoid and binary cross entropy, without forming the probabilities:
    :math:`-w\,(p\,y \log \sigma(x) + (1 - y) \log \sigma(-x))`.

    Args:
        weight: w, of each element; broadcasts to the input.
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"`` (over all elements, whatever their weights), ``"sum"`` or ``"none"``.
        pos_weight: p, of the positive part; broadcasts to the input.

    Shape:
        input and target of one shape; the loss is 0-d, or of that shape for ``"none"``.

    Raises:
        ValueError: for shapes that differ, or a weight that does not fit.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html
    """

    _functions = (bce_with_logits, bce_with_logits_backward, bce_with_logits_target_backward)
    _shapes, _integers = "equal", False

    def __init__(
        self,
        weight: Array | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        pos_weight: Array | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def _constants(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array | None, ...]:
        return (broadcast_buffer(self, "pos_weight", shape, dtype),)

    def forward(self, input: Array, target: Array) -> Array:
        return self._forward(input, target)


@elementwise
def soft_margin_loss(x: Array, y: Array) -> Array:
    """log(1 + exp(-y * x)), infinite where the exponential overflows."""
    return np.log1p(np.exp(-x * y))


@elementwise
def soft_margin_loss_backward(dy: Array, x: Array, y: Array) -> Array:
    """-dy * y * e / (1 + e), e = exp(-y * x); as in torch NaN where that overflows."""
    e = np.exp(-x * y)
    return -y * e / (1 + e) * dy


class SoftMarginLoss(PairLoss):
    r"""Logistic loss, :math:`\log(1 + e^{-y x})`, of targets 1 and -1.

    As in torch, the exponential is formed: where it overflows the loss is infinite and its
    gradient NaN. BCEWithLogitsLoss has targets 0 and 1 and no such bound.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input of any shape; a target (of integers, too) that broadcasts to it, a constant; the loss
        is 0-d, or of the input's shape for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not fit.
        TypeError: if the dtypes differ.
        RuntimeError: in backward, if the target requires a gradient.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.SoftMarginLoss.html
    """

    _functions = (soft_margin_loss, soft_margin_loss_backward)
    _shapes = "input's"


@elementwise
def multilabel_soft_margin_loss(x: Array, y: Array) -> Array:
    """-y * log(sigmoid(x)) - (1 - y) * log(sigmoid(-x))."""
    return -(y * log_logistic(x) + (1 - y) * log_logistic(-x))


@elementwise
def multilabel_soft_margin_loss_backward(dy: Array, x: Array, y: Array) -> Array:
    """dy * ((1 - y) * sigmoid(x) - y * sigmoid(-x))."""
    return dy * ((1 - y) * logistic(x) - y * logistic(-x))


@elementwise
def multilabel_soft_margin_loss_target_backward(dy: Array, x: Array, y: Array) -> Array:
    """dy * (log(sigmoid(-x)) - log(sigmoid(x)))."""
    return dy * (log_logistic(-x) - log_logistic(x))


class MultiLabelSoftMarginLoss(PairLoss):
    r"""Binary cross entropy of logits, averaged over the classes of each row:
    :math:`-\frac1C \sum_c w_c\,(y_c \log \sigma(x_c) + (1 - y_c) \log \sigma(-x_c))`.

    Args:
        weight: (C,), of each class; a constant (but not of the function in ``functional``).
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input (..., C); a target (of integers, too) that broadcasts with it; the loss is 0-d, or
        (...) for ``"none"``.

    Raises:
        ValueError: for another reduction, shapes that do not fit, or an input without an axis.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MultiLabelSoftMarginLoss.html
    """

    _functions = (
        multilabel_soft_margin_loss,
        multilabel_soft_margin_loss_backward,
        multilabel_soft_margin_loss_target_backward,
    )

    def __init__(
        self,
        weight: Array | None = None,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def _checked(self, inputs: tuple[Any, ...]) -> list[Array]:
        arrays = super()._checked(inputs)
        if not arrays[0].ndim:
            raise ValueError("input must have a class axis, got shape ()")
        return arrays

    def _combined(self, values: Array) -> Array:
        return np.asarray(values.sum(-1) / values.dtype.type(values.shape[-1]))

    def _spread(self, grad: Array, values_shape: tuple[int, ...]) -> Array:
        return np.broadcast_to(grad[..., None] / grad.dtype.type(values_shape[-1]), values_shape)
