"""Convolutions, transposed convolutions, and the windows they work on."""

from typing import Any

from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.conv import (
    conv,
    conv_backward,
    conv_transpose,
    conv_transpose_backward,
    steps_of,
    transposed_steps_of,
)
from numpy_impl.nn.fold import Fold, Unfold
from numpy_impl.nn.functional.calls import backward_of, by_layer, by_pair
from numpy_impl.tensor.tensor import Tensor, to_array


def _convolved(n: int, input: Any, weight: Any, bias: Any, *options: Any) -> Any:
    """Conv1d, 2d, 3d with the weights as inputs; options from stride to groups."""
    w = check_array(to_array(weight), "weight", ndim=(n + 2,))
    if check_array(to_array(input), "input", w.dtype, (n + 1, n + 2)).ndim == n + 1:
        return _convolved(n, input[None], weight, bias, *options)[0]
    steps = steps_of(w.shape, *options)
    return by_pair(conv, conv_backward, (input, weight, bias), steps)


def _transposed(n: int, input: Any, weight: Any, bias: Any, *options: Any) -> Any:
    """ConvTranspose1d, 2d, 3d with the weights as inputs; options from stride to dilation."""
    w = check_array(to_array(weight), "weight", ndim=(n + 2,))
    if check_array(to_array(input), "input", w.dtype, (n + 1, n + 2)).ndim == n + 1:
        return _transposed(n, input[None], weight, bias, *options)[0]
    steps = transposed_steps_of(w.shape, *options)
    features = w.shape[1] * steps.groups
    pair = conv_transpose, conv_transpose_backward
    return by_pair(*pair, (input, weight, bias), steps, features=features)


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


@names_itself
def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transposed convolution over one axis; see :class:`~numpy_impl.nn.ConvTranspose1d`."""
    options = (stride, padding, output_padding, groups, dilation)
    return _transposed(1, input, weight, bias, *options)


@names_itself
def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transposed convolution over two axes; see :class:`~numpy_impl.nn.ConvTranspose2d`."""
    options = (stride, padding, output_padding, groups, dilation)
    return _transposed(2, input, weight, bias, *options)


@names_itself
def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Transposed convolution over three axes; see :class:`~numpy_impl.nn.ConvTranspose3d`."""
    options = (stride, padding, output_padding, groups, dilation)
    return _transposed(3, input, weight, bias, *options)


@names_itself
def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """conv1d in another order: input (T, N, C), weight (K, C, F), bias (F,) -> (T', N, F)."""
    w = check_array(to_array(weight), "weight", ndim=(3,))
    check_array(to_array(input), "input", w.dtype, (3,))
    output = conv1d(_permuted(input, 1, 2, 0), _permuted(weight, 2, 1, 0), bias, 1, pad)
    return _permuted(output, 2, 0, 1)


def _permuted(value: Any, *axes: int) -> Any:
    return value.permute(axes) if isinstance(value, Tensor) else value.transpose(axes)


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """The sum of windows where they lie; see :class:`~numpy_impl.nn.Fold`."""
    return by_layer(Fold(output_size, kernel_size, dilation, padding, stride), input)


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """All windows, a column each; see :class:`~numpy_impl.nn.Unfold`."""
    return by_layer(Unfold(kernel_size, dilation, padding, stride), input)


conv1d_backward = backward_of(conv1d)
conv2d_backward = backward_of(conv2d)
conv3d_backward = backward_of(conv3d)
conv_transpose1d_backward = backward_of(conv_transpose1d)
conv_transpose2d_backward = backward_of(conv_transpose2d)
conv_transpose3d_backward = backward_of(conv_transpose3d)
conv_tbc_backward = backward_of(conv_tbc)
fold_backward = backward_of(fold)
unfold_backward = backward_of(unfold)
