"""From windows to matrix products: what a convolution multiplies by its filters.

There are two ways. :class:`Im2col`: a row of the matrix is a whole window, and one product
multiplies it by all filters. :class:`ByRows`: a row is what a window has along the last axis alone;
every position of the kernel along the other axes (a tap) has a product of its own with a shifted
part of the same matrix, and they are summed. Its copy is as many times smaller as there are taps.

A bias is one weight more, whose input is always 1: a last column of ones in the matrix, so that
the products add it, and sum its gradient, on their way.

Both work in blocks that stay in the cache. Letters in shape comments: N batch, C input channels,
Sp... padded input sizes, O... output sizes, K... kernel sizes, M rows of a matrix (output
positions), G groups, F filters. An axis G is left out where there is one group.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from numpy_impl.kernels.products import matmul, sum_along
from numpy_impl.kernels.windows import Ints, Pads, interior, pad_channels_last

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
# of each operand that is worth keeping until the next call
_KEPT_ELEMENTS = 2**16


class Steps(NamedTuple):
    """How the windows of a convolution lie: steps and margins for each axis, and G."""

    stride: Ints
    pads: Pads
    dilation: Ints
    groups: int


class _Workspace(NamedTuple):
    """The operands of one product, and where in them the arguments of a convolution go."""

    input: Array  # (N, S..., C), inside the padded input
    windows: Array  # (N, O..., K..., C), of the padded input
    columns: Array  # (N, O..., K..., C), in the matrix
    matrix: Array
    weight: Array  # (K..., C, F), in the filters
    bias: Array  # (1, F), or (0, F), in the filters
    filters: Array


class Im2col:
    """The windows of one input shape; a row of the matrix is a window.

    Args:
        shape: of the input, (N, S..., C).
        itemsize: of its elements, in bytes.
        filters: F.
        kernel: K...
        steps: how the windows lie.

    Attributes:
        outputs: O...
        blocks: what to work on at a time.
        is_small: whether :meth:`product` does it all.

    Raises:
        ValueError: if the kernel does not fit into the padded input.
    """

    def __init__(
        self, shape: Ints, itemsize: int, filters: int, kernel: Ints, steps: Steps
    ) -> None:
        batch, *sizes, channels = shape
        stride, pads, dilation, groups = steps
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
        group_axis = () if groups == 1 else (groups,)
        self._columns = math.prod(kernel[outer:]) * channels // groups
        self._tap_shape = (*group_axis, self._columns, filters // groups)
        # filters as GEMM takes them, which is (F, C, K...) or (G, F/G, C/G, K...) in another order
        self._split_shape = (*group_axis, *kernel, channels // groups, filters // groups)
        self._filter_axes = (*range(2, n + 2), 1, 0) if groups == 1 else (0, *range(3, n + 3), 2, 1)
        self._weight_axes = np.argsort(self._filter_axes)
        # where each tap's part of the matrix starts; the halo is by how much windows are wider than
        # their output
        self._starts = [
            tuple(k * d for k, d in zip(tap, dilation, strict=False))
            for tap in np.ndindex(*kernel[:outer])
        ]
        self._halo = [span - 1 for span in spans[:outer]]
        # windows: (N, Sp... of the outer axes, O... and K... of the others, C), and the bytes from
        # one element to the next of each axis
        self._shape = (*padded[:outer], *self.outputs[outer:], *kernel[outer:], channels)
        steps_in_bytes = [itemsize * channels * math.prod(padded[i + 1 :]) for i in range(n)]
        self._strides = (
            itemsize * channels * math.prod(padded),
            *steps_in_bytes[:outer],
            *(b * s for b, s in zip(steps_in_bytes[outer:], stride[outer:], strict=True)),
            *(b * d for b, d in zip(steps_in_bytes[outer:], dilation[outer:], strict=True)),
            itemsize,
        )
        self._along_positions = kernel[-1] * channels < _SHORT_RUN * groups
        # elements of the padded input, the matrix and the filters
        operands = (
            batch * math.prod(padded) * channels,
            batch * math.prod(self.outputs) * self._columns,
            self._columns * filters,
        )
        self.is_small = (
            groups == 1
            and outer == 0
            and max(operands) <= _KEPT_ELEMENTS
            and min(min(pair) for pair in pads) >= 0
        )
        self._kept: dict[bool, list[_Workspace]] = {False: [], True: []}
        self.blocks = self._make_blocks(batch, self._columns * groups * itemsize)

    @staticmethod
    def _outer_axes(n: int) -> int:
        return 0

    def _make_blocks(self, batch: int, row_bytes: int) -> list[Block]:
        """``row_bytes`` are those of a row of the matrix."""
        height, halo = self.outputs[0], self._first_halo
        rows = math.prod(self._shape[1 : len(self.outputs)])  # for one step of the first axis
        image_bytes = (height + halo) * rows * row_bytes
        # several blocks need the same image: then it is padded once, beforehand
        self._padded_once = image_bytes > _BLOCK_BYTES
        images, steps = 1, height
        if self._padded_once:
            fitting = _BLOCK_BYTES // (rows * row_bytes) - halo
            steps = max(fitting, 2 * halo, -(-_LEAST_ROWS // rows))
        else:
            images = _BLOCK_BYTES // max(1, image_bytes)
        return [
            (slice(i, i + images), slice(first, first + steps))
            for i in range(0, max(1, batch), images)  # an empty batch is a block, too
            for first in range(0, height, steps)
        ]

    @property
    def _first_halo(self) -> int:
        return self._halo[0] if self._halo else 0

    def windows(self, input: Array) -> Array:
        """(N, S..., C) -> its windows, a view of the padded input: (N, O..., K..., C).

        By rows they are (N, Sp..., O, K, C): with every padded position of the outer axes.
        """
        return self._windows_of_padded(pad_channels_last(input, self._pads))

    def _windows_of_padded(self, padded: Array) -> Array:
        # the constructor itself: numpy.lib.stride_tricks takes ten times as long
        return np.ndarray((len(padded), *self._shape), padded.dtype, padded, 0, self._strides)

    def windows_of_blocks(self, input: Array) -> Callable[[Block], Array]:
        """The same, block by block: padding is cheaper on what stays in the cache."""
        if not self._padded_once:
            return lambda block: self.windows(input[block[0]])
        whole, halo = self.windows(input), self._first_halo
        return lambda block: whole[block[0], block[1].start : block[1].stop + halo]

    def filters(self, weight: Array, bias: Array | None) -> list[Array]:
        """Weight (F, C/G, K...) -> for each tap (G, columns, F/G), the right side of its product.

        The first one has the bias as its last row.
        """
        if self._groups > 1:
            filters, *others = weight.shape
            weight = weight.reshape(self._groups, filters // self._groups, *others)
        # a copy: GEMM takes contiguous filters a third faster than transposed ones
        by_tap = list(weight.transpose(self._filter_axes).reshape(-1, *self._tap_shape))
        if bias is not None:
            bias = bias.reshape(*self._tap_shape[:-2], 1, -1)
            by_tap[0] = np.concatenate((by_tap[0], bias), -2)
        return by_tap

    def unfiltered(self, by_tap: Sequence[Array], with_bias: bool) -> tuple[Array, Array | None]:
        """The way back of :meth:`filters`: (F, C/G, K...), and (F,) if there is a bias."""
        first, *others = by_tap
        bias = first[..., -1, :].flatten() if with_bias else None
        taps = np.concatenate((first[..., : self._columns, :], *others), -2)
        weight = taps.reshape(self._split_shape).transpose(self._weight_axes)
        if self._groups > 1:
            weight = weight.reshape(-1, *weight.shape[2:])
        return np.ascontiguousarray(weight), bias

    def matrices(self, windows: Array, ones: bool) -> Sequence[Array]:
        """Windows of a block -> for each tap (G, M, columns), what its filters multiply.

        The first one has, with ``ones``, a last column of them.
        """
        groups, columns = self._groups, self._columns
        if groups > 1:
            *outer, channels = windows.shape
            windows = windows.reshape(*outer, groups, channels // groups)
            windows = windows.transpose(-2, *range(windows.ndim - 2), -1)
        sizes, rows = self._tap_shape[:-2], windows.size // (groups * columns)
        # gathered a window at a time, or one element of all windows at a time
        if self._along_positions:
            transposed = np.empty((*sizes, columns + ones, rows), windows.dtype)
            matrix = transposed.swapaxes(-1, -2)
        else:
            matrix = np.empty((*sizes, rows, columns + ones), windows.dtype)
        return [_fill(matrix, windows, columns)]

    def rows(self, array: Array) -> Array:
        """A block (N, O..., F) as the products have it: (G, M, F/G), a view."""
        return group_rows(array, self._groups)

    def product(self, input: Array, weight: Array, bias: Array | None) -> Array:
        """The convolution of a small input at once: (N, S..., C) -> (M, F), a new array.

        Most of its time would go into making operands and views of them, so they are kept.
        """
        kept = self._kept[bias is not None]
        # callers at the same time have one each: popping and appending are atomic
        try:
            work = kept.pop()
        except IndexError:
            work = self._make_workspace(input, bias is not None)
        work.input[...] = input
        work.columns[...] = work.windows
        work.weight[...] = weight.transpose(self._filter_axes)
        if bias is not None:
            work.bias[...] = bias
        output = matmul(work.matrix, work.filters)
        kept.append(work)
        return output

    def _make_workspace(self, input: Array, with_bias: bool) -> "_Workspace":
        padded = pad_channels_last(np.zeros_like(input), self._pads)
        windows = self._windows_of_padded(padded)
        (matrix,) = self.matrices(windows, with_bias)
        columns, filters = self._tap_shape
        operand = np.empty((columns + with_bias, filters), input.dtype)
        return _Workspace(
            padded[interior(self._pads, input.shape[1:-1])],
            windows,
            matrix[:, :columns].reshape(windows.shape),
            matrix,
            operand[:columns].reshape(self._split_shape),
            operand[columns:],
            operand,
        )

    def sum_products(self, matrix: Array, rows: Array, images: int) -> Array:
        """(G, M, columns), (G, M, F/G) -> (G, columns, F/G): their product, summed over M."""
        left, right = self._summands(matrix, images), self._summands(rows, images)
        products = left.swapaxes(-1, -2) @ right
        return sum_along(products.reshape(-1, *products.shape[-len(self._tap_shape) :]), 0)

    def _summands(self, rows: Array, images: int) -> Array:
        """(G, M, X), or (N, G, M/N, X) if M is long, a view."""
        *sizes, length, columns = rows.shape
        if length <= _LONG_SUM:
            return rows
        split = rows.reshape(*sizes, images, length // images, columns)
        return split.swapaxes(0, 1) if sizes else split


class ByRows(Im2col):
    """The same, with a row of the matrix for what a window has along the last axis alone.

    For one group, stride 1 along the other axes, and runs long enough to be gathered.
    """

    @staticmethod
    def _outer_axes(n: int) -> int:
        return n - 1

    def matrices(self, windows: Array, ones: bool) -> Sequence[Array]:
        """Windows of a block -> for each tap (N, ..., M, columns), shifted views of one matrix."""
        *positions, _, _ = windows.shape
        gathered = np.empty((*positions, self._columns + ones), windows.dtype)
        _fill(gathered, windows, self._columns)
        ends = [size - halo for size, halo in zip(positions[1:], self._halo, strict=False)]
        taps = [
            gathered[(slice(None), *(slice(a, a + b) for a, b in zip(starts, ends, strict=True)))]
            for starts in self._starts
        ]
        return [self.rows(tap[..., : self._columns] if i else tap) for i, tap in enumerate(taps)]

    def rows(self, array: Array) -> Array:
        """A block (N, O..., X) as the products have it: (N, ..., M, X), a view."""
        *outer, a, b, columns = array.shape
        return array.reshape(*outer, a * b, columns)

    def _summands(self, rows: Array, images: int) -> Array:
        """(N, ..., M, X), the sums are short as it is."""
        return rows


def _fill(matrix: Array, windows: Array, columns: int) -> Array:
    """Copy windows into the first columns of the matrix, and ones into a column behind them."""
    # each axis is split, none is merged: a view
    matrix[..., :columns].reshape(windows.shape)[...] = windows
    matrix[..., columns:] = 1
    return matrix


def group_rows(array: Array, groups: int) -> Array:
    """(N, O..., F) -> (G, M, F/G), a view."""
    *outer, filters = array.shape
    rows = math.prod(outer)  # not -1: NumPy cannot divide the elements of an empty batch
    if groups == 1:
        return array.reshape(rows, filters)
    return array.reshape(rows, groups, filters // groups).transpose(1, 0, 2)


@lru_cache(maxsize=128)
def geometry(shape: Ints, itemsize: int, filters: int, kernel: Ints, steps: Steps) -> Im2col:
    """The faster way for an input shape; arguments and errors as those of :class:`Im2col`."""
    arguments = (shape, itemsize, filters, kernel, steps)
    plain = Im2col(*arguments)
    run = kernel[-1] * shape[-1]
    pays = (
        steps.groups == 1
        and math.prod(kernel[:-1]) > 1
        and all(s == 1 for s in steps.stride[:-1])
        # each tap saves a copy of its columns and costs a pass over the output
        and max(_SHORT_RUN, filters) <= run
        and math.prod(plain.outputs[-2:]) >= _LEAST_ROWS
        and shape[0] * math.prod(plain.outputs) * math.prod(kernel) * shape[-1] >= _LEAST_ELEMENTS
    )
    return ByRows(*arguments) if pays else plain
