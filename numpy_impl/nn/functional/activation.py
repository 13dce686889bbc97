"""Activations.

The names that end in ``_`` are torch's in-place ones: here the same functions, which leave their
input as it is, so use what they return. (Without other halves: they are the others'.)
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl.nn.activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Hardshrink,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    ReLU,
    ReLU6,
    RReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softmin,
    Softplus,
    Softshrink,
    Softsign,
    Tanh,
    Tanhshrink,
    Threshold,
)
from numpy_impl.nn.activation import slopes as _slopes
from numpy_impl.nn.activation.smooth import Approximate
from numpy_impl.nn.checks import check_array, names_itself, warn
from numpy_impl.nn.functional.calls import backward_of, by_layer, by_pair
from numpy_impl.random import exponential_
from numpy_impl.tensor.methods import cast
from numpy_impl.tensor.tensor import Tensor, to_array


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0); see :class:`~numpy_impl.nn.ReLU`."""
    return by_layer(ReLU(), input)


def relu6(input: Any, inplace: bool = False) -> Any:
    """min(max(x, 0), 6); see :class:`~numpy_impl.nn.ReLU6`."""
    return by_layer(ReLU6(), input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else ``negative_slope * x``; see :class:`~numpy_impl.nn.LeakyReLU`."""
    return by_layer(LeakyReLU(negative_slope), input)


@names_itself
def prelu(input: Any, weight: Any) -> Any:
    """x where x > 0, else ``weight * x``; see :class:`~numpy_impl.nn.PReLU`."""
    w = check_array(to_array(weight), "weight")
    _slopes.check_slopes(check_array(to_array(input), "input", w.dtype), w)
    return by_pair(_slopes.prelu, _slopes.prelu_backward, (input, weight))


def rrelu(
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Any:
    """x where x > 0, else x times a random slope; see :class:`~numpy_impl.nn.RReLU`."""
    return by_layer(RReLU(lower, upper).train(training), input)


def elu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else ``alpha * (exp(x) - 1)``; see :class:`~numpy_impl.nn.ELU`."""
    return by_layer(ELU(alpha), input)


def celu(input: Any, alpha: float = 1.0, inplace: bool = False) -> Any:
    """x where x > 0, else ``alpha * (exp(x / alpha) - 1)``; see :class:`~numpy_impl.nn.CELU`."""
    return by_layer(CELU(alpha), input)


def selu(input: Any, inplace: bool = False) -> Any:
    """elu with two constants that keep mean and variance; see :class:`~numpy_impl.nn.SELU`."""
    return by_layer(SELU(), input)


def gelu(input: Any, approximate: Approximate = "none") -> Any:
    """x times the normal distribution function of x; see :class:`~numpy_impl.nn.GELU`."""
    return by_layer(GELU(approximate), input)


def silu(input: Any, inplace: bool = False) -> Any:
    """``x * sigmoid(x)``; see :class:`~numpy_impl.nn.SiLU`."""
    return by_layer(SiLU(), input)


def mish(input: Any, inplace: bool = False) -> Any:
    """``x * tanh(softplus(x))``; see :class:`~numpy_impl.nn.Mish`."""
    return by_layer(Mish(), input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x)); see :class:`~numpy_impl.nn.Sigmoid`."""
    return by_layer(Sigmoid(), input)


def logsigmoid(input: Any) -> Any:
    """log(sigmoid(x)), without underflow; see :class:`~numpy_impl.nn.LogSigmoid`."""
    return by_layer(LogSigmoid(), input)


def hardsigmoid(input: Any, inplace: bool = False) -> Any:
    """(x + 3) / 6 within [0, 1]; see :class:`~numpy_impl.nn.Hardsigmoid`."""
    return by_layer(Hardsigmoid(), input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent; see :class:`~numpy_impl.nn.Tanh`."""
    return by_layer(Tanh(), input)


def hardswish(input: Any, inplace: bool = False) -> Any:
    """x * min(max(x + 3, 0), 6) / 6; see :class:`~numpy_impl.nn.Hardswish`."""
    return by_layer(Hardswish(), input)


def tanhshrink(input: Any) -> Any:
    """x - tanh(x); see :class:`~numpy_impl.nn.Tanhshrink`."""
    return by_layer(Tanhshrink(), input)


