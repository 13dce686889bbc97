"""Losses that are negative log-likelihoods or divergences of distributions:

PoissonNLLLoss, GaussianNLLLoss, KLDivLoss.
"""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.nn.checks import warn
from numpy_impl.nn.loss.base import REDUCTIONS, ElementwiseLoss, PairLoss
from numpy_impl.types import Array


@elementwise
def poisson_nll_loss(
    x: Array, y: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Array:
    """exp(x) - y * x, or x - y * log(x + eps); with ``full`` Stirling's log(y!) for y > 1, too."""
    loss = np.exp(x) - y * x if log_input else x - y * np.log(x + x.dtype.type(eps))
    if full:
        stirling = y * np.log(y) - y + 0.5 * np.log(2 * math.pi * y)
        loss += np.where(y > 1, stirling, 0)
    return loss


@elementwise
def poisson_nll_loss_backward(
    dy: Array, x: Array, y: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Array:
    """dy * (exp(x) - y), or dy * (1 - y / (x + eps))."""
    if log_input:
        return dy * np.exp(x) - dy * y
    return dy - dy * y / (x + x.dtype.type(eps))


@elementwise
def poisson_nll_loss_target_backward(
    dy: Array, x: Array, y: Array, log_input: bool = True, full: bool = False, eps: float = 1e-8
) -> Array:
    """-dy * x, or -dy * log(x + eps); with ``full`` dy * (log(y) + 1 / (2 y)) for y > 1, too."""
    grad = -dy * (x if log_input else np.log(x + x.dtype.type(eps)))
    if full:
        where_full = np.where(y > 1, dy, y.dtype.type(0))
        grad += where_full * np.log(y) + 0.5 * where_full / y
    return grad


class PoissonNLLLoss(ElementwiseLoss):
    r"""Negative log likelihood of counts under Poisson distributions, :math:`e^x - y x` for their
    logarithms x, or :math:`x - y \log(x + \epsilon)` for their means.

    Args:
        log_input: whether the input holds logarithms.
        full: whether to add Stirling's approximation of :math:`\log y!`,
            :math:`y \log y - y + \frac12 \log(2 \pi y)`, for y > 1.
        size_average, reduce: deprecated, as in torch.
        eps: keeps the logarithm from 0, if ``log_input`` is False.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        log_input and target (or integers) that broadcast; the loss is 0-d, or of their common shape
        for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.PoissonNLLLoss.html
    """

    _functions = (poisson_nll_loss, poisson_nll_loss_backward, poisson_nll_loss_target_backward)
    _names, _options = ("log_input", "target"), ("log_input", "full", "eps")

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: Any = None,
        eps: float = 1e-8,
        reduce: Any = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, log_input: Array, target: Array) -> Array:
        return self._forward(log_input, target)


@elementwise
def gaussian_nll_loss(
    x: Array, y: Array, var: Array, full: bool = False, eps: float = 1e-6
) -> Array:
    """(log(v) + (x - y)**2 / v) / 2, v = max(var, eps); with ``full`` log(2 pi) / 2 more."""
    v = np.maximum(var, x.dtype.type(eps))
    difference = x - y
    loss = 0.5 * (np.log(v) + difference * difference / v)
    return loss + 0.5 * math.log(2 * math.pi) if full else loss


@elementwise
def gaussian_nll_loss_backward(
    dy: Array, x: Array, y: Array, var: Array, full: bool = False, eps: float = 1e-6
) -> Array:
    """dy * (x - y) / v."""
    return dy * (x - y) / np.maximum(var, x.dtype.type(eps))


def gaussian_nll_loss_target_backward(
    dy: Array, x: Array, y: Array, var: Array, full: bool = False, eps: float = 1e-6
) -> Array:
    """dy * (y - x) / v."""
    return gaussian_nll_loss_backward(dy, y, x, var, full, eps)


@elementwise
def gaussian_nll_loss_var_backward(
    dy: Array, x: Array, y: Array, var: Array, full: bool = False, eps: float = 1e-6
) -> Array:
    """dy * (1 / v - (x - y)**2 / v**2) / 2, as in torch also where eps holds v up."""
    v = np.maximum(var, x.dtype.type(eps))
    difference = x - y
    return 0.5 * dy * (1 / v - difference * difference / v / v)


class GaussianNLLLoss(ElementwiseLoss):
    r"""Negative log likelihood under normal distributions of mean x and variance v:
    :math:`\frac12 (\log \max(v, \epsilon) + (x - y)^2 / \max(v, \epsilon))`.

    Args:
        full: whether to add the constant :math:`\frac12 \log 2\pi`.
        eps: the smallest variance; smaller ones have the gradient that this one would have.
        reduction: ``"mean"``, ``"sum"`` or ``"none"``.

    Shape:
        input of any shape; a target that broadcasts with it; var of the input's shape, of that with
        one axis of size 1, of that without the last axis, or a float. After a call with arrays,
        backward gives the gradients for input and var (None for a float).

    Raises:
        ValueError: if a variance is negative, or its shape is none of these.
        TypeError: if the dtypes differ.

    Source: Nix and Weigend 1994, https://doi.org/10.1109/ICNN.1994.374138;
    https://pytorch.org/docs/stable/generated/torch.nn.GaussianNLLLoss.html
    """

    _functions = (
        gaussian_nll_loss,
        gaussian_nll_loss_backward,
        gaussian_nll_loss_target_backward,
        gaussian_nll_loss_var_backward,
    )
    _names, _options = ("input", "target", "var"), ("full", "eps")
    _differentiable = (0, 2)

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.full, self.eps = full, eps

    def _checked(self, inputs: tuple[Any, ...]) -> list[Array]:
        input, target, var = inputs
        is_number = isinstance(var, float) and not isinstance(var, np.generic)
        if is_number:
            var = np.asarray(var, getattr(input, "dtype", None))
        x, y, v = super()._checked((input, target, var))
        if (v < 0).any():
            raise ValueError(f"var must not be negative, got {v.min()}")
        if v.shape == x.shape or is_number:
            return [x, y, v]
        if v.shape == x.shape[:-1] and x.ndim:
            return [x, y, v[..., None]]
        if v.ndim != x.ndim or [n for n, m in zip(v.shape, x.shape, strict=True) if n != m] != [1]:
            raise ValueError(
                f"var must have input's shape {x.shape}, with one axis of size 1 or without the "
                f"last axis, got {v.shape}"
            )
        return [x, y, v]

    def forward(self, input: Array, target: Array, var: Array | float) -> Array:
        return self._forward(input, target, var)


def _log(y: Array) -> Array:
    """log(y), and 0 for 0, where y * log(y) is 0."""
    return np.log(np.where(y == 0, y.dtype.type(1), y))


@elementwise
def kl_div(x: Array, y: Array, log_target: bool = False) -> Array:
    """y * log(y) - y * x, the first being 0 for y = 0; or exp(y) * (y - x)."""
    return np.exp(y) * (y - x) if log_target else y * _log(y) - y * x


@elementwise
def kl_div_backward(dy: Array, x: Array, y: Array, log_target: bool = False) -> Array:
    """-dy * y, or -dy * exp(y)."""
    return -dy * (np.exp(y) if log_target else y)


@elementwise
def kl_div_target_backward(dy: Array, x: Array, y: Array, log_target: bool = False) -> Array:
    """dy * (log(y) + 1 - x), or dy * exp(y) * (y - x + 1)."""
    if log_target:
        p = np.exp(y)
        return dy * p + dy * (y - x) * p
    return dy * _log(y) + dy * y / y - dy * x  # y / y: as in torch NaN for 0


class KLDivLoss(PairLoss):
    r"""Kullback-Leibler divergence of the input from the target, :math:`y\,(\log y - x)`, for
    inputs that are log-probabilities.

    ``"mean"`` divides by the number of elements and warns, as in torch: by definition the
    divergence is ``"batchmean"``'s.

    Args:
        size_average, reduce: deprecated, as in torch.
        reduction: ``"mean"``, ``"batchmean"`` (the sum, over the length of the first axis),
            ``"sum"`` or ``"none"``.
        log_target: whether the target holds log-probabilities, too.

    Shape:
        input and target that broadcast; the loss is 0-d, or of their common shape for ``"none"``.

    Raises:
        ValueError: for another reduction, or shapes that do not broadcast.
        TypeError: if the dtypes differ.

    Source: Kullback and Leibler 1951, https://doi.org/10.1214/aoms/1177729694;
    https://pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html
    """

    _functions = (kl_div, kl_div_backward, kl_div_target_backward)
    _options, _integers = ("log_target",), False
    _reductions = (*REDUCTIONS, "batchmean")

    def __init__(
        self,
        size_average: Any = None,
        reduce: Any = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_target = log_target

    def _divisor(self, input: Array, values: Array) -> int:
        if self.reduction == "batchmean":
            return input.shape[0] if input.ndim else 1
        if self.reduction == "mean":
            warn(
                "KLDivLoss: reduction='mean' divides by the number of elements: 'batchmean' is the "
                "divergence"
            )
        return values.size
