"""torch.nn.functional's names.

A function returns what it is given: arrays for arrays, Tensors for Tensors. ``f_backward`` is the
other half of ``f``: arrays alone, the gradient of the output and then ``f``'s own arguments. It
returns a gradient for each floating-point array among them, in their order: the array itself if
there is one, else a tuple, with ``None`` for what ``f`` takes as a constant (class weights).
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpy_impl.grad_mode import enable_grad, grad_mode, no_grad
from numpy_impl.nn import conv as _conv
from numpy_impl.nn import linear as _linear
from numpy_impl.nn.activation import LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from numpy_impl.nn.call import check_grad, describe, leaves, mapped
from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.dropout import Dropout
from numpy_impl.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from numpy_impl.nn.module import Module
from numpy_impl.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from numpy_impl.tensor.graph import Node, run_backward
from numpy_impl.tensor.methods import cast
from numpy_impl.tensor.tensor import Tensor, attach, record, to_array

Array = np.ndarray


def _by(layer: Module, *inputs: Any) -> Any:
    """What a new layer makes of the inputs; of arrays without keeping anything for backward."""
    if any(isinstance(value, Tensor) for value in inputs):
        return layer(*inputs)
    with no_grad():
        return layer(*inputs)


def _by_pair(
    forward: Callable[..., Array],
    backward: Callable[..., Sequence[Array | None]],
    inputs: tuple[Any, Any, Any],
    *options: Any,
) -> Any:
    """A pair of functions of input, weight and bias as one call of the graph."""
    x, weight, bias = arrays = tuple(to_array(value) for value in inputs)
    if bias is not None and check_array(bias, "bias", weight.dtype).shape != weight.shape[:1]:
        raise ValueError(f"bias must have shape {weight.shape[:1]}, got {bias.shape}")
    output = forward(*arrays, *options)
    if not any(isinstance(value, Tensor) for value in inputs):
        return output
    result = Tensor(output)
    needs = tuple(isinstance(v, Tensor) and v.requires_grad for v in inputs)
    if grad_mode.enabled and any(needs):

        def way_back(grads: list[Array | None], retain_graph: bool) -> list[Array | None]:
            found = backward(grads[0], x, weight, *options, needs)
            return [grad for grad, needed in zip(found, needs, strict=True) if needed]

        tracked = tuple(value for value, needed in zip(inputs, needs, strict=True) if needed)
        attach([result], Node(forward.__name__, tracked, way_back, is_layer=True))
    return result


def _backward_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """``f_backward``, by the rule above: through the layer's or the operations' own backward."""
    name = f"{function.__name__}_backward"

    @functools.wraps(function)
    def backward(grad_output: Any, *args: Any, **kwargs: Any) -> Any:
        inputs = [v for v in leaves((args, kwargs)) if v is not None and v.dtype.kind == "f"]
        tensors = [Tensor(value, True) for value in inputs]
        rest = iter(tensors)

        def wrap(value: Any) -> Any:
            return next(rest) if value.dtype.kind == "f" else value

        with enable_grad():
            output = function(*mapped(args, wrap), **mapped(kwargs, wrap))
        outputs = [t for t in leaves(output) if isinstance(t, Tensor) and t.requires_grad]
        grad = check_grad(grad_output, describe(outputs[0]), f"{name}: grad_output")
        run_backward(outputs[:1], [grad])
        grads = tuple(tensor.grad for tensor in tensors)
        return grads[0] if len(grads) == 1 else grads

    backward.__name__ = backward.__qualname__ = name
    backward.__doc__ = (
        f"Gradients for the floating-point arrays among the arguments of "
        f":func:`{function.__name__}`, from that of its output."
    )
    return backward


# -- layers with weights ---------------------------------------------------------------------------


@names_itself
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    r""":math:`y = x W^\top + b`; see :class:`~numpy_impl.nn.Linear`."""
    x, w = to_array(input), check_array(to_array(weight), "weight")
    check_array(x, "input", w.dtype)
    if x.shape[-1:] != w.shape[1:]:
        raise ValueError(f"input's last axis must be that of weight {w.shape}, got {x.shape}")
    return _by_pair(_linear.linear, _linear.linear_backward, (input, weight, bias))


def _convolved(n: int, input: Any, weight: Any, bias: Any, *options: Any) -> Any:
    """Conv1d, 2d, 3d with the weights as inputs; options from stride to groups."""
    w = check_array(to_array(weight), "weight", ndim=(n + 2,))
    if check_array(to_array(input), "input", w.dtype, (n + 1, n + 2)).ndim == n + 1:
        return _convolved(n, input[None], weight, bias, *options)[0]
    steps = _conv.steps_of(w.shape, *options)
    return _by_pair(_conv.conv, _conv.conv_backward, (input, weight, bias), steps)


@names_itself
def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation over one axis; see :class:`~numpy_impl.nn.Conv1d`."""
    return _convolved(1, input, weight, bias, stride, padding, dilation, groups)


