"""Softmax, LogSoftmax, Softmin, Softmax2d."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.memory import empty_like
from numpy_impl.kernels.products import sum_along
from numpy_impl.kernels.threads import slicewise
from numpy_impl.nn.checks import check_array, warn
from numpy_impl.nn.module import Module
from numpy_impl.types import Array

# reductions along a last axis shorter than this are slow: none of them fills a vector register
_SHORT_AXIS = 32


def _short_axis_first(input: Array, dim: int) -> Array:
    """The same values, in memory with a short last axis before the others."""
    if input.ndim > 1 and dim in (-1, input.ndim - 1) and input.shape[-1] < _SHORT_AXIS:
        return np.asfortranarray(input)
    return input


def _along(fill: Callable[..., None], input: Array, *others: Array, dim: int) -> Array:
    """A new array like ``input``, which ``fill(input, *others, output, dim)`` fills.

    Slice by slice, unless ``dim`` is the first axis.
    """
    output = empty_like(input)
    if input.ndim < 2 or dim % input.ndim == 0:
        fill(input, *others, output, dim)
    else:
        slicewise(lambda *slices: fill(*slices, dim), input, *others, output)
    return output


@silently
def softmax(input: Array, dim: int) -> Array:
    """exp(x) / sum(exp(x)) along ``dim``; the maximum is taken off first, for range."""
    return _along(_fill_softmax, _short_axis_first(input, dim), dim=dim)


def _fill_softmax(x: Array, y: Array, dim: int) -> None:
    # a row of -inf alone gives NaN, as in torch
    np.subtract(x, x.max(dim, keepdims=True, initial=-np.inf), out=y)
    np.exp(y, out=y)
    y /= sum_along(y, dim, True)


@silently
def softmax_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """y * (dy - sum(dy * y))."""
    return _along(_fill_softmax_backward, grad_output, output, dim=dim)


def _fill_softmax_backward(dy: Array, y: Array, dx: Array, dim: int) -> None:
    np.multiply(dy, y, out=dx)
    dx -= y * sum_along(dx, dim, True)


@silently
def log_softmax(input: Array, dim: int) -> Array:
    """x - log(sum(exp(x))) along ``dim``, without forming the softmax."""
    return _along(_fill_log_softmax, _short_axis_first(input, dim), dim=dim)


def _fill_log_softmax(x: Array, y: Array, dim: int) -> None:
    np.subtract(x, x.max(dim, keepdims=True, initial=-np.inf), out=y)
    y -= np.log(sum_along(np.exp(y), dim, True))


@silently
def log_softmax_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """dy - softmax * sum(dy)."""
    return _along(_fill_log_softmax_backward, grad_output, output, dim=dim)


def _fill_log_softmax_backward(dy: Array, y: Array, dx: Array, dim: int) -> None:
    np.exp(y, out=dx)
    dx *= sum_along(dy, dim, True)
    np.subtract(dy, dx, out=dx)


def softmin(input: Array, dim: int) -> Array:
    """exp(-x) / sum(exp(-x)) along ``dim``."""
    return softmax(-input, dim)


def softmin_backward(grad_output: Array, output: Array, dim: int) -> Array:
    """y * (sum(dy * y) - dy)."""
    return -softmax_backward(grad_output, output, dim)


class _OverAxis(Module):
    """What they share: the choice of the axis, and a pair of functions, the second of dy and y."""

    _pair: tuple[Callable[[Array, int], Array], Callable[[Array, Array, int], Array]]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def _axis(self, input: Array) -> int:
        if self.dim is None:
            warn(
                f"{type(self).__name__}: dim was not given, so torch's old choice is taken: "
                "axis 0 for 0, 1 and 3 axes, else axis 1; pass dim"
            )
            return 0 if input.ndim in (0, 1, 3) else 1
        ndim = max(input.ndim, 1)  # a number counts as an axis of one
        if not -ndim <= self.dim < ndim:
            raise ValueError(
                f"dim must lie within -{ndim}..{ndim - 1} for shape {input.shape}, got {self.dim}"
            )
        return self.dim

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        axis = self._axis(input)
        output = self._pair[0](input, axis)
        self.save_for_backward(output, output.copy(order="K"), axis)
        return output

    def backward(self, grad_output: Array) -> Array:
        return self._pair[1](*self.saved_for_backward(grad_output))

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

    _pair = softmax, softmax_backward


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

    _pair = log_softmax, log_softmax_backward


class Softmin(_OverAxis):
    r""":math:`y_i = e^{-x_i} / \sum_j e^{-x_j}` along one axis.

    Args:
        dim: the axis along which the values sum to 1.

    Shape:
        any, kept; a 0-d input counts as an axis of one value.

    Raises:
        ValueError: if the axis does not exist.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softmin.html
    """

    _pair = softmin, softmin_backward


class Softmax2d(_OverAxis):
    r""":math:`y_i = e^{x_i} / \sum_j e^{x_j}` over the channels at each position of an image.

    Shape:
        (N, C, H, W) or (C, H, W), kept.

    Raises:
        ValueError: for other numbers of axes.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softmax2d.html
    """

    _pair = softmax, softmax_backward

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self, *args, **kwargs)

    def _axis(self, input: Array) -> int:
        check_array(input, "input", ndim=(3, 4))
        return input.ndim - 3

    def extra_repr(self) -> str:
        return ""
