"""Convolution: windows copied into matrices (:mod:`im2col`), and products of those.

All of it equals ``textbook.conv``, ``textbook.conv_transpose`` and their backwards: sums over the
kernel's positions of one product each. Arrays are (N, C, S...) by shape and channels-last in
memory, so that a row of the kernel times its channels is one contiguous run. Work goes on in blocks
that stay in the cache.

Letters in shape comments: N batch, C input channels, O... output sizes, K... kernel sizes,
M = N * prod(O...) output positions, P = prod(K...) kernel positions, G groups, F filters.
"""

import itertools
import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from numpy_impl.kernels import depthwise
from numpy_impl.kernels.depthwise import is_depthwise
from numpy_impl.kernels.im2col import Steps, geometry, group_rows
from numpy_impl.kernels.products import sum_rows
from numpy_impl.kernels.threads import cache_slices, for_each, sum_each, with_one_blas_thread
from numpy_impl.kernels.windows import (
    Ints,
    channels_first,
    channels_last,
    interior,
    window_slices,
)

Array = np.ndarray


def convolve(input: Array, weight: Array, bias: Array | None, steps: Steps) -> Array:
    """``textbook.conv``: (N, C, S...) and (F, C/G, K...) -> (N, F, O...)."""
    last, shape = channels_last(input), weight.shape
    windows = geometry(last.shape, last.itemsize, shape[0], shape[2:], steps)
    size = (len(last), *windows.outputs, shape[0])
    if windows.is_small:
        return channels_first(windows.product(last, weight, bias).reshape(size))
    if is_depthwise(weight, steps.groups):
        return channels_first(depthwise.convolve(last, weight, bias, windows.outputs, steps))
    output = np.empty(size, last.dtype)
    first, *others = windows.filters(weight, bias)

    def product(view: Array, part: Array) -> None:
        rows = windows.rows(part)
        matrix, *matrices = windows.matrices(view, bias is not None)
        np.matmul(matrix, first, out=rows)
        if others:
            summand = np.empty_like(rows)
            for matrix, filters in zip(matrices, others, strict=True):
                rows += np.matmul(matrix, filters, out=summand)

    if len(windows.blocks) == 1:
        with_one_blas_thread(partial(product, windows.windows(last), output))
    else:
        view = windows.windows_of_blocks(last)
        for_each(lambda block: product(view(block), output[block]), windows.blocks)
    return channels_first(output)


def convolve_backward(
    grad_output: Array, input: Array, weight: Array, steps: Steps, needs: tuple[bool, ...]
) -> tuple[Array | None, Array | None, Array | None]:
    """``textbook.conv_backward``: gradients for input, weight and bias, where needed.

    The weight's is one more GEMM over the same windows, and the bias's comes with it; the input's
    is a convolution itself (stride 1), or what im2col took, added back.
    """
    upstream = np.ascontiguousarray(channels_last(grad_output))  # (N, O..., F)
    grad_input = grad_weight = grad_bias = None
    if needs[1] or needs[2]:
        grad_weight, grad_bias = _weight_grad(
            upstream, channels_last(input), weight, steps, needs[2]
        )
    if needs[0]:
        grad_input = _input_grad(upstream, input.shape, weight, None, steps)
    return grad_input, grad_weight, grad_bias


def convolve_transposed(
    input: Array, weight: Array, bias: Array | None, steps: Steps, sizes: Ints
) -> Array:
    """``textbook.conv_transpose``: (N, F, O...) and (F, C/G, K...) -> (N, C, S...).

    The letters are those of the convolution that it is the way back of, whose windows must fill
    S... up to ``steps.pads``: an output_padding is that much less padding on the high side.
    """
    upstream = np.ascontiguousarray(channels_last(input))
    shape = (len(input), weight.shape[1] * steps.groups, *sizes)
    return _input_grad(upstream, shape, weight, bias, steps)


def convolve_transposed_backward(
    grad_output: Array, input: Array, weight: Array, steps: Steps, needs: tuple[bool, ...]
) -> tuple[Array | None, Array | None, Array | None]:
    """``textbook.conv_transpose_backward``: gradients for input, weight and bias, where needed."""
    upstream = channels_last(grad_output)
    grad_input = grad_weight = grad_bias = None
    if needs[0]:
        grad_input = convolve(grad_output, weight, None, steps)
    if needs[1]:
        rows = np.ascontiguousarray(channels_last(input))
        grad_weight, _ = _weight_grad(rows, upstream, weight, steps, False)
    if needs[2]:
        grad_bias = sum_rows(group_rows(np.ascontiguousarray(upstream), 1))
    return grad_input, grad_weight, grad_bias


def _weight_grad(
    upstream: Array, last: Array, weight: Array, steps: Steps, with_bias: bool
) -> tuple[Array, Array | None]:
    """dW = X^T dY, with X the matrix of :func:`convolve`, and db."""
    filters, _, *kernel = weight.shape
    windows = geometry(last.shape, last.itemsize, filters, tuple(kernel), steps)
    if is_depthwise(weight, steps.groups):
        grad_bias = sum_rows(group_rows(upstream, 1)) if with_bias else None
        return depthwise.weight_grad(upstream, last, weight.shape, steps), grad_bias
    view = windows.windows_of_blocks(last)

    def products(block: tuple[slice, slice]) -> Sequence[Array]:
        part = upstream[block]
        rows = windows.rows(part)
        return [
            windows.sum_products(matrix, rows, len(part))
            for matrix in windows.matrices(view(block), with_bias)
        ]

    return windows.unfiltered(sum_each(products, windows.blocks), with_bias)


