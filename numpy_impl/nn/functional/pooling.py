"""Pooling."""

from typing import Any

from numpy_impl.nn.functional.calls import backward_of, by_layer
from numpy_impl.nn.pooling import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)


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
    return by_layer(
        MaxPool1d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input
    )


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
    return by_layer(
        MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input
    )


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
    return by_layer(
        MaxPool3d(kernel_size, stride, padding, dilation, return_indices, ceil_mode), input
    )


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean over windows; see :class:`~numpy_impl.nn.AvgPool1d`."""
    return by_layer(AvgPool1d(kernel_size, stride, padding, ceil_mode, count_include_pad), input)


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
    return by_layer(layer, input)


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
    return by_layer(layer, input)


max_pool1d_backward = backward_of(max_pool1d)
max_pool2d_backward = backward_of(max_pool2d)
max_pool3d_backward = backward_of(max_pool3d)
avg_pool1d_backward = backward_of(avg_pool1d)
avg_pool2d_backward = backward_of(avg_pool2d)
avg_pool3d_backward = backward_of(avg_pool3d)
