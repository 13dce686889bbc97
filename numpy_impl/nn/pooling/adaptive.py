"""AdaptiveAvgPool1d/2d/3d, AdaptiveMaxPool1d/2d/3d: given is the output's size, not the window's.

Of S elements and O outputs, the o-th window reaches from floor(o S / O) up to, without it,
ceil((o + 1) S / O). Where O divides S that is an ordinary pooling; otherwise neighbours share
an element, and their sizes differ by one.
"""

import math
from typing import Any

import numpy as np

from numpy_impl.grad_mode import grad_mode
from numpy_impl.kernels import ranges as kernels
from numpy_impl.kernels.pooling import Geometry, max_pool_backward
from numpy_impl.kernels.ranges import Ranges, adaptive_covering, adaptive_ranges
from numpy_impl.kernels.threads import slicewise
from numpy_impl.kernels.windows import Ints, channels_first, channels_last
from numpy_impl.nn.batched import Batched
from numpy_impl.nn.checks import check_int
from numpy_impl.nn.pooling.fixed import fixed_geometry, fixed_max_pool

Array = np.ndarray
# elements of a window up to which the ordinary pooling, which walks its positions, is faster
_SMALL = 16
OutputSize = int | None | tuple[int | None, ...]


def adaptive_avg_pool(input: Array, outputs: Ints) -> Array:
    """The mean of each window: (N, C, S...) -> (N, C, O...)."""
    windows = _windows(input.shape[2:], outputs)
    x = channels_last(input)
    values = np.empty((len(x), *outputs, x.shape[-1]), x.dtype)
    counts = _counts(windows, x.dtype)

    def pool(part: Array, out: Array) -> None:
        np.divide(kernels.range_sums(part, windows), counts, out=out)

    slicewise(pool, x, values)
    return channels_first(values)


def adaptive_avg_pool_backward(grad_output: Array, sizes: Ints) -> Array:
    """Each gradient, over the number of elements, goes to all of its window's: (N, C, S...)."""
    upstream = channels_last(grad_output)
    outputs = upstream.shape[1:-1]
    counts = _counts(_windows(sizes, outputs), upstream.dtype)
    covering = [adaptive_covering(s, o) for s, o in zip(sizes, outputs, strict=True)]
    grad = np.empty((len(upstream), *sizes, upstream.shape[-1]), upstream.dtype)

    def share_out(into: Array, from_above: Array) -> None:
        share = np.divide(from_above, counts, order="C")
        # one window of everything needs no sums: its share is everybody's
        into[...] = share if math.prod(outputs) == 1 else kernels.range_sums(share, covering)

    slicewise(share_out, grad, upstream)
    return channels_first(grad)


def adaptive_max_pool(
    input: Array, outputs: Ints, need_positions: bool
) -> tuple[Array, Array | None]:
    """The maximum of each window, and its position in the flattened S...: (N, C, O...) both."""
    windows = _windows(input.shape[2:], outputs)
    x = channels_last(input)
    values = np.empty((len(x), *outputs, x.shape[-1]), x.dtype)
    positions = np.empty(values.shape, np.int64)

    def fill(part: Array, out: Array, where: Array) -> None:
        out[...], found = kernels.range_maxima(part, windows, need_positions)
        if need_positions:
            where[...] = found

    if values.size:
        slicewise(fill, x, values, positions)
    return channels_first(values), channels_first(positions) if need_positions else None


def adaptive_max_pool_backward(grad_output: Array, positions: Array, sizes: Ints) -> Array:
    """Each gradient goes to where the maximum was found: (N, C, O...) -> (N, C, S...)."""
    upstream = channels_last(grad_output)
    windows = _windows(sizes, upstream.shape[1:-1])
    flat = kernels.flat_positions(channels_last(positions), math.prod(sizes))
    shape = (len(upstream), *sizes, upstream.shape[-1])
    are_disjoint = all(ranges.are_disjoint for ranges in windows)
    return channels_first(kernels.scatter(upstream, flat, shape, are_disjoint))


def _windows(sizes: Ints, outputs: Ints) -> list[Ranges]:
    return [adaptive_ranges(s, o) for s, o in zip(sizes, outputs, strict=True)]


def _counts(windows: list[Ranges], dtype: np.dtype) -> Array:
    """The number of elements in each window, (O..., 1)."""
    lengths = np.ix_(*(ranges.lengths for ranges in windows))
    return math.prod(lengths, start=np.ones((), np.int64))[..., None].astype(dtype)