@names_itself
def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    """min(max(x, min_val), max_val), which may be equal; see :class:`~numpy_impl.nn.Hardtanh`."""
    if not min_val <= max_val:
        raise ValueError(f"min_val must not be above max_val, got {min_val} and {max_val}")
    layer = Hardtanh()
    layer.min_val, layer.max_val = min_val, max_val
    return by_layer(layer, input)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    """x where abs(x) > lambd, else 0; see :class:`~numpy_impl.nn.Hardshrink`."""
    return by_layer(Hardshrink(lambd), input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    """x, brought nearer to 0 by lambd; see :class:`~numpy_impl.nn.Softshrink`."""
    return by_layer(Softshrink(lambd), input)


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    """log(1 + exp(beta x)) / beta; see :class:`~numpy_impl.nn.Softplus`."""
    return by_layer(Softplus(beta, threshold), input)


def softsign(input: Any) -> Any:
    """x / (1 + abs(x)); see :class:`~numpy_impl.nn.Softsign`."""
    return by_layer(Softsign(), input)


def threshold(input: Any, threshold: float, value: float, inplace: bool = False) -> Any:
    """x where x > threshold, else ``value``; see :class:`~numpy_impl.nn.Threshold`."""
    return by_layer(Threshold(threshold, value), input)


def glu(input: Any, dim: int = -1) -> Any:
    """a * sigmoid(b) for the halves a, b along ``dim``; see :class:`~numpy_impl.nn.GLU`."""
    return by_layer(GLU(dim), input)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along ``dim``; see :class:`~numpy_impl.nn.Softmax`."""
    return by_layer(Softmax(dim), _cast(input, dtype))


def softmin(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(-x) / sum(exp(-x)) along ``dim``; see :class:`~numpy_impl.nn.Softmin`."""
    return by_layer(Softmin(dim), _cast(input, dtype))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """x - log(sum(exp(x))) along ``dim``; see :class:`~numpy_impl.nn.LogSoftmax`."""
    return by_layer(LogSoftmax(dim), _cast(input, dtype))


@names_itself
def gumbel_softmax(
    logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Any:
    """A random choice along ``dim`` that a gradient passes through: softmax((x + g) / tau).

    g is -log of exponential noise, torch's own under the same seed, so the largest x + g is at i
    with probability softmax(x)[i].

    Args:
        logits: x.
        tau: the temperature: the lower, the nearer is the result to a choice of one.
        hard: return that choice, 0 and 1; the gradient stays that of the softmax.
        eps: deprecated, without effect.
        dim: the axis.

    Source: Jang et al. 2016, https://arxiv.org/abs/1611.01144
    """
    if eps != 1e-10:
        warn("gumbel_softmax: eps is deprecated, and without effect")
    values = check_array(to_array(logits), "logits")
    with np.errstate(divide="ignore"):
        noise = -np.log(exponential_(np.empty(values.shape, values.dtype)))
    soft = softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    shares = to_array(soft)
    chosen = np.zeros_like(shares)
    np.put_along_axis(chosen, np.expand_dims(shares.argmax(dim), dim), 1, dim)
    return (chosen - shares) + soft


def _cast(input: Any, dtype: Any) -> Any:
    if dtype is None:
        return input
    return cast(input, dtype) if isinstance(input, Tensor) else input.astype(dtype)


def _in_place_name(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under torch's name for its in-place form, without the argument inplace."""
    signature = inspect.signature(function)
    kept = [p for name, p in signature.parameters.items() if name != "inplace"]

    def same(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    same.__name__ = same.__qualname__ = f"{function.__name__}_"
    same.__doc__ = f"The same as :func:`{function.__name__}`: the input is not changed."
    same.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    return same


relu_ = _in_place_name(relu)
leaky_relu_ = _in_place_name(leaky_relu)
rrelu_ = _in_place_name(rrelu)
elu_ = _in_place_name(elu)
celu_ = _in_place_name(celu)
selu_ = _in_place_name(selu)
hardtanh_ = _in_place_name(hardtanh)
threshold_ = _in_place_name(threshold)

relu_backward = backward_of(relu)
relu6_backward = backward_of(relu6)
leaky_relu_backward = backward_of(leaky_relu)
prelu_backward = backward_of(prelu)
elu_backward = backward_of(elu)
celu_backward = backward_of(celu)
selu_backward = backward_of(selu)
gelu_backward = backward_of(gelu)
silu_backward = backward_of(silu)
mish_backward = backward_of(mish)
sigmoid_backward = backward_of(sigmoid)
logsigmoid_backward = backward_of(logsigmoid)
hardsigmoid_backward = backward_of(hardsigmoid)
hardswish_backward = backward_of(hardswish)
tanh_backward = backward_of(tanh)
tanhshrink_backward = backward_of(tanhshrink)
hardtanh_backward = backward_of(hardtanh)
hardshrink_backward = backward_of(hardshrink)
softshrink_backward = backward_of(softshrink)
softplus_backward = backward_of(softplus)
softsign_backward = backward_of(softsign)
threshold_backward = backward_of(threshold)
glu_backward = backward_of(glu)
softmax_backward = backward_of(softmax)
softmin_backward = backward_of(softmin)
log_softmax_backward = backward_of(log_softmax)
