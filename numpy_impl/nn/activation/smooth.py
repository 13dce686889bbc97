"""Activations with an exponential in them: smooth but for the joints of ELU's family.

Formulas and the order of their operations are torch's where an infinity or NaN would tell.
"""

import math
from typing import Literal

import numpy as np

from numpy_impl.kernels.elementwise import curve, elementwise
from numpy_impl.kernels.special import log_logistic, logistic, normal_cdf
from numpy_impl.nn.activation.elementwise import Curve, Elementwise, InPlace
from numpy_impl.types import Array

Approximate = Literal["none", "tanh"]
APPROXIMATIONS = ("none", "tanh")


@curve
def sigmoid(x: Array, y: Array, slope: Array | None) -> None:
    """y = 1 / (1 + exp(-x)), with slope y * (1 - y); where the exponential overflows, 0."""
    logistic(x, y)
    if slope is not None:
        np.subtract(1, y, out=slope)
        slope *= y


class Sigmoid(Curve):
    r""":math:`y = 1 / (1 + e^{-x})`; derivative :math:`y (1 - y)`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html
    """

    _function = sigmoid


@curve
def logsigmoid(x: Array, y: Array, slope: Array | None) -> None:
    """y = log(sigmoid(x)) = min(x, 0) - log(1 + exp(-abs(x))), with slope 1 - exp(y)."""
    log_logistic(x, y)
    if slope is not None:
        np.expm1(y, out=slope)
        np.negative(slope, out=slope)


class LogSigmoid(Curve):
    r""":math:`y = \log \sigma(x) = -\log(1 + e^{-x})`; derivative :math:`\sigma(-x)`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LogSigmoid.html
    """

    _function = logsigmoid


@curve
def silu(x: Array, y: Array, slope: Array | None) -> None:
    """y = x * s, s = sigmoid(x), with slope s * (1 + x * (1 - s)) = s + y * (1 - s)."""
    s = logistic(x)
    np.multiply(x, s, out=y)
    if slope is not None:
        np.subtract(1, s, out=slope)
        slope *= y
        slope += s


class SiLU(InPlace, Curve):
    r""":math:`y = x \sigma(x)`, the swish; derivative :math:`\sigma (1 + x (1 - \sigma))`.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415;
    https://pytorch.org/docs/stable/generated/torch.nn.SiLU.html
    """

    _function = silu


# from here on the hyperbolic tangent below is 1
_ALL_BUT_1 = 20.0


@curve
def mish(x: Array, y: Array, slope: Array | None) -> None:
    """y = x * t, t = tanh(log(1 + e)), e = exp(x), with slope t + x * sigmoid(x) * (1 - t**2).

    t is ((1 + e)**2 - 1) / ((1 + e)**2 + 1), without the cancellation.
    """
    e = np.minimum(x, _ALL_BUT_1)
    np.exp(e, out=e)
    t = e + 2
    t *= e
    t /= t + 2
    np.multiply(x, t, out=y)
    if slope is not None:
        np.multiply(t, t, out=slope)
        np.subtract(1, slope, out=slope)
        slope *= e
        e += 1
        slope /= e
        slope *= x
        slope += t


class Mish(InPlace, Curve):
    r""":math:`y = x \tanh(\log(1 + e^x))`.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Misra 2019, https://arxiv.org/abs/1908.08681;
    https://pytorch.org/docs/stable/generated/torch.nn.Mish.html
    """

    _function = mish


@curve
def softplus(
    x: Array, y: Array, slope: Array | None, beta: float = 1.0, threshold: float = 20.0
) -> None:
    """y = log(1 + e) / beta, e = exp(beta x), with slope e / (1 + e).

    Where beta x > threshold, x with slope 1.
    """
    z = x if beta == 1 else x * beta
    is_line = np.greater(z, threshold)
    e = np.exp(z)
    if slope is not None:
        np.add(e, 1, out=slope)
        np.divide(e, slope, out=slope)
    np.log1p(e, out=y)
    if beta != 1:
        y /= beta
    if is_line.any():
        np.copyto(y, x, where=is_line)
        if slope is not None:
            np.copyto(slope, 1, where=is_line)


class Softplus(Curve):
    r""":math:`y = \log(1 + e^{\beta x}) / \beta`; derivative :math:`\sigma(\beta x)`.

    Args:
        beta: how sharp the bend is.
        threshold: where :math:`\beta x` is larger, y is x.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softplus.html
    """

    _function, _options = softplus, ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold


