"""Convolution: windows copied into matrices (:mod:`im2col`), and products of those.

All of it equals ``textbook.conv``, ``textbook.conv_transpose`` and their backwards: sums over the
kernel's positions of one product each. Arrays are (N, C, S...) by shape and channels-last in
memory, so that a row of the kernel times its channels is one contiguous run. Work goes on in blocks
that stay in the cache.

Letters in shape comments: N batch, C input channels, O... output sizes, K... kernel sizes,
M = N * prod(O...) output positions, P = prod(K...) kernel positions, G groups, F filters.
"""

import math
from collections.abc import Sequence

import numpy as np

from numpy_impl.kernels.im2col import Steps, geometry, group_rows
from numpy_impl.kernels.products import sum_rows
from numpy_impl.kernels.threads import cache_slices, for_each, for_each_slice, sum_each
from numpy_impl.kernels.windows import (
    Ints,
    channels_first,
    channels_last,
    interior,
    window_slices,
)

Array = np.ndarray


def _is_depthwise(weight: Array, groups: int) -> bool:
    """One channel in, one filter out in every group: sums over taps alone, no GEMM."""
    return groups > 1 and len(weight) == groups and weight.shape[1] == 1


def _depthwise_axes(n: int) -> tuple[list[int], list[int], list[int]]:
    """einsum's labels for windows (N, O..., K..., C), weight (K..., C), output (N, O..., C)."""
    outputs, kernel, channel = [*range(n + 1)], [*range(n + 1, 2 * n + 1)], [2 * n + 1]
    return outputs + kernel + channel, kernel + channel, outputs + channel


def convolve(input: Array, weight: Array, bias: Array | None, steps: Steps) -> Array:
    """``textbook.conv``: (N, C, S...) and (F, C/G, K...) -> (N, F, O...)."""
    last, shape = channels_last(input), weight.shape
    windows = geometry(last.shape, last.itemsize, shape[0], shape[2:], steps)
    size = (len(last), *windows.outputs, shape[0])
    if windows.is_small:
        return channels_first(windows.product(last, weight, bias).reshape(size))
    output = np.empty(size, last.dtype)
    if _is_depthwise(weight, steps.groups):
        _convolve_depthwise(windows.windows(last), weight, bias, output)
        return channels_first(output)
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
        product(windows.windows(last), output)
    else:
        view = windows.windows_of_blocks(last)
        for_each(lambda block: product(view(block), output[block]), windows.blocks)
    return channels_first(output)


def _convolve_depthwise(windows: Array, weight: Array, bias: Array | None, output: Array) -> None:
    """One filter a channel: windows (N, O..., K..., C) -> ``output`` (N, O..., C)."""
    view_axes, weight_axes, output_axes = _depthwise_axes(weight.ndim - 2)
    by_channel = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))  # (K..., C)

    def fill(images: slice) -> None:
        # (no order="C": einsum would then walk the axes in that order, five times as slow)
        output[images] = np.einsum(windows[images], view_axes, by_channel, weight_axes, output_axes)
        if bias is not None:
            output[images] += bias

    for_each_slice(fill, len(output), output.size)


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
    if _is_depthwise(weight, steps.groups):
        view_axes, weight_axes, output_axes = _depthwise_axes(len(kernel))
        # (K..., C)
        by_channel = np.einsum(windows.windows(last), view_axes, upstream, output_axes, weight_axes)
        grad_bias = sum_rows(group_rows(upstream, 1)) if with_bias else None
        return np.ascontiguousarray(np.moveaxis(by_channel, -1, 0)[:, None]), grad_bias
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
