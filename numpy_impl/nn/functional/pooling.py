"""Pooling."""

from typing import Any

from numpy_impl.nn.functional.calls import backward_of, by_layer
from numpy_impl.nn.pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    FractionalMaxPool2d,
    FractionalMaxPool3d,
    LPPool1d,
    LPPool2d,
    LPPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    MaxUnpool1d,
    MaxUnpool2d,
    MaxUnpool3d,
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


def max_pool1d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum over windows and where it was; see :class:`~numpy_impl.nn.MaxPool1d`."""
    return max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum over windows and where it was; see :class:`~numpy_impl.nn.MaxPool2d`."""
    return max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool3d_with_indices(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The maximum over windows and where it was; see :class:`~numpy_impl.nn.MaxPool3d`."""
    return max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_unpool1d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    """The values where they were among zeros; see :class:`~numpy_impl.nn.MaxUnpool1d`."""
    return by_layer(MaxUnpool1d(kernel_size, stride, padding), input, indices, output_size)


def max_unpool2d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    """The values where they were among zeros; see :class:`~numpy_impl.nn.MaxUnpool2d`."""
    return by_layer(MaxUnpool2d(kernel_size, stride, padding), input, indices, output_size)


def max_unpool3d(
    input: Any,
    indices: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Any:
    """The values where they were among zeros; see :class:`~numpy_impl.nn.MaxUnpool3d`."""
    return by_layer(MaxUnpool3d(kernel_size, stride, padding), input, indices, output_size)


def lp_pool1d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of windows; see :class:`~numpy_impl.nn.LPPool1d`."""
    return by_layer(LPPool1d(norm_type, kernel_size, stride, ceil_mode), input)


def lp_pool2d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of windows; see :class:`~numpy_impl.nn.LPPool2d`."""
    return by_layer(LPPool2d(norm_type, kernel_size, stride, ceil_mode), input)


def lp_pool3d(
    input: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """The p-norm of windows; see :class:`~numpy_impl.nn.LPPool3d`."""
    return by_layer(LPPool3d(norm_type, kernel_size, stride, ceil_mode), input)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    """The mean over so many windows; see :class:`~numpy_impl.nn.AdaptiveAvgPool1d`."""
    return by_layer(AdaptiveAvgPool1d(output_size), input)


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    """The mean over so many windows; see :class:`~numpy_impl.nn.AdaptiveAvgPool2d`."""
    return by_layer(AdaptiveAvgPool2d(output_size), input)


def adaptive_avg_pool3d(input: Any, output_size: Any) -> Any:
    """The mean over so many windows; see :class:`~numpy_impl.nn.AdaptiveAvgPool3d`."""
    return by_layer(AdaptiveAvgPool3d(output_size), input)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum over so many windows; see :class:`~numpy_impl.nn.AdaptiveMaxPool1d`."""
    return by_layer(AdaptiveMaxPool1d(output_size, return_indices), input)


def adaptive_max_pool1d_with_indices(
    input: Any, output_size: Any, return_indices: bool = False
) -> Any:
    """The maximum and where it was; see :class:`~numpy_impl.nn.AdaptiveMaxPool1d`."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum over so many windows; see :class:`~numpy_impl.nn.AdaptiveMaxPool2d`."""
    return by_layer(AdaptiveMaxPool2d(output_size, return_indices), input)


def adaptive_max_pool2d_with_indices(
    input: Any, output_size: Any, return_indices: bool = False
) -> Any:
    """The maximum and where it was; see :class:`~numpy_impl.nn.AdaptiveMaxPool2d`."""
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The maximum over so many windows; see :class:`~numpy_impl.nn.AdaptiveMaxPool3d`."""
    return by_layer(AdaptiveMaxPool3d(output_size, return_indices), input)


def adaptive_max_pool3d_with_indices(
    input: Any, output_size: Any, return_indices: bool = False
) -> Any:
    """The maximum and where it was; see :class:`~numpy_impl.nn.AdaptiveMaxPool3d`."""
    return adaptive_max_pool3d(input, output_size, True)


def fractional_max_pool2d(
    input: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The maximum over random windows; see :class:`~numpy_impl.nn.FractionalMaxPool2d`."""
    ratio = None if output_size is not None else output_ratio
    layer = FractionalMaxPool2d(kernel_size, output_size, ratio, return_indices, _random_samples)
    return by_layer(layer, input)


def fractional_max_pool2d_with_indices(
    input: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The maximum and where it was; see :class:`~numpy_impl.nn.FractionalMaxPool2d`."""
    return fractional_max_pool2d(
        input, kernel_size, output_size, output_ratio, True, _random_samples
    )


def fractional_max_pool3d(
    input: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The maximum over random windows; see :class:`~numpy_impl.nn.FractionalMaxPool3d`."""
    ratio = None if output_size is not None else output_ratio
    layer = FractionalMaxPool3d(kernel_size, output_size, ratio, return_indices, _random_samples)
    return by_layer(layer, input)


def fractional_max_pool3d_with_indices(
    input: Any,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The maximum and where it was; see :class:`~numpy_impl.nn.FractionalMaxPool3d`."""
    return fractional_max_pool3d(
        input, kernel_size, output_size, output_ratio, True, _random_samples
    )


max_pool1d_backward = backward_of(max_pool1d)
max_pool2d_backward = backward_of(max_pool2d)
max_pool3d_backward = backward_of(max_pool3d)
max_pool1d_with_indices_backward = backward_of(max_pool1d_with_indices)
max_pool2d_with_indices_backward = backward_of(max_pool2d_with_indices)
max_pool3d_with_indices_backward = backward_of(max_pool3d_with_indices)
avg_pool1d_backward = backward_of(avg_pool1d)
avg_pool2d_backward = backward_of(avg_pool2d)
avg_pool3d_backward = backward_of(avg_pool3d)
max_unpool1d_backward = backward_of(max_unpool1d)
max_unpool2d_backward = backward_of(max_unpool2d)
max_unpool3d_backward = backward_of(max_unpool3d)
lp_pool1d_backward = backward_of(lp_pool1d)
lp_pool2d_backward = backward_of(lp_pool2d)
lp_pool3d_backward = backward_of(lp_pool3d)
adaptive_avg_pool1d_backward = backward_of(adaptive_avg_pool1d)
adaptive_avg_pool2d_backward = backward_of(adaptive_avg_pool2d)
adaptive_avg_pool3d_backward = backward_of(adaptive_avg_pool3d)
adaptive_max_pool1d_backward = backward_of(adaptive_max_pool1d)
adaptive_max_pool2d_backward = backward_of(adaptive_max_pool2d)
adaptive_max_pool3d_backward = backward_of(adaptive_max_pool3d)
adaptive_max_pool1d_with_indices_backward = backward_of(adaptive_max_pool1d_with_indices)
adaptive_max_pool2d_with_indices_backward = backward_of(adaptive_max_pool2d_with_indices)
adaptive_max_pool3d_with_indices_backward = backward_of(adaptive_max_pool3d_with_indices)