@names_itself
def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation over two axes; see :class:`~numpy_impl.nn.Conv2d`."""
    return _convolved(2, input, weight, bias, stride, padding, dilation, groups)


@names_itself
def conv3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """Cross-correlation over three axes; see :class:`~numpy_impl.nn.Conv3d`."""
    return _convolved(3, input, weight, bias, stride, padding, dilation, groups)


# -- activations and dropout -----------------------------------------------------------------------


def relu(input: Any, inplace: bool = False) -> Any:
    """max(x, 0); see :class:`~numpy_impl.nn.ReLU`."""
    return _by(ReLU(), input)


def leaky_relu(input: Any, negative_slope: float = 0.01, inplace: bool = False) -> Any:
    """x where x > 0, else ``negative_slope * x``; see :class:`~numpy_impl.nn.LeakyReLU`."""
    return _by(LeakyReLU(negative_slope), input)


def sigmoid(input: Any) -> Any:
    """1 / (1 + exp(-x)); see :class:`~numpy_impl.nn.Sigmoid`."""
    return _by(Sigmoid(), input)


def tanh(input: Any) -> Any:
    """The hyperbolic tangent; see :class:`~numpy_impl.nn.Tanh`."""
    return _by(Tanh(), input)


def softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """exp(x) / sum(exp(x)) along ``dim``; see :class:`~numpy_impl.nn.Softmax`."""
    return _by(Softmax(dim), _cast(input, dtype))


def log_softmax(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
    """x - log(sum(exp(x))) along ``dim``; see :class:`~numpy_impl.nn.LogSoftmax`."""
    return _by(LogSoftmax(dim), _cast(input, dtype))


def _cast(input: Any, dtype: Any) -> Any:
    if dtype is None:
        return input
    return cast(input, dtype) if isinstance(input, Tensor) else input.astype(dtype)


def dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zeros with probability p, the rest times 1/(1-p); see :class:`~numpy_impl.nn.Dropout`."""
    return _by(Dropout(p).train(training), input)


# -- pooling ---------------------------------------------------------------------------------------


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum over windows; see :class:`~numpy_impl.nn.MaxPool1d`."""
    return _by(MaxPool1d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input)


def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum over windows; see :class:`~numpy_impl.nn.MaxPool2d`."""
    return _by(MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input)


