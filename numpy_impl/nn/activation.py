"""ReLU, LeakyReLU, Sigmoid, Tanh, Softmax, LogSoftmax.

What forward keeps is never the array it returns: a caller may write into that.
"""

import warnings
from typing import Any

import numpy as np

from numpy_impl._threads import on_slices
from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn._mask import as_mask, as_opposite_mask, choose, select
from numpy_impl.nn.checks import check_array
from numpy_impl.nn.module import Module

Array = np.ndarray
# a decorator: inf * 0, inf - inf and log(0) give what they give, as in torch, without a warning
_silently = np.errstate(divide="ignore", over="ignore", invalid="ignore")


def relu(input: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    output = np.empty_like(input)
    on_slices(_fill_relu, input, output)
    return output


def _fill_relu(input: Array, output: Array) -> None:
    # NumPy compares an array with an array twice as fast as with one number
    output.fill(0)
    np.maximum(input, output, out=output)


def relu_backward(grad_output: Array, positive: Array) -> Array:
    """dy where x > 0, else 0 (also at x = 0); ``positive`` is the mask of :func:`above_0`."""
    grad = np.empty_like(grad_output)
    on_slices(select, grad_output, positive, grad)
    return grad


def above_0(input: Array) -> Array:
    """The mask of what is not <= 0: through NaN the gradient passes, as in torch."""
    mask = np.empty_like(input, np.bool_)

    def compare(x: Array, m: Array) -> None:
        np.less_equal(x, 0, out=m)
        as_opposite_mask(m)

    on_slices(compare, input, mask)
    return mask.view(np.int8)


def leaky_relu(input: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else ``negative_slope * x``."""
    slope = input.dtype.type(negative_slope)
    if 0 < slope <= 1:  # then that is the larger of the two (not for 0: inf * 0 is NaN)
        output = np.empty_like(input)
        on_slices(lambda x, y: np.maximum(x, np.multiply(x, slope, out=y), out=y), input, output)
        return output
    return _leak(input, input, negative_slope)


def leaky_relu_backward(grad_output: Array, input: Array, negative_slope: float = 0.01) -> Array:
    """dy where x > 0, else ``negative_slope * dy``."""
    return _leak(grad_output, input, negative_slope)


@_silently
def _leak(values: Array, input: Array, negative_slope: float) -> Array:
    """The values where x > 0, else ``negative_slope`` times them; by masks, not by branches."""
    output = np.empty_like(values)
    slope = values.dtype.type(negative_slope)

    def leak(v: Array, x: Array, y: Array) -> None:
        np.multiply(v, slope, out=y)
        choose(v, y, as_mask(np.greater(x, 0)), y)

    on_slices(leak, values, input, output)
    return output


def sigmoid(input: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow for any x."""
    output = np.empty_like(input)

    def fill(x: Array, y: Array) -> None:
        small = np.exp(-np.abs(x))  # in (0, 1]
        # the larger of exp(-|x|) and 0 or 1: exp(x) below 0, 1 above
        np.divide(np.maximum(small, np.greater_equal(x, 0)), 1 + small, out=y)

    on_slices(fill, input, output)
    return output


@_silently
def sigmoid_backward(grad_output: Array, output: Array) -> Array:
    """dy * y * (1 - y)."""
    grad = np.empty_like(grad_output)

    def fill(dy: Array, y: Array, dx: Array) -> None:
        np.multiply(dy, y, out=dx)
        dx *= 1 - y

    on_slices(fill, grad_output, output, grad)
    return grad


def tanh(input: Array) -> Array:
    """The hyperbolic tangent of every element."""
    output = np.empty_like(input)
    on_slices(lambda x, y: np.tanh(x, out=y), input, output)
    return output


@_silently
def tanh_backward(grad_output: Array, output: Array) -> Array:
    """dy * (1 - y**2)."""
    grad = np.empty_like(grad_output)

    def fill(dy: Array, y: Array, dx: Array) -> None:
        np.multiply(y, y, out=dx)
        np.subtract(1, dx, out=dx)
        dx *= dy

    on_slices(fill, grad_output, output, grad)
    return grad


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


@_silently
def softmax_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """y * (dy - sum(dy * y))."""
    product = grad_output * output
    return np.asarray(product - output * product.sum(dim, keepdims=True))


@_silently
def log_softmax(input: Array, dim: int) -> Array:
    """x - log(sum(exp(x))) along ``dim``, without forming the softmax."""
    input = _short_axis_first(input, dim)
    shifted = np.asarray(input - input.max(dim, keepdims=True, initial=-np.inf))
    shifted -= np.log(np.exp(shifted).sum(dim, keepdims=True))
    return shifted


@_silently
def log_softmax_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """dy - softmax * sum(dy)."""
    return np.asarray(grad_output - np.exp(output) * grad_output.sum(dim, keepdims=True))


@_silently
def _exp_shifted(input: Array, dim: int) -> Array:
    input = _short_axis_first(input, dim)
    # a row of -inf alone gives NaN, as in torch
    return np.asarray(np.exp(input - input.max(dim, keepdims=True, initial=-np.inf)))


class ReLU(Module):
    r""":math:`y = \max(x, 0)`, with derivative 0 at 0.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input", "ReLU")
        output = relu(input)
        self.save_for_backward(output, above_0(input) if grad_mode.enabled else None)
        return output

    def backward(self, grad_output: Array) -> Array:
        return relu_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    r""":math:`y = x` where x > 0, else :math:`a x`.

    Args:
        negative_slope: a.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html
    """

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input", "LeakyReLU")
        output = leaky_relu(input, self.negative_slope)
        self.save_for_backward(output, input)
        return output

    def backward(self, grad_output: Array) -> Array:
        grad_output, input = self.saved_for_backward(grad_output)
        return leaky_relu_backward(grad_output, input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + (", inplace=True" if self.inplace else "")


class Sigmoid(Module):
    r""":math:`y = 1 / (1 + e^{-x})`; derivative :math:`y (1 - y)`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Sigmoid.html
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def forward(self, input: Array) -> Array:
        output = sigmoid(check_array(input, "input", "Sigmoid"))
        self.save_for_backward(output, output.copy(order="K"))
        return output

    def backward(self, grad_output: Array) -> Array:
        return sigmoid_backward(*self.saved_for_backward(grad_output))


class Tanh(Module):
    r""":math:`y = \tanh x`; derivative :math:`1 - y^2`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Tanh.html
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def forward(self, input: Array) -> Array:
        output = tanh(check_array(input, "input", "Tanh"))
        self.save_for_backward(output, output.copy(order="K"))
        return output

    def backward(self, grad_output: Array) -> Array:
        return tanh_backward(*self.saved_for_backward(grad_output))


class _OverAxis(Module):
    """What Softmax and LogSoftmax share: the choice of the axis."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _axis(self, input: Array) -> int:
        owner = type(self).__name__
        if self.dim is None:
            warnings.warn(
                f"{owner}: dim was not given, so torch's old choice is taken: axis 0 for 0, 1 and "
                "3 axes, else axis 1; pass dim",
                UserWarning,
                stacklevel=4,
            )
            return 0 if input.ndim in (0, 1, 3) else 1
        ndim = max(input.ndim, 1)  # a number counts as an axis of one
        if not -ndim <= self.dim < ndim:
            raise ValueError(
                f"{owner}: dim must lie within -{ndim}..{ndim - 1} for shape "
                f"{input.shape}, got {self.dim}"
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
        input = check_array(input, "input", "Softmax")
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
        input = check_array(input, "input", "LogSoftmax")
        axis = self._axis(input)
        output = log_softmax(input, axis)
        self.save_for_backward(output, output.copy(order="K"), axis)
        return output

    def backward(self, grad_output: Array) -> Array:
        return log_softmax_backward(*self.saved_for_backward(grad_output))
