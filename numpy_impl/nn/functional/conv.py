"""conv1d, conv2d, conv3d."""

from typing import Any

from numpy_impl.nn.checks import check_array, names_itself
from numpy_impl.nn.conv import conv, conv_backward, steps_of
from numpy_impl.nn.functional.calls import backward_of, by_pair
from numpy_impl.tensor.tensor import to_array


def _convolved(n: int, input: Any, weight: Any, bias: Any, *options: Any) -> Any:
    """Conv1d, 2d, 3d with the weights as inputs; options from stride to groups."""
    w = check_array(to_array(weight), "weight", ndim=(n + 2,))
    if check_array(to_array(input), "input", w.dtype, (n + 1, n + 2)).ndim == n + 1:
        return _convolved(n, input[None], weight, bias, *options)[0]
    steps = steps_of(w.shape, *options)
    return by_pair(conv, conv_backward, (input, weight, bias), steps)


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


conv1d_backward = backward_of(conv1d)
conv2d_backward = backward_of(conv2d)
conv3d_backward = backward_of(conv3d)
