r"""Unfold and Fold: all windows of an image as columns of a matrix, and their sum where they lie.

Letters in shape comments: N batch, C channels, H, W sizes, Kh, Kw those of the kernel, L windows:
Oh along H times Ow along W.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.kernels.windows import Ints, window_slices
from numpy_impl.nn.batched import Batched
from numpy_impl.nn.checks import cached, ntuple
from numpy_impl.types import Array


class Blocks(NamedTuple):
    """Where the windows of an image lie."""

    sizes: Ints  # H, W
    kernel: Ints
    dilation: Ints
    padding: Ints
    stride: Ints
    outputs: Ints  # Oh, Ow

    def taps(self, padded: Array) -> list[Array]:
        """(N, C, Hp, Wp) -> for each position in the kernel what all windows have there.

        Each is a view (N, C, Oh, Ow).
        """
        offsets = np.ndindex(*self.kernel)
        slices = (window_slices(k, self.stride, self.dilation, self.outputs)[1:] for k in offsets)
        return [padded[:, :, rows, columns] for rows, columns in slices]

    def padded_sizes(self) -> Ints:
        return tuple(size + 2 * p for size, p in zip(self.sizes, self.padding, strict=True))

    def inside(self, padded: Array) -> Array:
        """(N, C, Hp, Wp) -> (N, C, H, W), a view."""
        rows, columns = (
            slice(p, p + size) for p, size in zip(self.padding, self.sizes, strict=True)
        )
        return padded[..., rows, columns]


@cached
def blocks_of(sizes: Ints, *window: Any) -> Blocks:
    """Of an image with those sizes; kernel_size, dilation, padding and stride as torch has them.

    Raises:
        TypeError: if they are no ints.
        ValueError: for sizes out of range, a kernel that does not fit.
    """
    blocks = checked_window(*window)
    outputs = tuple(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, d, p, s in zip(sizes, *blocks, strict=True)
    )
    if min(outputs) < 1:
        raise ValueError(
            f"kernel_size {blocks[0]} with dilation {blocks[1]} must fit into {sizes} with "
            f"padding {blocks[2]}"
        )
    return Blocks(sizes, *blocks, outputs)


def checked_window(
    kernel_size: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Ints, Ints, Ints, Ints]:
    """The same, as two ints each."""
    return (
        ntuple(kernel_size, 2, "kernel_size"),
        ntuple(dilation, 2, "dilation"),
        ntuple(padding, 2, "padding", 0),
        ntuple(stride, 2, "stride"),
    )


def unfold(input: Array, blocks: Blocks) -> Array:
    """Copies of all windows: (N, C, H, W) -> (N, C Kh Kw, L)."""
    padded = np.zeros((*input.shape[:2], *blocks.padded_sizes()), input.dtype)
    blocks.inside(padded)[...] = input
    windows = np.stack(blocks.taps(padded), 2)  # (N, C, Kh Kw, Oh, Ow)
    batch, channels, taps, *outputs = windows.shape
    return windows.reshape(batch, channels * taps, math.prod(outputs))


def unfold_backward(grad_output: Array, blocks: Blocks) -> Array:
    """Each element gets the gradients of all its copies: their sum."""
    return fold(grad_output, blocks)


def fold(input: Array, blocks: Blocks) -> Array:
    """The sum of windows, each where it lies: (N, C Kh Kw, L) -> (N, C, H, W)."""
    batch, rows, _ = input.shape
    taps = math.prod(blocks.kernel)
    columns = input.reshape(batch, rows // taps, taps, *blocks.outputs)
    padded = np.zeros((batch, rows // taps, *blocks.padded_sizes()), input.dtype)
    for tap, view in enumerate(blocks.taps(padded)):
        view += columns[:, :, tap]
    return np.ascontiguousarray(blocks.inside(padded))


def fold_backward(grad_output: Array, blocks: Blocks) -> Array:
    """Each summand gets its sum's gradient: copies."""
    return unfold(grad_output, blocks)


class Unfold(Batched):
    r"""The windows that a convolution multiplies by its filters, a column each (im2col).

    .. math::
        y[n,\,(c, u, v),\,(i, j)] = x[n,c,\,s_h i + d_h u - p_h,\,s_w j + d_w v - p_w]

    so that ``weight.reshape(F, -1) @ unfold(x)`` is the convolution.

    Args:
        kernel_size: (Kh, Kw), or one int for both; so are dilation, padding and stride.
        dilation: d, the step between the kernel's elements.
        padding: p zeros on both sides.
        stride: s, the step between windows.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C Kh Kw, L), L = Oh Ow windows with
        Oh = floor((H + 2 p - d (Kh - 1) - 1) / s) + 1.

    Raises:
        ValueError: for sizes out of range, a kernel that does not fit, an input without channels
            or positions.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Unfold.html
    """

    _n = 2

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        dilation: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        stride: int | tuple[int, ...] = 1,
    ) -> None:
        super().__init__()
        checked_window(kernel_size, dilation, padding, stride)
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        if 0 in input.shape[1:]:
            raise ValueError(f"input must have channels and positions, got shape {input.shape}")
        blocks = blocks_of(
            input.shape[2:], self.kernel_size, self.dilation, self.padding, self.stride
        )
        return unfold(input, blocks), blocks

    def backward_batch(self, grad_output: Array, blocks: Blocks) -> Array:
        return unfold_backward(grad_output, blocks)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Fold(Batched):
    r"""The sum of windows, each where it lies: the gradient of :class:`Unfold` as a layer (col2im).

    .. math::
        y[n,c,\,s_h i + d_h u - p_h,\,s_w j + d_w v - p_w] \mathrel{+}= x[n,\,(c, u, v),\,(i, j)]
        \quad\text{for all } i,j,u,v

    Args:
        output_size: (H, W), or one int for both; so are the others.
        kernel_size: (Kh, Kw).
        dilation: d, the step between the kernel's elements.
        padding: p elements on both sides that are left out.
        stride: s, the step between windows.

    Shape:
        (N, C Kh Kw, L) or (C Kh Kw, L) -> (N, C, H, W), with L as :class:`Unfold` has it for
        (H, W).

    Raises:
        ValueError: for sizes out of range, a kernel that does not fit, rows that Kh Kw does not
            divide, another number of windows.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Fold.html
    """

    _n = 1

    def __init__(
        self,
        output_size: int | tuple[int, ...],
        kernel_size: int | tuple[int, ...],
        dilation: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        stride: int | tuple[int, ...] = 1,
    ) -> None:
        super().__init__()
        ntuple(output_size, 2, "output_size")
        checked_window(kernel_size, dilation, padding, stride)
        self.output_size = output_size
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        sizes = ntuple(self.output_size, 2, "output_size")
        blocks = blocks_of(sizes, self.kernel_size, self.dilation, self.padding, self.stride)
        rows, windows = input.shape[1:]
        taps, wanted = math.prod(blocks.kernel), math.prod(blocks.outputs)
        if rows % taps or not rows:
            raise ValueError(
                f"input must have a multiple of Kh Kw = {taps} rows, got shape {input.shape}"
            )
        if windows != wanted:
            raise ValueError(
                f"input must have Oh Ow = {wanted} columns for output_size {sizes}, "
                f"got shape {input.shape}"
            )
        return fold(input, blocks), blocks

    def backward_batch(self, grad_output: Array, blocks: Blocks) -> Array:
        return fold_backward(grad_output, blocks)

    def extra_repr(self) -> str:
        return (
            f"output_size={self.output_size}, kernel_size={self.kernel_size}, "
            f"dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )
