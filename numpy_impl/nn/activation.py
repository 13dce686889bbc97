"""ReLU, LeakyReLU, Sigmoid, Tanh, Hardswish, Softmax, LogSoftmax.

Each is a pair of functions, ``f(x)`` and ``f_backward(dy, x or y)``, and a module that names them.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.kernels import elementwise as kernels
from numpy_impl.kernels.elementwise import elementwise, silently
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module

Array = np.ndarray


class Elementwise(Module):
    """A layer that works on one element at a time.

    A subclass names its pair, and the attributes that are options of both functions, in their
    order. The second function takes the upstream gradient and x, or y (``_needs_output``).
    """

    _pair: tuple[Callable[..., Array], Callable[..., Array]]
    _options: tuple[str, ...] = ()
    _needs_output = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        options = [getattr(self, name) for name in self._options]
        output = self._pair[0](input, *options)
        if grad_mode.enabled:
            self.save_for_backward(output, self._kept(input, output), *options)
        return output

    def backward(self, grad_output: Array) -> Array:
        return self._pair[1](*self.saved_for_backward(grad_output))

    def _kept(self, input: Array, output: Array) -> Array:
        """What the second function takes; a copy of y, into which the caller may write."""
        return output.copy(order="K") if self._needs_output else input

    def extra_repr(self) -> str:
        shown = [f"{name}={getattr(self, name)}" for name in self._options]
        return ", ".join(shown + ["inplace=True"] * getattr(self, "inplace", False))


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return kernels.positive_part(x)


def relu_backward(dy: Array, is_positive: Array) -> Array:
    """dy where x > 0, else 0 (also at x = 0); through NaN the gradient passes, as in torch."""
    return kernels.where_mask(is_positive, dy)


class ReLU(Elementwise):
    r""":math:`y = \max(x, 0)`, with derivative 0 at 0.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """

    _pair = relu, relu_backward

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def _kept(self, input: Array, output: Array) -> Array:
        return kernels.is_positive(input)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else ``negative_slope * x``."""
    return kernels.leak(x, negative_slope)


