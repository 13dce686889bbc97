"""Convolutions in groups of few channels, depthwise ones above all: too few for a matrix product.

There is a sum over taps, ``output += weight[k] * input[..., k:k + L]``, and no more to it. What
makes it fast is that a row along the last axis, all of its positions and groups, is one contiguous
run, which a weight for each of them meets: one pass of einsum, whose inner loop multiplies and adds
at once. A stride splits the last axis into as many phases, each contiguous again.

Letters in shape comments: N batch, G groups, C channels and F filters of each, S... input sizes,
O... output sizes, K... kernel sizes; of the last axis L positions in the input's phase or of the
output, T taps that meet one phase.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpy_impl.kernels.im2col import Steps
from numpy_impl.kernels.threads import cache_slices, for_each_slice, sum_each
from numpy_impl.kernels.windows import Ints, pad_channels_last
from numpy_impl.types import Array

# multiplications for each position, group and tap: beyond, a matrix product is faster
_FEW = 16
# elements of a row that are worked on at a time: more take no less time
_RUN = 4096


def is_depthwise(weight: Array, groups: int) -> bool:
    """Whether a weight (G F, C, K...) is better off here than in a matrix product."""
    return groups > 1 and len(weight) // groups * weight.shape[1] <= _FEW


class _Taps(NamedTuple):
    """The taps along the last axis that meet one phase: ``first::every``."""

    first: int
    every: int
    phase: int
    start: int  # where in its phase the first one begins
    step: int  # by how much in it the next one lies further


def _taps(kernel: int, stride: int, dilation: int) -> list[_Taps]:
    """The taps of the last axis by phase: tap k meets input ``stride * o + dilation * k``."""
    common = math.gcd(stride, dilation)
    every, step = stride // common, dilation // common
    return [
        _Taps(k, every, dilation * k % stride, dilation * k // stride, step)
        for k in range(min(every, kernel))
    ]


class _Rows:
    """What all functions here work on.

    Args:
        input: (N, S..., G C).
        shape: of the weight, (G F, C, K...).
        outputs: O...
        steps: how the windows lie.

    Attributes:
        input: its rows, padded: (N, S..., C, phases, L G).
        taps: those of the last axis.
        run: how many positions of an output row to work on at a time.
        window_axes, weight_axes, output_axes: einsum's labels for (N, O..., K..., T, C, L G),
            (F, K..., T, C, L G) and (N, O..., F, L G).
    """

    def __init__(self, input: Array, shape: Ints, outputs: Ints, steps: Steps) -> None:
        filters, self.channels, *kernel = shape
        self.groups, self.filters = steps.groups, filters // steps.groups
        self.kernel, self.outputs, self.steps = kernel, outputs, steps
        self.taps = _taps(kernel[-1], steps.stride[-1], steps.dilation[-1])
        self.run = max(1, min(outputs[-1], _RUN // steps.groups))
        n = len(kernel)
        self.window_axes = [*range(2 * n + 2)]
        self.weight_axes = [2 * n + 2, *range(n, 2 * n + 2)]
        self.output_axes = [*range(n), 2 * n + 2, 2 * n + 1]
        # as many positions in each phase
        phases, (low, high) = steps.stride[-1], steps.pads[-1]
        high += -(low + input.shape[-2] + high) % phases
        padded = pad_channels_last(input, (*steps.pads[:-1], (low, high)))
        *outer, size, _ = padded.shape
        split = padded.reshape(*outer, size // phases, phases, self.groups, self.channels)
        self.input = _merged(np.moveaxis(split, (-1, -3), (-4, -3)))

    def pieces(self) -> list[slice]:
        """Of the output's last axis."""
        return [slice(i, i + self.run) for i in range(0, self.outputs[-1], self.run)]

    def elements(self, piece: slice) -> slice:
        """Where a piece's positions, each of G groups, are in a row."""
        return slice(piece.start * self.groups, piece.stop * self.groups)

    def windows(self, images: slice, piece: slice, taps: _Taps) -> Array:
        """What a piece of the output meets: (N, O..., K..., T, C, L G), a view."""
        rows, (stride, _, dilation, groups) = self.input[images], self.steps
        of_image, *of_sizes, of_channel, of_phase, of_element = rows.strides
        count = min(piece.stop, self.outputs[-1]) - piece.start
        taps_here = len(range(taps.first, self.kernel[-1], taps.every))
        shape = (
            *(len(rows), *self.outputs[:-1], *self.kernel[:-1]),
            *(taps_here, self.channels, count * groups),
        )
        strides = (
            of_image,
            *(b * s for b, s in zip(of_sizes, stride, strict=False)),
            *(b * d for b, d in zip(of_sizes, dilation, strict=False)),
            *(taps.step * groups * of_element, of_channel, of_element),
        )
        start = taps.phase * of_phase + (piece.start + taps.start) * groups * of_element
        return np.ndarray(shape, rows.dtype, rows, start, strides)

    def filters_of(self, weight: Array, taps: _Taps) -> Array:
        """(G F, C, K...) -> for each position of a run (F, K..., T, C, L G)."""
        split = weight.reshape(self.groups, self.filters, *weight.shape[1:])
        split = split[..., taps.first :: taps.every]
        order = (1, *range(3, split.ndim), 2, 0)
        return self.repeated(split.transpose(order))

    def repeated(self, values: Array) -> Array:
        """(..., G) -> for each position of a run (..., L G)"""
        return _merged(np.repeat(values[..., None, :], self.run, -2))


