"""MaxPool1d/2d/3d and AvgPool1d/2d/3d.

Both walk the kernel's positions, never the output's: each step is one array operation over the
elements that stand at that position of every window. Letters as in ``_window``.
"""

import math
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any

import numpy as np

from numpy_impl._threads import on_slices
from numpy_impl.grad_mode import grad_mode
from numpy_impl.nn._mask import as_mask, select
from numpy_impl.nn._window import (
    Ints,
    Pads,
    Slices,
    batched,
    cached,
    channels_first,
    channels_last,
    interior,
    ntuple,
    pad_channels_last,
    window_slices,
    with_batch,
    without_batch,
)
from numpy_impl.nn.module import Module

Array = np.ndarray


def _output_sizes(
    sizes: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, ceil_mode: bool
) -> Ints:
    """torch's sizes: with ceil_mode a last window may overhang, but not start in the high pad."""
    if 0 in sizes:
        raise ValueError(f"input sizes must be at least 1, got {tuple(sizes)}")
    outputs = []
    for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        span = size + 2 * p - d * (k - 1) - 1
        output = (-(-span // s) if ceil_mode else span // s) + 1
        if ceil_mode and (output - 1) * s >= size + p:
            output -= 1
        if output < 1:
            raise ValueError(
                f"kernel_size {kernel} (dilation {dilation}) must not be larger than the padded "
                f"input, got input sizes {tuple(sizes)} and padding {padding}"
            )
        outputs.append(output)
    return tuple(outputs)


def _pads(
    sizes: Ints, kernel: Ints, stride: Ints, padding: Ints, dilation: Ints, outputs: Ints
) -> Pads:
    """The padding, and on the high side as much more as a last overhanging window needs."""
    return tuple(
        (p, max(p, (o - 1) * s + d * (k - 1) + 1 - size - p))
        for size, k, s, p, d, o in zip(
            sizes, kernel, stride, padding, dilation, outputs, strict=True
        )
    )


def _window(
    owner: str, n: int, kernel_size: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Ints, Ints, Ints, Ints]:
    """What torch's arguments mean on ``n`` axes, checked; no stride, or an empty one: the kernel's.

    Raises:
        TypeError: if they are no ints.
        ValueError: for sizes out of range, padding above half the kernel.
    """
    kernel = ntuple(kernel_size, n, "kernel_size", owner, spread=True)
    if stride is None or (isinstance(stride, tuple | list) and not stride):
        stride = kernel
    strides = ntuple(stride, n, "stride", owner, spread=True)
    margins = ntuple(padding, n, "padding", owner, minimum=0, spread=True)
    dilations = ntuple(dilation, n, "dilation", owner, spread=True)
    if any(2 * p > k for p, k in zip(margins, kernel, strict=True)):
        raise ValueError(
            f"{owner}: padding must be at most half of kernel_size {kernel}, got {margins}"
        )
    return kernel, strides, margins, dilations


class _Geometry:
    """The windows of one input shape; arguments as the layers have them."""

    def __init__(
        self,
        owner: str,
        sizes: Ints,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: bool,
    ) -> None:
        kernel, stride, padding, dilation = _window(
            owner, len(sizes), kernel_size, stride, padding, dilation
        )
        self.sizes, self.kernel, self.stride = tuple(sizes), kernel, stride
        self.dilation, self.padding = dilation, padding
        self.outputs = _output_sizes(sizes, kernel, stride, padding, dilation, ceil_mode)
        self.pads = _pads(sizes, kernel, stride, padding, dilation, self.outputs)
        self.padded = tuple(
            low + size + high for size, (low, high) in zip(sizes, self.pads, strict=True)
        )
        self.overlap = any(
            s < d * (k - 1) + 1 for k, s, d in zip(kernel, stride, dilation, strict=True)
        )
        # every element lies in exactly one window, so that backward need not start from zeros
        self.tiled = not self.overlap and all(
            k == s and k * o == size
            for k, s, o, size in zip(kernel, stride, self.outputs, self.padded, strict=True)
        )

        # for each kernel position in C order, its element of every window
        self.taps = [
            window_slices(offset, stride, dilation, self.outputs) for offset in np.ndindex(*kernel)
        ]
        # for each axis alone: the elements at each position of the kernel
        self.axis_taps = [
            [(slice(None),) * axis + (slice(j * d, j * d + s * (o - 1) + 1, s),) for j in range(k)]
            for axis, (k, s, d, o) in enumerate(
                zip(kernel, stride, dilation, self.outputs, strict=True), start=1
            )
        ]
        self.is_padded = any(map(any, self.pads))

    @cached_property
    def first_inside(self) -> Array:
        """The place of each window's first element that is no padding, (O..., 1); 0 if none is."""
        # where the maximum of zeros is found
        zeros = pad_channels_last(np.zeros((1, *self.sizes, 1), np.float32), self.pads, -np.inf)
        largest = np.empty((1, *self.outputs, 1), zeros.dtype)
        place = np.empty(largest.shape, _place_dtype(self))
        _window_maxima(zeros, self, largest)
        _find([zeros[tap] for tap in self.taps], largest, place)
        place[largest == -np.inf] = 0
        return place[0]


_geometry = cached(_Geometry)


def _max_pool(input: Array, geometry: _Geometry, need_place: bool) -> tuple[Array, Array | None]:
    """(N, S..., C) -> the maxima (N, O..., C), and where in its window each was found.

    The place counts the kernel's positions from the end (P for the first, 1 for the last), so
    that of equal maxima the first in C order has the largest number, which is torch's choice. It
    is 0 for a window in the padding alone (there are such with dilation).
    """
    output = np.empty((len(input), *geometry.outputs, input.shape[-1]), input.dtype)
    fill = partial(_fill_maxima, geometry)
    if not need_place:
        on_slices(fill, input, output)
        return output, None
    place = np.empty(output.shape, _place_dtype(geometry))
    on_slices(fill, input, output, place)
    return output, place


def _place_dtype(geometry: _Geometry) -> np.dtype:
    return np.min_scalar_type(math.prod(geometry.kernel))


def _fill_maxima(
    geometry: _Geometry, input: Array, output: Array, place: Array | None = None
) -> None:
    if geometry.is_padded:
        input = pad_channels_last(input, geometry.pads, -np.inf)
    _window_maxima(input, geometry, output)
    if place is not None:
        _find([input[tap] for tap in geometry.taps], output, place)
        # padding comes first in C order, but an input's own minus infinity is the maximum
        if any(geometry.padding) and not output.min(initial=np.inf) > -np.inf:
            np.copyto(place, geometry.first_inside, where=output == -np.inf)


def _window_maxima(part: Array, geometry: _Geometry, out: Array) -> None:
    """The maxima of the windows, one axis after the other: k + k operations instead of k * k."""
    *inner, last = geometry.axis_taps
    for taps in inner:
        part = _largest(part, taps)
    _largest(part, last, out)


def _largest(part: Array, taps: Sequence[Slices], out: Array | None = None) -> Array:
    """The maximum of the taps, element by element."""
    first, *others = taps
    if not others:
        return np.positive(part[first], out=out)
    out = np.maximum(part[first], part[others[0]], out=out)
    for tap in others[1:]:
        np.maximum(out, part[tap], out=out)
    return out


def _find(taps: Sequence[Array], largest: Array, place: Array) -> None:
    """Fill ``place`` with the number of the first tap that is the largest."""
    found = np.empty(place.shape, np.bool_)
    numbers = found.view(np.uint8) if place.itemsize == 1 else np.empty_like(place)
    place.fill(0)
    for number, tap in zip(range(len(taps), 0, -1), taps, strict=True):
        np.equal(tap, largest, out=found)
        np.multiply(found.view(np.uint8), place.dtype.type(number), out=numbers)
        np.maximum(place, numbers, out=place)
    if not place.all():
        # only NaN equals nothing, itself included; the last one of a window is torch's choice
        for number, tap in zip(range(len(taps), 0, -1), taps, strict=True):
            place[np.isnan(tap)] = number


def _max_pool_backward(upstream: Array, place: Array, geometry: _Geometry) -> Array:
    """(N, O..., C) and the places -> (N, S..., C): each gradient goes to its maximum."""
    shape = (len(upstream), *geometry.padded, upstream.shape[-1])
    grad = np.empty(shape, upstream.dtype)
    taps = geometry.taps

    def scatter(into: Array, from_above: Array, where: Array) -> None:
        if not geometry.tiled:
            into.fill(0)
        for number, tap in zip(range(len(taps), 0, -1), taps, strict=True):
            here = as_mask(where == number)
            if geometry.overlap:
                into[tap] += select(from_above, here)
            else:
                select(from_above, here, out=into[tap])

    on_slices(scatter, grad, upstream, place)
    return grad[interior(geometry.pads, geometry.sizes)]


def _flat_indices(place: Array, geometry: _Geometry) -> Array:
    """(N, O..., C) places -> the position of each maximum in its flattened input plane.

    A window in the padding alone has, as in torch, the first position past the low padding that
    its steps reach.
    """
    offsets = np.array(list(np.ndindex(*geometry.kernel)))[::-1]  # by place, counted from 1
    index = np.zeros(place.shape, np.int64)
    which = place.astype(np.intp) - 1
    for axis, size in enumerate(geometry.sizes):
        start = np.arange(geometry.outputs[axis]) * geometry.stride[axis] - geometry.padding[axis]
        start = start.reshape(-1, *(1,) * (place.ndim - axis - 2))
        dilation = geometry.dilation[axis]
        position = start + offsets[which, axis] * dilation
        if geometry.is_padded:
            np.maximum(position, position % dilation, out=position)
        index = index * size + position
    return index


class _MaxPoolNd(Module):
    _n: int

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
        _window(type(self).__name__, self._n, kernel_size, stride, padding, dilation)

    def forward(self, input: Array) -> Any:
        owner = type(self).__name__
        input, added = batched(input, self._n, owner)
        geometry = _geometry(
            owner,
            input.shape[2:],
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
        )
        need_place = self.return_indices or grad_mode.enabled
        values, place = _max_pool(channels_last(input), geometry, need_place)
        output: Any = channels_first(values)
        if self.return_indices and place is not None:
            output = (output, channels_first(_flat_indices(place, geometry)))
        output = without_batch(output, added)
        self.save_for_backward(output, added, place, geometry)
        return output

    def backward(self, grad_output: Any) -> Array:
        grad_output, added, place, geometry = self.saved_for_backward(grad_output)
        if isinstance(grad_output, tuple):  # the indices have no gradient
            grad_output = grad_output[0]
        upstream = channels_last(with_batch(grad_output, added))
        grad = _max_pool_backward(upstream, place, geometry)
        return without_batch(channels_first(grad), added)

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


def _divisors(
    geometry: _Geometry, count_include_pad: bool, override: int | None, dtype: np.dtype
) -> Array:
    """By how much each window's sum is divided: (O..., 1)."""
    if override is not None:
        return np.full((*(1,) * len(geometry.sizes), 1), override, dtype)
    counts = []
    for size, o, k, s, p in zip(
        geometry.sizes,
        geometry.outputs,
        geometry.kernel,
        geometry.stride,
        geometry.padding,
        strict=True,
    ):
        start = np.arange(o) * s - p
        # what overhangs beyond the padding (ceil_mode) never counts
        end = np.minimum(start + k, size + p)
        if not count_include_pad:
            start, end = start.clip(0), end.clip(max=size)
        counts.append(end - start)
    return math.prod(np.ix_(*counts), start=np.ones((), np.int64))[..., None].astype(dtype)


def _avg_pool(input: Array, geometry: _Geometry, divisors: Array) -> Array:
    """(N, S..., C) -> the sums of the windows (N, O..., C), divided."""
    values = np.empty((len(input), *geometry.outputs, input.shape[-1]), input.dtype)

    def pool(part: Array, total: Array) -> None:
        if geometry.is_padded:
            part = pad_channels_last(part, geometry.pads)
        first, *others = geometry.taps
        total[...] = part[first]
        for tap in others:
            total += part[tap]
        total /= divisors

    on_slices(pool, input, values)
    return values


def _avg_pool_backward(upstream: Array, geometry: _Geometry, divisors: Array) -> Array:
    """(N, O..., C) -> (N, S..., C): each gradient is shared out over its window."""
    grad = np.empty((len(upstream), *geometry.padded, upstream.shape[-1]), upstream.dtype)

    def spread(into: Array, from_above: Array) -> None:
        share = from_above / divisors
        if not geometry.tiled:
            into.fill(0)
        for tap in geometry.taps:
            if geometry.overlap:
                into[tap] += share
            else:
                into[tap] = share

    on_slices(spread, grad, upstream)
    return grad[interior(geometry.pads, geometry.sizes)]


class _AvgPoolNd(Module):
    _n: int
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
        _window(type(self).__name__, self._n, kernel_size, stride, padding, 1)

    def forward(self, input: Array) -> Array:
        owner = type(self).__name__
        input, added = batched(input, self._n, owner)
        geometry = _geometry(
            owner,
            input.shape[2:],
            self.kernel_size,
            self.stride,
            self.padding,
            1,
            self.ceil_mode,
        )
        _check_divisor(self.divisor_override, owner)
        divisors = _divisors(geometry, self.count_include_pad, self.divisor_override, input.dtype)
        values = _avg_pool(channels_last(input), geometry, divisors)
        output = without_batch(channels_first(values), added)
        self.save_for_backward(output, added, geometry, divisors)
        return output

    def backward(self, grad_output: Array) -> Array:
        grad_output, added, geometry, divisors = self.saved_for_backward(grad_output)
        upstream = channels_last(with_batch(grad_output, added))
        grad = _avg_pool_backward(upstream, geometry, divisors)
        return without_batch(channels_first(grad), added)


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
        _check_divisor(divisor_override, type(self).__name__)
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


def _check_divisor(value: Any, owner: str) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise ValueError(
            f"{owner}: divisor_override must be None or an int other than 0, got {value!r}"
        )
