"""Activations."""

from typing import Any

from numpy_impl.nn.activation import Hardswish, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from numpy_impl.nn.functional.calls import backward_of, by_layer
from numpy_impl.tensor.methods import cast
from numpy_impl.tensor.tensor import Tensor


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0); see :class:`~numpy_impl.nn.ReLU`."""
    return by_layer(ReLU(), input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else ``negative_slope * x``; see :class:`~numpy_impl.nn.LeakyReLU`."""
    return by_layer(LeakyReLU(negative_slope), input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x)); see :class:`~numpy_impl.nn.Sigmoid`."""
    return by_layer(Sigmoid(), input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent; see :class:`~numpy_impl.nn.Tanh`."""
    return by_layer(Tanh(), input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * min(max(x + 3, 0), 6) / 6; see :class:`~numpy_impl.nn.Hardswish`."""
    return by_layer(Hardswish(), input)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along ``dim``; see :class:`~numpy_impl.nn.Softmax`."""
    return by_layer(Softmax(dim), _cast(input, dtype))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """x - log(sum(exp(x))) along ``dim``; see :class:`~numpy_impl.nn.LogSoftmax`."""
    return by_layer(LogSoftmax(dim), _cast(input, dtype))


def _cast(input: Any, dtype: Any) -> Any:
    if dtype is None:
        return input
    return cast(input, dtype) if isinstance(input, Tensor) else input.astype(dtype)


relu_backward = backward_of(relu)
leaky_relu_backward = backward_of(leaky_relu)
sigmoid_backward = backward_of(sigmoid)
tanh_backward = backward_of(tanh)
hardswish_backward = backward_of(hardswish)
softmax_backward = backward_of(softmax)
log_softmax_backward = backward_of(log_softmax)
