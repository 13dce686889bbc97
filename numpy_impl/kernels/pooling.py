"""Pooling: each step is one operation over the elements at one position of every window.

They walk the kernel's positions, never the output's. Arrays are (N, C, S...) by shape and
channels-last in memory. Letters as in :mod:`windows`; a tap is what stands at one position of the
kernel in every window.
"""

import math
from collections.abc import Sequence
from functools import cached_property, partial

import numpy as np

from numpy_impl.kernels.masks import as_mask, select
from numpy_impl.kernels.threads import slicewise
from numpy_impl.kernels.windows import (
    Ints,
    Pads,
    channels_first,
    channels_last,
    interior,
    pad_channels_last,
    window_slices,
)

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


class Geometry:
    """The windows of one input shape (N, C, S...).

    Args:
        sizes: S...
        kernel, stride, padding, dilation: for each axis.
        ceil_mode: let a last window overhang the input.

    Raises:
        ValueError: if no window fits.
    """

    def __init__(
        self,
        sizes: Ints,
        kernel: Ints,
        stride: Ints,
        padding: Ints,
        dilation: Ints,
        ceil_mode: bool,
    ) -> None:
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
        find([zeros[tap] for tap in self.taps], largest, place)
        place[largest == -np.inf] = 0
        return place[0]


def max_pool(input: Array, geometry: Geometry, need_place: bool) -> tuple[Array, Array | None]:
    """``textbook.max_pool``: the maxima (N, C, O...), and where in its window each was found.

    The place counts the kernel's positions from the end (P for the first, 1 for the last), so
    that of equal maxima the first in C order has the largest number, which is torch's choice. It
    is 0 for a window in the padding alone (there are such with dilation).
    """
    last = channels_last(input)
    output = np.empty((len(last), *geometry.outputs, last.shape[-1]), last.dtype)
    fill = partial(_fill_maxima, geometry)
    if not need_place:
        slicewise(fill, last, output)
        return channels_first(output), None
    place = np.empty(output.shape, _place_dtype(geometry))
    slicewise(fill, last, output, place)
    return channels_first(output), place


def _place_dtype(geometry: Geometry) -> np.dtype:
    return np.min_scalar_type(math.prod(geometry.kernel))


def _fill_maxima(
    geometry: Geometry, input: Array, output: Array, place: Array | None = None
) -> None:
    if geometry.is_padded:
        input = pad_channels_last(input, geometry.pads, -np.inf)
    _window_maxima(input, geometry, output)
    if place is not None:
        find([input[tap] for tap in geometry.taps], output, place)
        # padding comes first in C order, but an input's own minus infinity is the maximum
        if any(geometry.padding) and not output.min(initial=np.inf) > -np.inf:
            np.copyto(place, geometry.first_inside, where=output == -np.inf)


def _window_maxima(part: Array, geometry: Geometry, out: Array) -> None:
    """The maxima of the windows, one axis after the other: k + k operations instead of k * k."""
    *inner, last = geometry.axis_taps
    for taps in inner:
        part = maximum_of([part[tap] for tap in taps])
    maximum_of([part[tap] for tap in last], out)


def maximum_of(taps: Sequence[Array], out: Array | None = None) -> Array:
    """``np.maximum.reduce(taps)``, element by element, into ``out``."""
    first, *others = taps
    if not others:
        return np.positive(first, out=out)
    out = np.maximum(first, others[0], out=out)
    for tap in others[1:]:
        np.maximum(out, tap, out=out)
    return out


def find(taps: Sequence[Array], largest: Array, place: Array) -> None:
    """Fill ``place`` with the number of the first tap that is the largest: the last one's is 1."""
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


def max_pool_backward(grad_output: Array, place: Array, geometry: Geometry) -> Array:
    """``textbook.max_pool_backward``, from the places: each gradient goes to its maximum."""
    upstream = channels_last(grad_output)
    shape = (len(upstream), *geometry.padded, upstream.shape[-1])
    grad = np.empty(shape, upstream.dtype)
    taps = geometry.taps

    def scatter(into: Array, from_above: Array, where: Array) -> None:
        from_above = np.ascontiguousarray(from_above)
        if not geometry.tiled:
            into.fill(0)
        for number, tap in zip(range(len(taps), 0, -1), taps, strict=True):
            here = as_mask(where == number)
            if geometry.overlap:
                into[tap] += select(from_above, here)
            else:
                select(from_above, here, out=into[tap])

    slicewise(scatter, grad, upstream, place)
    return channels_first(grad[interior(geometry.pads, geometry.sizes)])


def flat_indices(place: Array, geometry: Geometry) -> Array:
    """Places -> the position of each maximum in its flattened input plane, (N, C, O...).

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
    return channels_first(index)


def divisors(
    geometry: Geometry, count_include_pad: bool, override: int | None, dtype: np.dtype
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


def avg_pool(input: Array, geometry: Geometry, divisors: Array) -> Array:
    """``textbook.avg_pool``: the sums of the windows (N, C, O...), divided."""
    last = channels_last(input)
    values = np.empty((len(last), *geometry.outputs, last.shape[-1]), last.dtype)

    def pool(part: Array, total: Array) -> None:
        if geometry.is_padded:
            part = pad_channels_last(part, geometry.pads)
        first, *others = geometry.taps
        total[...] = part[first]
        for tap in others:
            total += part[tap]
        total /= divisors

    slicewise(pool, last, values)
    return channels_first(values)


def avg_pool_backward(grad_output: Array, geometry: Geometry, divisors: Array) -> Array:
    """``textbook.avg_pool_backward``: each gradient is shared out over its window."""
    upstream = channels_last(grad_output)
    grad = np.empty((len(upstream), *geometry.padded, upstream.shape[-1]), upstream.dtype)

    def share_out(into: Array, from_above: Array) -> None:
        share = np.divide(from_above, divisors, order="C")
        if not geometry.tiled:
            into.fill(0)
        for tap in geometry.taps:
            if geometry.overlap:
                into[tap] += share
            else:
                into[tap] = share

    slicewise(share_out, grad, upstream)
    return channels_first(grad[interior(geometry.pads, geometry.sizes)])
