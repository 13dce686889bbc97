"""MaxPool1d/2d/3d and AvgPool1d/2d/3d.

How they are defined: ``textbook.max_pool``, ``textbook.avg_pool`` and their backwards; how they are
computed fast: ``kernels/pooling.py``.
"""

from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.kernels import pooling as kernels
from numpy_impl.kernels.pooling import Geometry
from numpy_impl.kernels.windows import Ints
from numpy_impl.nn.batched import Batched
from numpy_impl.nn.checks import cached, ntuple

Array = np.ndarray


def fixed_window(
    n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Ints, Ints, Ints, Ints]:
    """What torch's arguments mean on ``n`` axes, checked; no stride, or an empty one: the kernel's.

    Raises:
        TypeError: if they are no ints.
        ValueError: for sizes out of range, padding above half the kernel.
    """
    kernel = ntuple(kernel_size, n, "kernel_size", broadcast=True)
    if stride is None or (isinstance(stride, tuple | list) and not stride):
        stride = kernel
    strides = ntuple(stride, n, "stride", broadcast=True)
    margins = ntuple(padding, n, "padding", minimum=0, broadcast=True)
    dilations = ntuple(dilation, n, "dilation", broadcast=True)
    if any(2 * p > k for p, k in zip(margins, kernel, strict=True)):
        raise ValueError(f"padding must be at most half of kernel_size {kernel}, got {margins}")
    return kernel, strides, margins, dilations


@cached
def fixed_geometry(sizes: Ints, *window: Any) -> Geometry:
    """Of an input with those sizes; kernel_size to dilation as torch's layers have them."""
    *arguments, ceil_mode = window
    return Geometry(sizes, *fixed_window(len(sizes), *arguments), ceil_mode)


def fixed_max_pool(input: Array, geometry: Geometry, return_indices: bool) -> tuple[Any, ...]:
    """The maxima, with their indices if wanted, and what backward needs."""
    output: Any
    output, place = kernels.max_pool(input, geometry, return_indices or grad_mode.enabled)
    if return_indices and place is not None:
        output = (output, kernels.flat_indices(place, geometry))
    return output, place, geometry


class _MaxPoolNd(Batched):
    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode
        fixed_window(self._n, kernel_size, stride, padding, dilation)

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        window = (self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)
        return fixed_max_pool(input, fixed_geometry(input.shape[2:], *window), self.return_indices)

    def backward_batch(self, grad_output: Any, place: Array, geometry: Geometry) -> Array:
        if isinstance(grad_output, tuple):  # the indices have no gradient
            grad_output = grad_output[0]
        return kernels.max_pool_backward(grad_output, place, geometry)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPoolNd):
    """Maximum over windows of one axis; see :class:`MaxPool2d`.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxPool1d.html
    """

    _n = 1


class MaxPool2d(_MaxPoolNd):
    r"""Maximum over windows: :math:`y[n,c,i,j] = \max_{u,v} x[n,c,\,s_h i + d_h u - p_h,\,\dots]`.

    Backward hands each gradient to the element that was the maximum; of equal ones to the first
    in C order, as torch does. A NaN in a window is its maximum.

    Args:
        kernel_size: (Kh, Kw), or one int for both; so are stride, padding and dilation.
        stride: the step between windows; ``kernel_size`` unless given.
        padding: elements of minus infinity on both sides, at most half the kernel; never taken
            for the maximum, even among equals.
        dilation: the step between a window's elements.
        return_indices: also return each maximum's position in its flattened H x W plane (int64).
        ceil_mode: let a last window overhang the input.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W'),
        H' = floor((H + 2 p - d (Kh - 1) - 1) / s) + 1 (ceil instead of floor with ceil_mode).

    Raises:
        ValueError: for sizes out of range, padding above half the kernel, a kernel that does not
            fit the input.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxPool2d.html
    """

    _n = 2


class MaxPool3d(_MaxPoolNd):
    """Maximum over windows of three axes; see :class:`MaxPool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxPool3d.html
    """

    _n = 3


class _AvgPoolNd(Batched):
    divisor_override: int | None = None

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None,
        padding: int | tuple[int, ...],
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        fixed_window(self._n, kernel_size, stride, padding, 1)

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        window = (self.kernel_size, self.stride, self.padding, 1, self.ceil_mode)
        geometry = fixed_geometry(input.shape[2:], *window)
        _check_divisor(self.divisor_override)
        divisors = kernels.divisors(
            geometry, self.count_include_pad, self.divisor_override, input.dtype
        )
        return kernels.avg_pool(input, geometry, divisors), geometry, divisors

    def backward_batch(self, grad_output: Array, geometry: Geometry, divisors: Array) -> Array:
        return kernels.avg_pool_backward(grad_output, geometry, divisors)


class AvgPool1d(_AvgPoolNd):
    """Mean over windows of one axis; see :class:`AvgPool2d`.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html
    """

    _n = 1

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        # torch.nn.AvgPool1d keeps tuples, and shows them
        self.kernel_size, self.stride, self.padding = (
            tuple(value) if isinstance(value, tuple | list) else (value,)
            for value in (kernel_size, self.stride, padding)
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(_AvgPoolNd):
    r"""Mean over windows.

    .. math::
        y[n,c,i,j] = \frac{1}{|W|}\sum_{u,v} x[n,c,\,s_h i + u - p_h,\,\dots]

    Args:
        kernel_size: (Kh, Kw), or one int for both; so are stride and padding.
        stride: the step between windows; ``kernel_size`` unless given.
        padding: zeros on both sides, at most half the kernel.
        ceil_mode: let a last window overhang the input.
        count_include_pad: whether \|W\| counts the zeros of the padding (never what overhangs
            beyond it).
        divisor_override: \|W\| for every window, if given.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W'), H' = floor((H + 2 p - Kh) / s) + 1
        (ceil instead of floor with ceil_mode).

    Raises:
        ValueError: for sizes out of range, padding above half the kernel, a divisor of 0, a
            kernel that does not fit the input.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AvgPool2d.html
    """

    _n = 2

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        _check_divisor(divisor_override)
        self.divisor_override = divisor_override

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(AvgPool2d):
    """Mean over windows of three axes; see :class:`AvgPool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AvgPool3d.html
    """

    _n = 3


def _check_divisor(value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise ValueError(f"divisor_override must be None or an int other than 0, got {value!r}")