def max_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum over windows; see :class:`~numpy_impl.nn.MaxPool3d`."""
    return _by(MaxPool3d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input)


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean over windows; see :class:`~numpy_impl.nn.AvgPool1d`."""
    return _by(AvgPool1d(kernel_size, stride, padding, ceil_mode, count_include_pad), input)


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean over windows; see :class:`~numpy_impl.nn.AvgPool2d`."""
    layer = AvgPool2d(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _by(layer, input)


def avg_pool3d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """The mean over windows; see :class:`~numpy_impl.nn.AvgPool3d`."""
    layer = AvgPool3d(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    return _by(layer, input)


# -- losses ----------------------------------------------------------------------------------------


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """Softmax and negative log likelihood; see :class:`~numpy_impl.nn.CrossEntropyLoss`."""
    options = (size_average, ignore_index, reduce, reduction, label_smoothing)
    return _by(CrossEntropyLoss(to_array(weight), *options), input, target)


def nll_loss(
    input: Any,
    target: Any,
    weight: Any = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """Negative log likelihood; see :class:`~numpy_impl.nn.NLLLoss`."""
    options = (size_average, ignore_index, reduce, reduction)
    return _by(NLLLoss(to_array(weight), *options), input, target)


def mse_loss(
    input: Any,
    target: Any,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Any:
    """The mean squared error; see :class:`~numpy_impl.nn.MSELoss`."""
    return _by(MSELoss(size_average, reduce, reduction), input, target)


# -- shapes ----------------------------------------------------------------------------------------


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """``input`` with ``value`` (0) around it: (low, high) of the last axis, of the one before, ...

    Negative numbers crop.

    Raises:
        ValueError: for another mode than ``"constant"``, or numbers that do not pair up.
    """
    x = to_array(input)
    if mode != "constant":
        raise ValueError(f"mode must be 'constant', got {mode!r}")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(f"pad must be pairs for at most {x.ndim} axes, got {tuple(pad)}")
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2)
    pairs += [(int(low), int(high)) for low, high in zip(pad[-2::-2], pad[::-2], strict=True)]
    ends = [n - max(0, -high) for (_, high), n in zip(pairs, x.shape, strict=True)]
    kept = tuple(slice(max(0, -low), end) for (low, _), end in zip(pairs, ends, strict=True))
    widths = [(max(0, low), max(0, high)) for low, high in pairs]
    output = np.pad(x[kept], widths, constant_values=0 if value is None else value)
    if not isinstance(input, Tensor):
        return output
    inner = tuple(slice(low, n - high) for (low, high), n in zip(widths, output.shape, strict=True))

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        grad[kept] = g[inner]
        return grad

    return record(output, "pad", (input, backward))


def one_hot(tensor: Any, num_classes: int = -1) -> Any:
    """1 at each index, 0 elsewhere: (\\*) of integers -> (\\*, num_classes)."""
    index = to_array(tensor)
    if index.dtype.kind not in "iu":
        raise TypeError(f"tensor must hold integers, got {index.dtype}")
    classes = int(index.max(initial=-1)) + 1 if num_classes == -1 else num_classes
    if index.size and not 0 <= index.min() <= index.max() < classes:
        raise ValueError(
            f"tensor must hold classes 0..{classes - 1}, got {index.min()} to {index.max()}"
        )
    output = (index[..., None] == np.arange(classes)).astype(np.int64)
    return Tensor(output) if isinstance(tensor, Tensor) else output


def normalize(input: Any, p: float = 2.0, dim: Any = 1, eps: float = 1e-12) -> Any:
    """``x / max(norm(x), eps)`` along ``dim``."""
    tensor = input if isinstance(input, Tensor) else Tensor(input)
    size = tensor.norm(p, dim, keepdim=True).clamp_min(eps)
    output = tensor / size
    return output if isinstance(input, Tensor) else output.data


# -- the other halves ------------------------------------------------------------------------------
# (not of dropout, whose mask is drawn anew, nor of one_hot, which has none)

avg_pool1d_backward = _backward_of(avg_pool1d)
avg_pool2d_backward = _backward_of(avg_pool2d)
avg_pool3d_backward = _backward_of(avg_pool3d)
conv1d_backward = _backward_of(conv1d)
conv2d_backward = _backward_of(conv2d)
conv3d_backward = _backward_of(conv3d)
cross_entropy_backward = _backward_of(cross_entropy)
leaky_relu_backward = _backward_of(leaky_relu)
linear_backward = _backward_of(linear)
log_softmax_backward = _backward_of(log_softmax)
max_pool1d_backward = _backward_of(max_pool1d)
max_pool2d_backward = _backward_of(max_pool2d)
max_pool3d_backward = _backward_of(max_pool3d)
mse_loss_backward = _backward_of(mse_loss)
nll_loss_backward = _backward_of(nll_loss)
normalize_backward = _backward_of(normalize)
pad_backward = _backward_of(pad)
relu_backward = _backward_of(relu)
sigmoid_backward = _backward_of(sigmoid)
softmax_backward = _backward_of(softmax)
tanh_backward = _backward_of(tanh)

__all__ = [
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "dropout",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "log_softmax",
    "log_softmax_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "mse_loss",
    "mse_loss_backward",
    "nll_loss",
    "nll_loss_backward",
    "normalize",
    "normalize_backward",
    "one_hot",
    "pad",
    "pad_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