@elementwise
def softsign(x: Array, out: Array | None = None) -> Array:
    """x / (1 + abs(x))."""
    return np.divide(x, 1 + np.abs(x), out=out)


@elementwise
def softsign_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy / d - dy * abs(x) / d**2 = dy / d**2, d = 1 + abs(x)."""
    size = np.abs(x)
    d = 1 + size
    return np.subtract(dy / d, dy * (size / d / d), out=out)


class Softsign(Elementwise):
    r""":math:`y = x / (1 + |x|)`; derivative :math:`1 / (1 + |x|)^2`.

    As in torch, it has no value (NaN) at infinity.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softsign.html
    """

    _pair = softsign, softsign_backward


@curve
def tanh(x: Array, y: Array, slope: Array | None) -> None:
    """The hyperbolic tangent, with slope 1 - y**2."""
    np.tanh(x, out=y)
    if slope is not None:
        np.multiply(y, y, out=slope)
        np.subtract(1, slope, out=slope)


class Tanh(Curve):
    r""":math:`y = \tanh x`; derivative :math:`1 - y^2`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html
    """

    _function = tanh


@elementwise
def tanhshrink(x: Array, out: Array | None = None) -> Array:
    """x - tanh(x)."""
    return np.subtract(x, np.tanh(x), out=out)


@elementwise
def tanhshrink_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy - dy * (1 - t**2) = dy * t**2, t = tanh(x)."""
    t = np.tanh(x)
    return np.subtract(dy, dy * (1 - t * t), out=out)


class Tanhshrink(Elementwise):
    r""":math:`y = x - \tanh x`; derivative :math:`\tanh^2 x`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Tanhshrink.html
    """

    _pair = tanhshrink, tanhshrink_backward


@curve
def _gelu(x: Array, y: Array, slope: Array | None) -> None:
    """y = x * cdf(x), with slope cdf(x) + x * pdf(x), pdf(x) = exp(-x**2 / 2) / sqrt(2 pi)."""
    cdf = normal_cdf(x)
    np.multiply(x, cdf, out=y)
    if slope is not None:
        np.multiply(x, x, out=slope)
        slope *= -0.5
        np.exp(slope, out=slope)
        slope *= 1 / math.sqrt(2 * math.pi)
        slope *= x
        slope += cdf


_BETA, _KAPPA = math.sqrt(2 / math.pi), 0.044715


@curve
def _gelu_tanh(x: Array, y: Array, slope: Array | None) -> None:
    """y = x * h, h = (1 + tanh(beta * (x + kappa * x**3))) / 2.

    The slope is h + x * 2 h (1 - h) * beta * (1 + 3 kappa * x**2).
    """
    square = np.square(x)
    h = square * (_BETA * _KAPPA)
    h += _BETA
    h *= x
    np.tanh(h, out=h)
    h *= 0.5
    h += 0.5
    np.multiply(x, h, out=y)
    if slope is not None:
        np.subtract(1, h, out=slope)
        slope *= y
        square *= 6 * _BETA * _KAPPA
        square += 2 * _BETA
        slope *= square
        slope += h


def gelu(
    x: Array, approximate: Approximate = "none", keeps: bool = True
) -> tuple[Array, Array | None]:
    """x times the probability that a standard normal number is smaller, or nearly that."""
    return (_gelu_tanh if approximate == "tanh" else _gelu)(x, keeps=keeps)


class GELU(Curve):
    r""":math:`y = x \Phi(x)`, :math:`\Phi` the normal distribution's; derivative
    :math:`\Phi(x) + x \varphi(x)`.

    Args:
        approximate: ``"none"``, or ``"tanh"`` for
            :math:`\frac x2 (1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\, x^3)))`.

    Shape:
        any, kept.

    Raises:
        ValueError: for another ``approximate``.

    Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415;
    https://pytorch.org/docs/stable/generated/torch.nn.GELU.html
    """

    _function, _options = gelu, ("approximate",)

    def __init__(self, approximate: Approximate = "none") -> None:
        super().__init__()
        if approximate not in APPROXIMATIONS:
            raise ValueError(
                f"approximate must be one of {', '.join(APPROXIMATIONS)}, got {approximate!r}"
            )
        self.approximate = approximate
