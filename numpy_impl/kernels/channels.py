"""Per-channel arithmetic on (N, C, S...): sums over batch and positions, scale and shift.

An array is worked on as it lies. Channels-last memory is seen as (M/r, r*C), M = N*P with P the
product of the sizes S...: rows so long that a per-channel value, repeated r times, meets them
without short inner loops. C-contiguous memory is seen as (N, C, P). Either is called a view.
Letters in shape comments: N batch, C channels, P positions.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from numpy_impl.kernels.products import matmul, sum_rows
from numpy_impl.kernels.threads import cache_slices, for_each_slice, sum_each
from numpy_impl.kernels.windows import channels_first, channels_last
from numpy_impl.types import Array

# elements of a row of channels-last memory, about
_ROW = 8 * 1024


def view_of(array: Array) -> Array:
    """``array.reshape(N, C, P)`` or ``np.moveaxis(array, 1, -1).reshape(M/r, r*C)``, as it lies."""
    samples, channels, *sizes = array.shape
    if array.flags.c_contiguous and math.prod(sizes) > 1:
        return array.reshape(samples, channels, math.prod(sizes))
    repeats = _repeats(samples * math.prod(sizes), channels)
    shape = samples * math.prod(sizes) // repeats, repeats * channels
    return channels_last(array).reshape(shape)


@lru_cache(maxsize=512)
def _repeats(length: int, channels: int) -> int:
    """The largest divisor of ``length`` that makes no longer a row; 1 if there is none."""
    longest = min(length, _ROW // max(channels, 1))
    return next((r for r in range(longest, 1, -1) if length % r == 0), 1)


def view_like(array: Array, view: Array) -> Array:
    """``array`` seen as ``view``, the view of another of its shape: a copy if it lies otherwise."""
    if view.ndim == 3:
        return array.reshape(view.shape)
    return channels_last(array).reshape(view.shape)


def from_view(view: Array, shape: tuple[int, ...]) -> Array:
    """The way back of :func:`view_of`: ``shape`` is (N, C, S...)."""
    if view.ndim == 3:
        return view.reshape(shape)
    return channels_first(view.reshape(shape[0], *shape[2:], shape[1]))


def _spread(values: Array, view: Array) -> Array:
    """(C,) -> a whole sample of the view, (C, P) or (P*C,): NumPy's short rows take longer."""
    if view.ndim == 3:
        return values[:, None].repeat(view.shape[2], 1)
    positions = view.shape[1] // max(len(values), 1)
    if positions == 1:
        return values
    return values[None].repeat(positions, 0).reshape(-1)  # a third of the time of np.tile


def _sum(view: Array, channels: int) -> Array:
    """Over batch and positions: -> (C,)."""
    if view.ndim == 3:
        rows = view.reshape(-1, view.shape[2])
        return sum_rows(matmul(rows, np.ones(rows.shape[1], rows.dtype)).reshape(-1, channels))
    return sum_rows(view.reshape(view.size // max(channels, 1), channels))


def _slices(view: Array) -> list[slice]:
    return cache_slices(len(view), view[:1].size) or [slice(0, 0)]


def channel_sums(view: Array, channels: int) -> Array:
    """``x.sum(axis)``: -> (C,)."""
    return sum_each(lambda part: [_sum(view[part], channels)], _slices(view))[0]


def product_sums(view: Array, others: Array, mean: Array) -> tuple[Array, Array]:
    """``x.sum(axis)`` and ``(x * (others - mean)).sum(axis)``: -> (C,) each."""
    spread = _spread(mean, others)

    def sums(part: slice) -> Sequence[Array]:
        values = others[part] - spread
        values *= view[part]
        return _sum(view[part], len(mean)), _sum(values, len(mean))

    total, products = sum_each(sums, _slices(view))
    return total, products


def moments(view: Array, channels: int) -> tuple[Array, Array, Array]:
    """About ``x.mean(axis)``, the mean that is left of x minus that, ``x.var(axis)``: (C,) each.

    The float32 mean of values far from 0 is off by more than their deviations resolve: x minus
    that mean has a mean of its own, which is what is left. So the mean of a first slice serves as
    well, which saves a pass over the memory: however far it is off, it counts in the variance,
    of which one of s slices can cost no more than a factor s in precision. Of no values all are 0.
    """
    slices = _slices(view)
    first = view[slices[0]]
    mean = channel_sums(first, channels) / _count(first, channels)
    spread = _spread(mean, view)

    def sums(part: slice) -> Sequence[Array]:
        centred = view[part] - spread
        total = _sum(centred, channels)
        if view.ndim == 3:
            return total, np.vecdot(centred, centred).sum(0)
        np.square(centred, out=centred)
        return total, _sum(centred, channels)

    total, squares = sum_each(sums, slices)
    count = _count(view, channels)
    residual, var = total / count, squares / count
    # from an infinite variance nothing is taken off, but an infinity
    taken = (var != np.inf) | ~np.isfinite(residual)
    np.subtract(var, residual * residual, out=var, where=taken)
    return mean, residual, var


def _count(view: Array, channels: int) -> Any:
    """Values of each channel, at least 1."""
    return view.dtype.type(max(view.size // max(channels, 1), 1))


def scale_shift(view: Array, mean: Array, scale: Array, shift: Array) -> Array:
    """``(x - mean) * scale + shift``: a view, and (C,) each."""
    mean, scale, shift = (_spread(values, view) for values in (mean, scale, shift))
    output = np.empty(view.shape, view.dtype)

    def fill(part: slice) -> None:
        values = np.subtract(view[part], mean, out=output[part])
        values *= scale
        values += shift

    for_each_slice(fill, len(view), view.size)
    return output


def scale_by(view: Array, scale: Array) -> Array:
    """``x * scale``: a view and (C,)."""
    scale = _spread(scale, view)
    output = np.empty(view.shape, view.dtype)
    for_each_slice(lambda s: np.multiply(view[s], scale, out=output[s]), len(view), view.size)
    return output


def scale_less(
    view: Array, scale: Array, others: Array, mean: Array, slope: Array, offset: Array
) -> Array:
    """``x * scale - (others - mean) * slope - offset``: two views, and (C,) each."""
    scale, mean, slope, offset = (_spread(v, view) for v in (scale, mean, slope, offset))
    output = np.empty(view.shape, view.dtype)

    def fill(part: slice) -> None:
        values = others[part] - mean
        values *= slope
        values += offset
        np.multiply(view[part], scale, out=output[part])
        output[part] -= values

    for_each_slice(fill, len(view), view.size)
    return output