def _input_grad(
    upstream: Array, shape: Ints, weight: Array, bias: Array | None, steps: Steps
) -> Array:
    """(N, O..., F) -> ``shape`` (N, C, S...), plus a bias (C,) if it is an output."""
    if 0 in shape:
        return np.zeros(shape, upstream.dtype)
    if all(s == 1 for s in steps.stride):
        return _input_grad_by_convolution(upstream, weight, bias, steps)
    overlap = any(k > s for k, s in zip(weight.shape[2:], steps.stride, strict=True))
    # phases take copies of F for every tap, scattering sums of C
    if is_depthwise(weight, steps.groups) or (overlap and len(weight) <= 2 * shape[1]):
        return _input_grad_by_phases(upstream, shape, weight, bias, steps)
    return _input_grad_by_scattering(upstream, shape, weight, bias, steps)


def _input_grad_by_convolution(
    upstream: Array, weight: Array, bias: Array | None, steps: Steps
) -> Array:
    """Stride 1: the upstream gradient, padded, convolved with the flipped, transposed kernel."""
    filters, per_group, *kernel = weight.shape
    groups, dilation = steps.groups, steps.dilation
    flipped = np.flip(weight, tuple(range(2, weight.ndim)))
    by_group = flipped.reshape(groups, filters // groups, per_group, *kernel).swapaxes(1, 2)
    transposed = by_group.reshape(groups * per_group, filters // groups, *kernel)
    halo = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    pads = tuple((h - low, h - high) for h, (low, high) in zip(halo, steps.pads, strict=True))
    return convolve(channels_first(upstream), transposed, bias, steps._replace(pads=pads))


def _input_grad_by_phases(
    upstream: Array, shape: Ints, weight: Array, bias: Array | None, steps: Steps
) -> Array:
    """Any stride s: elements that lie s apart meet the same taps, as all do at stride 1."""
    batch, channels, *sizes = shape
    grad = np.zeros((batch, *sizes, channels), upstream.dtype)
    if bias is not None:
        grad += bias  # also of elements that no window reaches
    numbers = zip(sizes, weight.shape[2:], upstream.shape[1:-1], *steps[:3], strict=True)
    for phases in itertools.product(*(_phases(*of_axis) for of_axis in numbers)):
        where, taps, pads, dilation = zip(*phases, strict=True)
        part = Steps((1,) * len(sizes), pads, dilation, steps.groups)
        found = _input_grad_by_convolution(upstream, weight[:, :, *taps], bias, part)
        grad[:, *where] = channels_last(found)
    return channels_first(grad)


def _phases(
    size: int, kernel: int, outputs: int, stride: int, pads: tuple[int, int], dilation: int
) -> list[tuple[slice, slice, tuple[int, int], int]]:
    """Elements of one axis that lie a stride apart: where, and which taps they meet.

    And with what pads and dilation a convolution of them alone, at stride 1, has the same outputs.
    """
    found = []
    common = math.gcd(stride, dilation)
    every, step = stride // common, dilation // common
    for tap in range(min(every, kernel)):
        # through tap + every * t output o meets the padded element phase + stride * index, with
        # index = o + start + step * t
        start, phase = divmod(dilation * tap, stride)
        first = -((phase - pads[0]) // stride)  # the index of the first that is no padding
        where = slice(phase + stride * first - pads[0], size, stride)
        taps = slice(tap, kernel, every)
        elements = len(range(size)[where])
        low, halo = first - start, step * (len(range(kernel)[taps]) - 1)
        if elements:
            found.append((where, taps, (low, outputs - elements - low + halo), step))
    return found


def _input_grad_by_scattering(
    upstream: Array, shape: Ints, weight: Array, bias: Array | None, steps: Steps
) -> Array:
    """Any stride: dX = dY W^T, each column added back to the element im2col took it from."""
    batch, channels, *sizes = shape
    filters, per_group, *kernel = weight.shape
    stride, pads, dilation, groups = steps
    windows = geometry((batch, *sizes, channels), weight.itemsize, filters, tuple(kernel), steps)
    by_column = np.concatenate(windows.filters(weight, None), -2).swapaxes(-1, -2)
    offsets = list(np.ndindex(*kernel))
    # (what negative padding crops is an output that no window reaches)
    padded_sizes = [
        low + size + max(high, 0) for size, (low, high) in zip(sizes, pads, strict=True)
    ]
    padded = np.zeros((batch, *padded_sizes, groups, per_group), upstream.dtype)
    if bias is not None:
        padded += bias.reshape(groups, per_group)

    def scatter(images: slice) -> None:
        part = upstream[images]
        columns = group_rows(part, groups) @ by_column
        taps = columns.reshape(groups, *part.shape[:-1], len(offsets), per_group)
        taps = np.moveaxis(taps, 0, -2)  # (N, O..., P, G, C/G)
        for p, offset in enumerate(offsets):
            where = window_slices(offset, stride, dilation, windows.outputs)
            padded[images][where] += taps[..., p, :, :]

    # as many elements an image as im2col would copy
    columns_size = math.prod(windows.outputs) * len(offsets) * channels
    for_each(scatter, cache_slices(batch, columns_size))
    padded = padded.reshape(batch, *padded_sizes, channels)
    return channels_first(np.ascontiguousarray(padded[interior(pads, sizes)]))
