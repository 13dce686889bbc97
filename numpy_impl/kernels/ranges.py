"""Sums and maxima over windows of unequal sizes, one axis after the other.

Arrays are (N, S..., C). Letters as in :mod:`windows`; a tap is what stands at one position of
every window, so that no loop runs over the output's positions.
"""

import math
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.pooling import find, maximum_of

Array = np.ndarray
Index = tuple[Any, ...]


class Ranges:
    """The windows of one axis: the o-th sees ``x[starts[o] : starts[o] + lengths[o]]``.

    Neither starts nor ends ever go back.
    """

    def __init__(self, starts: Array, lengths: Array) -> None:
        self.starts, self.lengths = starts, lengths
        self.ends = starts + lengths
        self.count = len(starts)
        self.longest = int(lengths.max(initial=0))
        self.are_disjoint = bool((self.ends[:-1] <= starts[1:]).all())

    @cached_property
    def taps(self) -> list[tuple[Any, Any]]:
        """For each position in the windows: which are that long, and what stands there in them."""
        found = []
        for k in range(self.longest):
            windows = np.flatnonzero(self.lengths > k)
            found.append((_as_slice(windows), _as_slice(self.starts[windows] + k)))
        return found

    @cached_property
    def full_taps(self) -> list[Any]:
        """The same, as if all were as long: shorter ones repeat their last element."""
        return [_as_slice(self.positions[:, k]) for k in range(self.longest)]

    @cached_property
    def positions(self) -> Array:
        """(O, longest): where each window's elements stand; the last one repeated."""
        return self.starts[:, None] + np.minimum(np.arange(self.longest), self.lengths[:, None] - 1)

    def covering(self, size: int) -> "Ranges":
        """For each of ``size`` positions the windows that it lies in: they are a range, too."""
        positions = np.arange(size)
        first = np.searchsorted(self.ends, positions, "right")
        return Ranges(first, np.searchsorted(self.starts, positions, "right") - first)


@lru_cache(maxsize=512)
def adaptive_ranges(size: int, outputs: int) -> Ranges:
    """torch's ``outputs`` windows that cover an axis: o S // O up to ceil((o + 1) S / O)."""
    o = np.arange(outputs)
    starts = o * size // max(outputs, 1)
    return Ranges(starts, -(-(o + 1) * size // max(outputs, 1)) - starts)


@lru_cache(maxsize=512)
def adaptive_covering(size: int, outputs: int) -> Ranges:
    """For each position of the axis the windows of :func:`adaptive_ranges` that it lies in."""
    return adaptive_ranges(size, outputs).covering(size)


def _as_slice(indices: Array) -> Any:
    """The indices, as a slice if they are evenly spaced, which selects without a copy."""
    if len(indices) < 2:
        return slice(int(indices[0]), int(indices[0]) + 1) if len(indices) else slice(0)
    step = int(indices[1] - indices[0])
    if step < 1 or (np.diff(indices) != step).any():
        return indices
    return slice(int(indices[0]), int(indices[-1]) + 1, step)


def _at(axis: int, where: Any) -> Index:
    return (slice(None),) * axis + (where,)


@silently
def range_sums(x: Array, axes: Sequence[Ranges]) -> Array:
    """``x[:, s:e].sum(1)`` for each window s:e of the first axis S, and so on for the others.

    (N, S..., C) -> (N, O..., C); a sum of nothing is 0.
    """
    for axis, ranges in enumerate(axes, start=1):
        x = _axis_sums(x, axis, ranges)
    return x


def _axis_sums(x: Array, axis: int, ranges: Ranges) -> Array:
    if ranges.count == 1:
        return x[_at(axis, slice(ranges.starts[0], ranges.ends[0]))].sum(axis, keepdims=True)
    if not ranges.count or not ranges.lengths.all():
        total = np.zeros((*x.shape[:axis], ranges.count, *x.shape[axis + 1 :]), x.dtype)
        taps = ranges.taps
    else:
        total, taps = x[_at(axis, ranges.taps[0][1])].copy("K"), ranges.taps[1:]
    for windows, positions in taps:
        total[_at(axis, windows)] += x[_at(axis, positions)]
    return total


def range_maxima(x: Array, axes: Sequence[Ranges], need_positions: bool) -> tuple[Array, Any]:
    """``x[:, s:e].max(1)`` for each window s:e of the first axis S, and so on for the others.

    (N, S..., C) -> (N, O..., C), and where in S..., flattened, each was found: of equal ones the
    first in C order, the last NaN, as in :func:`~numpy_impl.kernels.pooling.max_pool`.
    """
    sizes = x.shape[1:-1]
    where: Any = None
    # the last axis first: among equals a smaller index of an earlier axis comes first
    for axis in range(len(axes), 0, -1):
        ranges = axes[axis - 1]
        taps = [x[_at(axis, tap)] for tap in ranges.full_taps]
        x = maximum_of(taps)
        if need_positions:
            place = np.empty(x.shape, np.min_scalar_type(len(taps)))
            find(taps, x, place)
            here = _positions(place, axis, ranges)
            if where is not None:
                inner = np.take_along_axis(where, here, axis)
                here *= math.prod(sizes[axis:])
                here += inner
            where = here
    return x, where


def _positions(place: Array, axis: int, ranges: Ranges) -> Array:
    """Places, counted from the end, -> positions on their axis."""
    rows = np.arange(ranges.count) * ranges.longest
    index = (rows + ranges.longest).reshape(-1, *(1,) * (place.ndim - axis - 1)) - place
    return ranges.positions.ravel().take(index)


def flat_positions(where: Array, size: int) -> Array:
    """Positions in flattened S..., (N, O..., C) -> those in all of a flattened (N, S..., C)."""
    n, *others, channels = where.shape
    batch = np.arange(n).reshape(-1, *(1,) * (len(others) + 1))
    flat = where + batch * size
    flat *= channels
    flat += np.arange(channels)
    return flat


def scatter(values: Array, flat: Array, shape: tuple[int, ...], are_unique: bool) -> Array:
    """``np.add.at(np.zeros(shape), flat, values)``; unique positions: ``zeros[flat] = values``."""
    out = np.zeros(shape, values.dtype)
    if are_unique:
        out.reshape(-1)[flat.reshape(-1)] = values.reshape(-1)
    else:
        np.add.at(out.reshape(-1), flat.reshape(-1), values.reshape(-1))
    return out