def leaky_relu_backward(dy: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """dy where x > 0, else ``negative_slope * dy``."""
    return kernels.scale_negative(dy, x, negative_slope)


class LeakyReLU(Elementwise):
    r""":math:`y = x` where x > 0, else :math:`a x`.

    Args:
        negative_slope: a.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html
    """

    _pair, _options = (leaky_relu, leaky_relu_backward), ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace


@elementwise
def sigmoid(x: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-x)), without overflow for any x."""
    small = np.exp(-np.abs(x))  # in (0, 1]
    # the larger of exp(-|x|) and 0 or 1: exp(x) below 0, 1 above
    return np.divide(np.maximum(small, np.greater_equal(x, 0)), 1 + small, out=out)


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
def tanh(x: Array, out: Array | None = None) -> Array:
    """The hyperbolic tangent of every element."""
    return np.tanh(x, out=out)


@elementwise
def tanh_backward(dy: Array, y: Array, out: Array | None = None) -> Array:
    """dy * (1 - y**2)."""
    return np.multiply(dy, 1 - y * y, out=out)


class Tanh(Elementwise):
    r""":math:`y = \tanh x`; derivative :math:`1 - y^2`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html
    """

    _pair, _needs_output = (tanh, tanh_backward), True


@elementwise
def hardswish(x: Array) -> Array:
    """x * min(max(x + 3, 0), 6) / 6."""
    return x * np.clip(x + 3, 0, 6) / 6


@elementwise
def hardswish_backward(dy: Array, x: Array) -> Array:
    """0 where x <= -3, dy where x >= 3, between them dy * (x / 3 + 1/2); NaN where x is NaN."""
    return np.where(x <= -3, 0, np.where(x >= 3, dy, dy * (x / 3 + 0.5)))


class Hardswish(Elementwise):
    r""":math:`y = x \min(\max(x + 3, 0), 6) / 6`; derivative 0 at -3 and 1 at 3.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Minus infinity gives NaN (it is multiplied by 0), as in torch.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Hardswish.html;
    Howard et al. 2019, https://arxiv.org/abs/1905.02244
    """

    _pair = hardswish, hardswish_backward

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace


# reductions along a last axis shorter than this are slow: none of them fills a vector register
_SHORT_AXIS = 32


def _short_axis_first(input: Array, dim: int) -> Array:
    """The same values, in memory with a short last axis before the others."""
    if input.ndim > 1 and dim in (-1, input.ndim - 1) and input.shape[-1] < _SHORT_AXIS:
        return np.asfortranarray(input)
    return input


def softmax(input: Array, dim: int) -> Array:
    """exp(x) / sum(exp(x)) along ``dim``; the maximum is taken off first, for range."""
    output = _exp_shifted(input, dim)
    output /= output.sum(dim, keepdims=True)
    return output


@silently
def softmax_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """y * (dy - sum(dy * y))."""
    product = grad_output * output
    return np.asarray(product - output * product.sum(dim, keepdims=True))


@silently
def log_softmax(input: Array, dim: int) -> Array:
    """x - log(sum(exp(x))) along ``dim``, without forming the softmax."""
    input = _short_axis_first(input, dim)
    shifted = np.asarray(input - input.max(dim, keepdims=True, initial=-np.inf))
    shifted -= np.log(np.exp(shifted).sum(dim, keepdims=True))
    return shifted


@silently
def log_softmax_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """dy - softmax * sum(dy)."""
    return np.asarray(grad_output - np.exp(output) * grad_output.sum(dim, keepdims=True))


@silently
def _exp_shifted(input: Array, dim: int) -> Array:
    input = _short_axis_first(input, dim)
    # a row of -inf alone gives NaN, as in torch
    return np.asarray(np.exp(input - input.max(dim, keepdims=True, initial=-np.inf)))


class _OverAxis(Module):
    """What Softmax and LogSoftmax share: the choice of the axis."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _axis(self, input: Array) -> int:
        if self.dim is None:
            warnings.warn(
                f"{type(self).__name__}: dim was not given, so torch's old choice is taken: "
                "axis 0 for 0, 1 and 3 axes, else axis 1; pass dim",
                UserWarning,
                stacklevel=4,
            )
            return 0 if input.ndim in (0, 1, 3) else 1
        ndim = max(input.ndim, 1)  # a number counts as an axis of one
        if not -ndim <= self.dim < ndim:
            raise ValueError(
                f"dim must lie within -{ndim}..{ndim - 1} for shape {input.shape}, got {self.dim}"
            )
        return self.dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_OverAxis):
    r""":math:`y_i = e^{x_i} / \sum_j e^{x_j}` along one axis.

    Args:
        dim: the axis along which the values sum to 1.

    Shape:
        any, kept; a 0-d input counts as an axis of one value.

    Raises:
        ValueError: if the axis does not exist.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softmax.html
    """

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        axis = self._axis(input)
        output = softmax(input, axis)
        self.save_for_backward(output, output.copy(order="K"), axis)
        return output

    def backward(self, grad_output: Array) -> Array:
        return softmax_backward(*self.saved_for_backward(grad_output))


class LogSoftmax(_OverAxis):
    r""":math:`y_i = x_i - \log \sum_j e^{x_j}` along one axis.

    Args:
        dim: the axis along which the exponentials sum to 1.

    Shape:
        any, kept; a 0-d input counts as an axis of one value.

    Raises:
        ValueError: if the axis does not exist.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LogSoftmax.html
    """

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        axis = self._axis(input)
        output = log_softmax(input, axis)
        self.save_for_backward(output, output.copy(order="K"), axis)
        return output

    def backward(self, grad_output: Array) -> Array:
        return log_softmax_backward(*self.saved_for_backward(grad_output))
