"""From windows to matrix products: what a convolution multiplies by its filters.

There are two ways. :class:`Im2col`: a row of the matrix is a whole window, and one product
multiplies it by all filters. :class:`ByRows`: a row is what a window has along the last axis alone;
every position of the kernel along the other axes (a tap) has a product of its own with a shifted
part of the same matrix, and they are summed. Its copy is as many times smaller as there are taps.

Both work in blocks that stay in the cache. Letters in shape comments: N batch, C input channels,
Sp... padded input sizes, O... output sizes, K... kernel sizes, M rows of a matrix (output
positions), G groups, F filters.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from numpy_impl.nn._window import Ints, Pads, pad_channels_last

Array = np.ndarray
Block = tuple[slice, slice]  # of N and of the first of O...
# shorter contiguous runs (in elements) than this are gathered along positions instead
_SHORT_RUN = 8
# of the matrix made at a time: GEMM reads it again before it leaves the cache
_BLOCK_BYTES = 1024 * 1024
# rows of a matrix: with fewer GEMM is slow
_LEAST_ROWS = 128
# rows that GEMM sums at once: with more it is slow, and threads do not speed it up
_LONG_SUM = 4096
# of an im2col matrix: below, one product is sooner done than several
_LEAST_ELEMENTS = 2**17


class Im2col:
    """The windows of one input shape; a row of the matrix is a window.

    Args:
        shape: of the input, (N, S..., C).
        itemsize: of its elements, in bytes.
        filters: F.
        kernel, stride, pads, dilation: K..., and the steps and margins of the windows.
        groups: G.

    Attributes:
        outputs: O...
        filters_shape: (taps, G, columns, F/G), the right sides of the products.
        blocks: what to work on at a time.

    Raises:
        ValueError: if the kernel does not fit into the padded input.
    """

    def __init__(
        self,
        shape: Ints,
        itemsize: int,
        filters: int,
        kernel: Ints,
        stride: Ints,
        pads: Pads,
        dilation: Ints,
        groups: int,
    ) -> None:
        batch, *sizes, channels = shape
        n = len(sizes)
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padded = [low + size + high for size, (low, high) in zip(sizes, pads, strict=True)]
        if any(span > size for span, size in zip(spans, padded, strict=True)):
            raise ValueError(
                f"the dilated kernel {tuple(spans)} must not be larger than the padded input "
                f"{tuple(padded)}"
            )
        self._pads, self._groups = pads, groups
        # floor((S + pads - dilation * (K - 1) - 1) / stride) + 1 for each axis
        self.outputs = tuple(
            (p - k) // s + 1 for p, k, s in zip(padded, spans, stride, strict=True)
        )
        # the first axes, along which the kernel's positions are taps
        outer = self._outer_axes(n)
        taps, gathered = math.prod(kernel[:outer]), math.prod(kernel[outer:]) * channels
        self.filters_shape = (taps, groups, gathered // groups, filters // groups)
        # where each tap's part of the matrix starts, and how far behind the output's end it ends
        self._starts = [
            tuple(k * d for k, d in zip(tap, dilation, strict=False))
            for tap in np.ndindex(*kernel[:outer])
        ]
        self._reach = [span - 1 for span in spans[:outer]]
        # windows: (N, Sp... of the outer axes, O... and K... of the others, C), and the bytes from
        # one element to the next of each axis
        self._shape = (*padded[:outer], *self.outputs[outer:], *kernel[outer:], channels)
        steps = [itemsize * channels * math.prod(padded[i + 1 :]) for i in range(n)]
        self._strides = (
            itemsize * channels * math.prod(padded),
            *steps[:outer],
            *(step * s for step, s in zip(steps[outer:], stride[outer:], strict=True)),
            *(step * d for step, d in zip(steps[outer:], dilation[outer:], strict=True)),
            itemsize,
        )
        # how windows (N, O..., K..., G, C/G), or without the G, become the matrix
        self._along_positions = kernel[-1] * channels < _SHORT_RUN * groups
        rows, columns = range(n + 1), range(n + 1, 2 * n + 1)
        group, channel = ((), 2 * n + 1) if groups == 1 else ((2 * n + 1,), 2 * n + 2)
        self._axes = (
            (*group, *columns, channel, *rows)
            if self._along_positions
            else (*group, *rows, *columns, channel)
        )
        self.blocks = self._make_blocks(batch, gathered * itemsize)

    @staticmethod
    def _outer_axes(n: int) -> int:
        return 0

    def _make_blocks(self, batch: int, row_bytes: int) -> list[Block]:
        """``row_bytes`` are those of a row of the matrix."""
        height, reach = self.outputs[0], self._first_reach
        rows = math.prod(self._shape[1 : len(self.outputs)])  # for one step of the first axis
        image_bytes = (height + reach) * rows * row_bytes
        # several blocks need the same image: then it is padded once, beforehand
        self._padded_once = image_bytes > _BLOCK_BYTES
        images, steps = 1, height
        if self._padded_once:
            fitting = _BLOCK_BYTES // (rows * row_bytes) - reach
            steps = max(fitting, 2 * reach, -(-_LEAST_ROWS // rows))
        else:
            images = _BLOCK_BYTES // max(1, image_bytes)
        return [
            (slice(i, i + images), slice(first, first + steps))
            for i in range(0, batch, images)
            for first in range(0, height, steps)
        ]

    @property
    def _first_reach(self) -> int:
        return self._reach[0] if self._reach else 0

    def windows(self, input: Array) -> Array:
        """(N, S..., C) -> its windows, a view of the padded input: (N, O..., K..., C).

        By rows they are (N, Sp..., O, K, C): with every padded position of the outer axes.
        """
        padded = pad_channels_last(input, self._pads)
        # the constructor itself: numpy.lib.stride_tricks takes ten times as long
        return np.ndarray((len(padded), *self._shape), padded.dtype, padded, 0, self._strides)

    def windows_of_blocks(self, input: Array) -> Callable[[Block], Array]:
        """The same, block by block: padding is cheaper on what stays in the cache."""
        if not self._padded_once:
            return lambda block: self.windows(input[block[0]])
        whole, reach = self.windows(input), self._first_reach
        return lambda block: whole[block[0], block[1].start : block[1].stop + reach]

    def matrices(self, windows: Array) -> Sequence[Array]:
        """Windows of a block -> (G, M, columns), the matrix whose rows the filters multiply."""
        _, groups, columns, _ = self.filters_shape
        if groups > 1:
            windows = windows.reshape(*windows.shape[:-1], groups, -1)
        if self._along_positions:
            return [windows.transpose(self._axes).reshape(groups, columns, -1).swapaxes(1, 2)]
        return [windows.transpose(self._axes).reshape(groups, -1, columns)]

    def rows(self, array: Array) -> Array:
        """A block (N, O..., F) as the products have it: (G, M, F/G), a view."""
        return group_rows(array, self._groups)

    def summands(self, rows: Array, images: int) -> Array:
        """A matrix or rows (G, M, X) for a sum over M: (N, G, M/N, X), a view, if M is long."""
        groups, length, columns = rows.shape
        if length <= _LONG_SUM:
            return rows
        return rows.reshape(groups, images, -1, columns).swapaxes(0, 1)


class ByRows(Im2col):
    """The same, with a row of the matrix for what a window has along the last axis alone.

    For one group, stride 1 along the other axes, and runs long enough to be gathered.
    """

    @staticmethod
    def _outer_axes(n: int) -> int:
        return n - 1

    def matrices(self, windows: Array) -> Sequence[Array]:
        """Windows of a block -> for each tap (N, ..., M, columns), shifted views of one matrix."""
        *positions, k, channels = windows.shape
        # (reshape alone would give a view whose rows overlap, which no BLAS takes)
        gathered = np.ascontiguousarray(windows).reshape(*positions, k * channels)
        ends = [size - reach for size, reach in zip(gathered.shape[1:], self._reach, strict=False)]
        return [
            self.rows(
                gathered[
                    (
                        slice(None),
                        *(slice(a, a + b) for a, b in zip(starts, ends, strict=True)),
                    )
                ]
            )
            for starts in self._starts
        ]

    def rows(self, array: Array) -> Array:
        """A block (N, O..., X) as the products have it: (N, ..., M, X), a view."""
        *outer, a, b, columns = array.shape
        return array.reshape(*outer, a * b, columns)

    def summands(self, rows: Array, images: int) -> Array:
        """(N, ..., M, X), the sums are short as it is."""
        return rows


def group_rows(array: Array, groups: int) -> Array:
    """(N, O..., F) -> (G, M, F/G), a view."""
    filters = array.shape[-1]
    if groups == 1:
        return array.reshape(1, -1, filters)
    return array.reshape(-1, groups, filters // groups).transpose(1, 0, 2)


@lru_cache(maxsize=512)
def geometry(
    shape: Ints,
    itemsize: int,
    filters: int,
    kernel: Ints,
    stride: Ints,
    pads: Pads,
    dilation: Ints,
    groups: int,
) -> Im2col:
    """The faster way for an input shape; arguments and errors as those of :class:`Im2col`."""
    arguments = (shape, itemsize, filters, kernel, stride, pads, dilation, groups)
    plain = Im2col(*arguments)
    run = kernel[-1] * shape[-1]
    pays = (
        groups == 1
        and math.prod(kernel[:-1]) > 1
        and all(s == 1 for s in stride[:-1])
        # each tap saves a copy of its columns and costs a pass over the output
        and max(_SHORT_RUN, filters) <= run
        and math.prod(plain.outputs[-2:]) >= _LEAST_ROWS
        and shape[0] * math.prod(plain.outputs) * math.prod(kernel) * shape[-1] >= _LEAST_ELEMENTS
    )
    return ByRows(*arguments) if pays else plain
