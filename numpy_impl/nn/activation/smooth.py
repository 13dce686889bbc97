"""Activations with an exponential in them: smooth but for the joints of ELU's family.

Formulas and the order of their operations are torch's where an infinity or NaN would tell.
"""

import math
from typing import Literal

import numpy as np

from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.kernels.masks import where
from numpy_impl.kernels.special import normal_cdf
from numpy_impl.nn.activation.elementwise import Elementwise, InPlace
from numpy_impl.types import Array

Approximate = Literal["none", "tanh"]
APPROXIMATIONS = ("none", "tanh")


@elementwise
def sigmoid(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)); where the exponential overflows, 0."""
    return np.divide(1, 1 + np.exp(-x), out=out)


@elementwise
def sigmoid_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    """dy * y * (1 - y)."""
    return np.multiply(dy * y, 1 - y, out=out)


class Sigmoid(Elementwise):
    r""":math:`y = 1 / (1 + e^{-x})`; derivative :math:`y (1 - y)`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html
    """

    _pair, _needs_output = (sigmoid, sigmoid_backward), True


@elementwise
def logsigmoid(x: Array, out: Array | None = None) -> Array:
    """log(sigmoid(x)) = min(x, 0) - log(1 + exp(-abs(x)))."""
    return np.subtract(np.minimum(x, 0), np.log1p(np.exp(-np.abs(x))), out=out)


@elementwise
def logsigmoid_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy * sigmoid(-x)."""
    return np.multiply(dy, sigmoid(-x), out=out)


class LogSigmoid(Elementwise):
    r""":math:`y = \log \sigma(x) = -\log(1 + e^{-x})`; derivative :math:`\sigma(-x)`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LogSigmoid.html
    """

    _pair = logsigmoid, logsigmoid_backward


@elementwise
def silu(x: Array, out: Array | None = None) -> Array:
    """x * sigmoid(x)."""
    return np.multiply(x, sigmoid(x), out=out)


@elementwise
def silu_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy * s * (1 + x * (1 - s)), s = sigmoid(x)."""
    s = sigmoid(x)
    return np.multiply(dy * s, 1 + x * (1 - s), out=out)


class SiLU(InPlace):
    r""":math:`y = x \sigma(x)`, the swish; derivative :math:`\sigma (1 + x (1 - \sigma))`.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Hendrycks and Gimpel 2016, https://arxiv.org/abs/1606.08415;
    https://pytorch.org/docs/stable/generated/torch.nn.SiLU.html
    """

    _pair = silu, silu_backward


@elementwise
def mish(x: Array, out: Array | None = None) -> Array:
    """x * tanh(log(1 + exp(x)))."""
    return np.multiply(x, _tanh_softplus(np.exp(np.minimum(x, _ALL_BUT_1))), out=out)


@elementwise
def mish_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy * (t + x * sigmoid(x) * (1 - t**2)), t = tanh(log(1 + exp(x)))."""
    e = np.exp(np.minimum(x, _ALL_BUT_1))
    t = _tanh_softplus(e)
    return np.multiply(dy, t + x * (e / (1 + e)) * (1 - t * t), out=out)


# from here on the hyperbolic tangent above is 1
_ALL_BUT_1 = 20.0


def _tanh_softplus(e: Array) -> Array:
    """tanh(log(1 + e)): ((1 + e)**2 - 1) / ((1 + e)**2 + 1), without the cancellation."""
    n = e * (e + 2)
    return np.asarray(n / (n + 2))


class Mish(InPlace):
    r""":math:`y = x \tanh(\log(1 + e^x))`.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: Misra 2019, https://arxiv.org/abs/1908.08681;
    https://pytorch.org/docs/stable/generated/torch.nn.Mish.html
    """

    _pair = mish, mish_backward


@elementwise
def softplus(
    x: Array, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None
) -> Array:
    """log(1 + exp(beta x)) / beta; x itself where beta x > threshold."""
    z = x * beta
    return where(z > threshold, x, np.log1p(np.exp(z)) / beta, out)


@elementwise
def softplus_backward(
    dy: Array, x: Array, beta: float = 1.0, threshold: float = 20.0, out: Array | None = None
) -> Array:
    """dy * sigmoid(beta x); dy itself where beta x > threshold."""
    z = x * beta
    e = np.exp(z)
    return where(z > threshold, dy, dy * e / (e + 1), out)


class Softplus(Elementwise):
    r""":math:`y = \log(1 + e^{\beta x}) / \beta`; derivative :math:`\sigma(\beta x)`.

    Args:
        beta: how sharp the bend is.
        threshold: where :math:`\beta x` is larger, y is x.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softplus.html
    """

    _pair, _options = (softplus, softplus_backward), ("beta", "threshold")

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


@elementwise
def tanh(x: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent of every element."""
    return np.tanh(x, out=out)


@elementwise
def tanh_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    """dy * (1 - y**2)."""
    square = np.multiply(y, y, out=out)
    return np.multiply(dy, np.subtract(1, square, out=out), out=out)


class Tanh(Elementwise):
    r""":math:`y = \tanh x`; derivative :math:`1 - y^2`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html
    """

    _pair, _needs_output = (tanh, tanh_backward), True


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


def gelu(x: Array, approximate: Approximate = "none") -> Array:
    """x times the probability that a standard normal number is smaller, or nearly that."""
    return _gelu_tanh(x) if approximate == "tanh" else _gelu(x)


def gelu_backward(dy: Array, x: Array, approximate: Approximate = "none") -> Array:
    """The derivative of whichever of the two it was, times dy."""
    return (_gelu_tanh_backward if approximate == "tanh" else _gelu_backward)(dy, x)


@elementwise
def _gelu(x: Array, out: Array | None = None) -> Array:
    """x * cdf(x)."""
    return np.multiply(x, normal_cdf(x), out=out)


@elementwise
def _gelu_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy * (cdf(x) + x * pdf(x)), pdf(x) = exp(-x**2 / 2) / sqrt(2 pi)."""
    pdf = np.exp(-0.5 * np.square(x)) * (1 / math.sqrt(2 * math.pi))
    return np.multiply(dy, normal_cdf(x) + x * pdf, out=out)


_BETA, _KAPPA = math.sqrt(2 / math.pi), 0.044715


@elementwise
def _gelu_tanh(x: Array, out: Array | None = None) -> Array:
    """0.5 * x * (1 + tanh(beta * (x + kappa * x**3)))."""
    t = np.tanh(_BETA * x * (1 + _KAPPA * np.square(x)))
    return np.multiply(0.5 * x, 1 + t, out=out)


@elementwise
def _gelu_tanh_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * beta * (1 + 3 kappa * x**2)), t as above."""
    square = np.square(x)
    t = np.tanh(_BETA * x * (1 + _KAPPA * square))
    slope = 0.5 * x * (1 - t * t) * (_BETA + (3 * _BETA * _KAPPA) * square)
    return np.multiply(dy, 0.5 * (1 + t) + slope, out=out)


class GELU(Elementwise):
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

    _pair, _options = (gelu, gelu_backward), ("approximate",)

    def __init__(self, approximate: Approximate = "none") -> None:
        super().__init__()
        if approximate not in APPROXIMATIONS:
            raise ValueError(
                f"approximate must be one of {', '.join(APPROXIMATIONS)}, got {approximate!r}"
            )
        self.approximate = approximate
