"""MaxUnpool1d/2d/3d: the way back of max pooling, as a layer of its own."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl.kernels.ranges import flat_in_planes, flat_positions, scatter
from numpy_impl.kernels.windows import Ints, channels_first, channels_last
from numpy_impl.nn.checks import check_array, ntuple
from numpy_impl.nn.module import Module

Array = np.ndarray


def max_unpool(input: Array, flat: Array, sizes: Ints) -> Array:
    """Each value at its position, zeros elsewhere: (N, C, O...) -> (N, C, S...)."""
    if flat.ndim == 1:
        return scatter(input, flat, (*input.shape[:2], *sizes), are_unique=True)
    x = channels_last(input)
    return channels_first(scatter(x, flat, (len(x), *sizes, x.shape[-1]), are_unique=True))


def max_unpool_backward(grad_output: Array, flat: Array, shape: Ints) -> Array:
    """The gradient at each value's position: (N, C, S...) -> (N, C, O...)."""
    if flat.ndim == 1:
        return grad_output.reshape(-1).take(flat, mode="clip").reshape(shape)
    return channels_first(channels_last(grad_output).reshape(-1).take(flat))


class _MaxUnpoolNd(Module):
    _n: int

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: int | tuple[int, ...] = 0,
    ) -> None:
        super().__init__()
        n = self._n
        self.kernel_size = ntuple(kernel_size, n, "kernel_size")
        self.stride = ntuple(kernel_size if stride is None else stride, n, "stride")
        self.padding = ntuple(padding, n, "padding", minimum=0)

    def forward(
        self, input: Array, indices: Array, output_size: Sequence[int] | None = None
    ) -> Array:
        n = self._n
        input = check_array(input, "input", None, (n + 1, n + 2))
        _check_indices(indices, input)
        if 0 in input.shape[-n - 1 :]:
            raise ValueError(f"input must be empty in its batch alone, got shape {input.shape}")
        sizes = self._sizes(input.shape[-n:], output_size)
        is_single = input.ndim == n + 1
        if is_single:
            input, indices = input[None], indices[None]
        points = math.prod(sizes)
        low, high = int(indices.min(initial=0)), int(indices.max(initial=-1))
        if low < 0 or high >= points:
            wrong = low if low < 0 else high
            raise ValueError(f"indices must lie in an output of sizes {sizes}, got {wrong}")
        if input.flags.c_contiguous and indices.flags.c_contiguous:
            flat = flat_in_planes(indices, points)
        else:
            flat = flat_positions(channels_last(indices), points)
        shape = input.shape
        output = max_unpool(input, flat, sizes)
        output = output[0] if is_single else output
        self.save_for_backward(output, flat, shape, is_single)
        return output

    def backward(self, grad_output: Array) -> tuple[Array, None]:
        grad_output, flat, shape, is_single = self.saved_for_backward(grad_output)
        if is_single:
            return max_unpool_backward(grad_output[None], flat, shape)[0], None
        return max_unpool_backward(grad_output, flat, shape), None

    def _sizes(self, sizes: Ints, output_size: Sequence[int] | None) -> Ints:
        """The output's sizes S..., given or the smallest that were pooled to ``sizes``."""
        n = self._n
        window = zip(sizes, self.kernel_size, self.stride, self.padding, strict=True)
        default = tuple((size - 1) * s + k - 2 * p for size, k, s, p in window)
        if output_size is None:
            wanted = default
        else:
            if not isinstance(output_size, tuple | list) or len(output_size) not in (n, n + 2):
                raise ValueError(
                    f"output_size must be a sequence of {n} or {n + 2} ints, got {output_size!r}"
                )
            wanted = ntuple(tuple(output_size)[-n:], n, "output_size", minimum=0)
            near = zip(wanted, default, self.stride, strict=True)
            if not all(d - s < size < d + s for size, d, s in near):
                raise ValueError(
                    f"output_size must be less than a stride {self.stride} from {default}, "
                    f"got {output_size!r}"
                )
        if min(wanted) < 0:
            raise ValueError(
                f"padding {self.padding} must leave an output of input sizes {sizes}, got {wanted}"
            )
        return wanted

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _check_indices(indices: Any, input: Array) -> None:
    if not isinstance(indices, np.ndarray) or indices.dtype != np.int64:
        kind = indices.dtype if isinstance(indices, np.ndarray) else type(indices).__name__
        raise TypeError(f"indices must be an array of int64, got {kind}")
    if indices.shape != input.shape:
        raise ValueError(f"indices must have the input's shape {input.shape}, got {indices.shape}")


class MaxUnpool1d(_MaxUnpoolNd):
    """What :class:`MaxPool1d` has pooled, with zeros in between; see :class:`MaxUnpool2d`.

    Shape:
        (N, C, L) or (C, L), and indices of the same shape -> (N, C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxUnpool1d.html
    """

    _n = 1


class MaxUnpool2d(_MaxUnpoolNd):
    r"""Puts the maxima of :class:`MaxPool2d` back where they were, among zeros.

    .. math::
        y[n,c].\mathrm{flatten}()[\mathrm{indices}[n,c,i,j]] = x[n,c,i,j]

    Of several values for one position the last in C order stays, and each of them gets that
    position's gradient.

    Args:
        kernel_size: (Kh, Kw) of the pooling, or one int for both; so are stride and padding.
        stride: the step between windows; ``kernel_size`` unless given.
        padding: that of the pooling.

    Shape:
        input (N, C, H, W) or (C, H, W), indices of the same shape (int64, as ``return_indices``
        gives them) -> (N, C, H', W'), H' = (H - 1) s - 2 p + Kh, or ``output_size`` of the call:
        (H', W') or a whole shape, less than a stride from that.

    Raises:
        TypeError: if the indices are no int64.
        ValueError: for sizes out of range, another shape of indices, an index outside the output.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxUnpool2d.html
    """

    _n = 2


class MaxUnpool3d(_MaxUnpoolNd):
    """What :class:`MaxPool3d` has pooled, with zeros in between; see :class:`MaxUnpool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W), and indices of the same shape -> (N, C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.MaxUnpool3d.html
    """

    _n = 3