def _small_kernel(sizes: Ints, outputs: Ints) -> Ints | None:
    """That of the ordinary pooling which this is, if its kernel is small; else None."""
    if 0 in outputs or any(s % o for s, o in zip(sizes, outputs, strict=True)):
        return None
    kernel = tuple(s // o for s, o in zip(sizes, outputs, strict=True))
    return kernel if math.prod(kernel) <= _SMALL else None


def _check(output_size: Any, n: int) -> None:
    """Refuse what is no int, nor a sequence of n of them, with more than one axis also of Nones.

    Raises:
        TypeError: if they are no ints.
        ValueError: if there are not n, or one is negative.
    """
    many = isinstance(output_size, tuple | list)
    if many and len(output_size) != n:
        raise ValueError(f"output_size must be an int or a tuple of {n}, got {output_size!r}")
    for value in output_size if many else (output_size,):
        if not (many and n > 1 and value is None):
            check_int(value, "output_size", 0)


class _AdaptivePoolNd(Batched):
    output_size: OutputSize

    def _outputs(self, input: Array) -> Ints:
        """(O...), where None keeps the input's size."""
        _check(self.output_size, self._n)
        sizes = input.shape[2:]
        if 0 in sizes:
            raise ValueError(f"input sizes must be at least 1, got {sizes}")
        if not isinstance(self.output_size, tuple | list):
            return tuple([int(self.output_size)] * self._n)  # type: ignore[arg-type]
        given = zip(self.output_size, sizes, strict=True)
        return tuple(s if o is None else int(o) for o, s in given)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPoolNd(_AdaptivePoolNd):
    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        _check(output_size, self._n)
        self.output_size = output_size

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        return adaptive_avg_pool(input, self._outputs(input)), input.shape[2:]

    def backward_batch(self, grad_output: Array, sizes: Ints) -> Array:
        return adaptive_avg_pool_backward(grad_output, sizes)


class AdaptiveAvgPool1d(_AdaptiveAvgPoolNd):
    """Mean over windows that make ``output_size`` outputs; see :class:`AdaptiveAvgPool2d`.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool1d.html
    """

    _n = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPoolNd):
    r"""Mean over as many windows as the output has elements, whatever the input's size.

    .. math::
        y[n,c,i,j] = \operatorname{mean} x[n,c,\,
        \lfloor i H / H' \rfloor : \lceil (i+1) H / H' \rceil,\, \dots]

    Args:
        output_size: (H', W'), or one int for both; in a tuple, None keeps the input's size. Of
            1 it is the mean over all positions.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W').

    Raises:
        TypeError: if a size is no int.
        ValueError: for a negative size, or another number of them.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool2d.html
    """

    _n = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPoolNd):
    """Mean over windows that make ``output_size`` outputs; see :class:`AdaptiveAvgPool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveAvgPool3d.html
    """

    _n = 3


class _AdaptiveMaxPoolNd(_AdaptivePoolNd):
    def __init__(self, output_size: OutputSize, return_indices: bool = False) -> None:
        super().__init__()
        _check(output_size, self._n)
        self.output_size = output_size
        self.return_indices = return_indices

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        if not input.shape[1]:
            raise ValueError(f"input must have a channel, got shape {input.shape}")
        sizes, outputs = input.shape[2:], self._outputs(input)
        if (kernel := _small_kernel(sizes, outputs)) is not None:
            geometry = fixed_geometry(sizes, kernel, None, 0, 1, False)
            return fixed_max_pool(input, geometry, self.return_indices)
        need = self.return_indices or grad_mode.enabled
        output, positions = adaptive_max_pool(input, outputs, need)
        if not self.return_indices or positions is None:
            return output, positions, sizes
        return (output, positions.copy("K")), positions, sizes

    def backward_batch(self, grad_output: Any, where: Array, of: Ints | Geometry) -> Array:
        if isinstance(grad_output, tuple):  # the indices have no gradient
            grad_output = grad_output[0]
        if isinstance(of, Geometry):
            return max_pool_backward(grad_output, where, of)
        return adaptive_max_pool_backward(grad_output, where, of)


class AdaptiveMaxPool1d(_AdaptiveMaxPoolNd):
    """Maximum over windows that make ``output_size`` outputs; see :class:`AdaptiveMaxPool2d`.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool1d.html
    """

    _n = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPoolNd):
    r"""Maximum over as many windows as the output has elements, whatever the input's size.

    .. math::
        y[n,c,i,j] = \max x[n,c,\,
        \lfloor i H / H' \rfloor : \lceil (i+1) H / H' \rceil,\, \dots]

    Backward hands each gradient to the element that was the maximum; of equal ones to the first
    in C order. A NaN in a window is its maximum.

    Args:
        output_size: (H', W'), or one int for both; in a tuple, None keeps the input's size.
        return_indices: also return each maximum's position in its flattened H x W plane (int64).

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W').

    Raises:
        TypeError: if a size is no int.
        ValueError: for a negative size, or another number of them.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool2d.html
    """

    _n = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPoolNd):
    """Maximum over windows that make ``output_size`` outputs; see :class:`AdaptiveMaxPool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.AdaptiveMaxPool3d.html
    """

    _n = 3
