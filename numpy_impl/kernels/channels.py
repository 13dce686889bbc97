"""Per-channel arithmetic on (N, C, S...): sums over batch and positions, scale and shift.

Memory is channels-last, seen as (N, P*C) with P the product of the sizes S...: one long row for
each sample, so that a per-channel value, repeated P times, meets it without short inner loops.
Letters in shape comments: N batch, C channels, P positions.
"""

import math
from collections.abc import Sequence

import numpy as np

from numpy_impl.kernels.products import sum_rows
from numpy_impl.kernels.threads import for_each_slice, sum_slices
from numpy_impl.kernels.windows import channels_first, channels_last

Array = np.ndarray


def rows_of(array: Array) -> Array:
    """``np.moveaxis(array, 1, -1).reshape(N, P*C)``, a view if the memory is channels-last."""
    return channels_last(array).reshape(len(array), math.prod(array.shape[1:]))


def from_rows(rows: Array, shape: tuple[int, ...]) -> Array:
    """The way back of :func:`rows_of`: (N, P*C) -> ``shape``, a view."""
    return channels_first(rows.reshape(shape[0], *shape[2:], shape[1]))


def _by_channel(rows: Array, channels: int) -> Array:
    """(N, P*C) -> (N*P, C), a view; also where that is nothing."""
    return rows.reshape(rows.size // max(channels, 1), channels)


def _repeat(values: Array, rows: Array) -> Array:
    """(C,) -> (P*C,)."""
    positions = rows.shape[1] // max(len(values), 1)
    if positions == 1:
        return values
    return values[None].repeat(positions, 0).reshape(-1)  # a third of the time of np.tile


def channel_sums(rows: Array, channels: int, factor: Array | None = None) -> list[Array]:
    """``x.sum(axis)`` and, with a factor, ``(x * factor).sum(axis)``: (N, P*C) -> (C,) each."""

    def sums(samples: slice) -> Sequence[Array]:
        part = rows[samples]
        total = sum_rows(_by_channel(part, channels))
        if factor is None:
            return [total]
        return total, sum_rows(_by_channel(part * factor[samples], channels))

    return list(sum_slices(sums, len(rows), rows.size))


def centre(rows: Array, channels: int) -> tuple[Array, Array, Array, Array]:
    """``x - x.mean(axis)``, what is left of its own mean, ``x.mean(axis)`` and ``x.var(axis)``.

    The float32 mean of values far from 0 is off by more than their deviations resolve: x minus
    that mean has a mean of its own, which is what is left. It belongs to neither side's rounding.
    Of no values all are 0.
    """
    positions = rows.shape[1] // max(channels, 1)
    count = rows.dtype.type(max(len(rows) * positions, 1))
    (total,) = channel_sums(rows, channels)
    mean = total / count
    repeated = _repeat(mean, rows)
    centred = np.empty_like(rows)

    def moments(samples: slice) -> Sequence[Array]:
        np.subtract(rows[samples], repeated, out=centred[samples])
        values = _by_channel(centred[samples], channels)
        return sum_rows(values), sum_rows(np.square(values))

    total, squares = sum_slices(moments, len(rows), rows.size)
    residual, var = total / count, squares / count
    # an infinite mean leaves nothing; from an infinite variance nothing is taken off
    np.add(mean, residual, out=mean, where=np.isfinite(mean))
    np.subtract(var, residual * residual, out=var, where=var != np.inf)
    return centred, residual, mean, var


def subtract_channels(rows: Array, values: Array) -> Array:
    """``x - values``: (N, P*C) and (C,)."""
    return rows - _repeat(values, rows)


def scale_shift(rows: Array, scale: Array, shift: Array) -> Array:
    """``x * scale + shift``: (N, P*C) and (C,)."""
    scale, shift = _repeat(scale, rows), _repeat(shift, rows)
    output = np.empty_like(rows)

    def fill(samples: slice) -> None:
        values = np.multiply(rows[samples], scale, out=output[samples])
        values += shift

    for_each_slice(fill, len(rows), rows.size)
    return output


def scale_by(rows: Array, scale: Array) -> Array:
    """``x * scale``: (N, P*C) and (C,)."""
    scale = _repeat(scale, rows)
    output = np.empty_like(rows)
    for_each_slice(lambda s: np.multiply(rows[s], scale, out=output[s]), len(rows), rows.size)
    return output


def scale_less(rows: Array, scale: Array, others: Array, slope: Array, offset: Array) -> Array:
    """``x * scale - others * slope - offset``: (N, P*C) and (C,)."""
    scale, slope, offset = (_repeat(values, rows) for values in (scale, slope, offset))
    output = np.empty_like(rows)

    def fill(samples: slice) -> None:
        values = np.multiply(rows[samples], scale, out=output[samples])
        values -= others[samples] * slope
        values -= offset

    for_each_slice(fill, len(rows), rows.size)
    return output