def _merged(rows: Array) -> Array:
    """(..., L, G) -> (..., L G)"""
    *outer, positions, groups = rows.shape
    return np.ascontiguousarray(rows).reshape(*outer, positions * groups)


def convolve(input: Array, weight: Array, bias: Array | None, outputs: Ints, steps: Steps) -> Array:
    """``textbook.conv``: (N, S..., G C), (G F, C, K...) and (G F,) -> (N, O..., G F)."""
    output = np.empty((len(input), *outputs, len(weight)), input.dtype)
    if not output.size:
        return output
    rows = _Rows(input, weight.shape, outputs, steps)
    filters = [rows.filters_of(weight, taps) for taps in rows.taps]
    shape = (len(input), *outputs[:-1], rows.filters, outputs[-1], rows.groups)
    summed = output.reshape(shape) if rows.filters == 1 else np.empty(shape, input.dtype)
    summed = summed.reshape(*shape[:-2], outputs[-1] * rows.groups)  # (N, O..., F, L G)
    if bias is not None:
        bias = rows.repeated(bias.reshape(rows.groups, rows.filters).T)  # (F, L G)

    def fill(images: slice) -> None:
        for piece in rows.pieces():
            total = summed[images, ..., rows.elements(piece)]
            size = total.shape[-1]
            for i, (taps, factors) in enumerate(zip(rows.taps, filters, strict=True)):
                operands = rows.windows(images, piece, taps), factors[..., :size]
                axes = rows.window_axes, rows.weight_axes, rows.output_axes
                if i == 0:
                    np.einsum(operands[0], axes[0], operands[1], axes[1], axes[2], out=total)
                else:
                    total += np.einsum(operands[0], axes[0], operands[1], axes[1], axes[2])
            if bias is not None:
                total += bias[:, :size]

    for_each_slice(fill, len(input), output.size)
    if rows.filters > 1:
        output.reshape(*shape[:-3], *shape[-2:], rows.filters)[...] = np.moveaxis(
            summed.reshape(shape), -3, -1
        )
    return output


def weight_grad(upstream: Array, input: Array, shape: Ints, steps: Steps) -> Array:
    """``textbook.conv_backward`` for the weight: (N, O..., G F), (N, S..., G C) -> ``shape``."""
    if not upstream.size:
        return np.zeros(shape, upstream.dtype)
    _, *outputs, _ = upstream.shape
    rows = _Rows(input, shape, tuple(outputs), steps)
    groups, filters = rows.groups, rows.filters
    split = upstream.reshape(*upstream.shape[:-1], groups, filters)
    grads = _merged(np.moveaxis(split, -1, -3))  # (N, O..., F, L G)

    def products(images: slice) -> Sequence[Array]:
        sums = []
        for taps in rows.taps:
            total: Array | None = None
            for piece in rows.pieces():
                windows, part = rows.windows(images, piece, taps), grads[images]
                part = part[..., rows.elements(piece)]
                axes = rows.output_axes, rows.weight_axes
                product = np.einsum(windows, rows.window_axes, part, axes[0], axes[1])
                # (F, K..., T, C, G)
                product = product.reshape(*product.shape[:-1], -1, groups).sum(-2)
                total = product if total is None else total + product
            assert total is not None
            sums.append(total)
        return sums

    size = math.prod(outputs) * groups * math.prod(shape[1:-1])
    grad = np.empty((groups, filters, *shape[1:]), upstream.dtype)
    order = (grad.ndim - 1, 0, grad.ndim - 2, *range(1, grad.ndim - 2))
    sums = sum_each(products, cache_slices(len(input), size))
    for taps, total in zip(rows.taps, sums, strict=True):
        grad[..., taps.first :: taps.every] = total.transpose(order)
    return grad.reshape(shape)
