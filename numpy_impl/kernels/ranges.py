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
from numpy_impl.kernels.products import sum_along, sum_rows

Array = np.ndarray
# elements of a window: from here on NumPy's own reduction is worth its start
_LONG = 16


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

    def tile(self, size: int) -> int:
        """The windows' length if they lie side by side and make up the axis; otherwise 0."""
        length = size // max(self.count, 1)
        starts = np.arange(self.count) * length
        tiled = (self.starts == starts).all() and (self.lengths == length).all()
        return length if tiled and length * self.count == size else 0

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


def _take(x: Array, axis: int, where: Any) -> Array:
    """``x[:, where]``, with as many colons as there are axes before; a view for a slice."""
    if isinstance(where, slice):
        return x[_at(axis, where)]
    return x.take(where, axis)  # a fraction of indexing's time


def _at(axis: int, where: Any) -> tuple[Any, ...]:
    return (slice(None),) * axis + (where,)


@silently
def range_sums(x: Array, axes: Sequence[Ranges]) -> Array:
    """``x[:, s:e].sum(1)`` for each window s:e of the first axis S, and so on for the others.

    (N, S..., C) -> (N, O..., C); a sum of nothing is 0.
    """
    tiles = [ranges.tile(size) for ranges, size in zip(axes, x.shape[1:-1], strict=True)]
    if tiles == list(x.shape[1:-1]):
        total = sum_rows(x.reshape(len(x), math.prod(tiles), x.shape[-1]))
        return total.reshape(len(x), *(1,) * len(tiles), x.shape[-1])
    if not all(tiles):
        x = np.ascontiguousarray(x)  # for taking
    for axis, ranges in enumerate(axes, start=1):
        x = _axis_sums(x, axis, ranges)
    return x


def _axis_sums(x: Array, axis: int, ranges: Ranges) -> Array:
    if (length := ranges.tile(x.shape[axis])) >= _LONG:
        parts = x.reshape(*x.shape[:axis], ranges.count, length, *x.shape[axis + 1 :])
        return sum_rows(parts) if axis == x.ndim - 2 else sum_along(parts, axis + 1)
    if not ranges.count or not ranges.lengths.all():
        total = np.zeros((*x.shape[:axis], ranges.count, *x.shape[axis + 1 :]), x.dtype)
        taps = ranges.taps
    else:
        total, taps = _take(x, axis, ranges.taps[0][1]), ranges.taps[1:]
        if total.base is not None and taps:
            total = total.copy("K")
    for windows, positions in taps:
        total[_at(axis, windows)] += _take(x, axis, positions)
    return total


def range_maxima(x: Array, axes: Sequence[Ranges], need_positions: bool) -> tuple[Array, Any]:
    """``x[:, s:e].max(1)`` for each window s:e of the first axis S, and so on for the others.

    (N, S..., C) -> (N, O..., C), and where in S..., flattened, each was found: of equal ones the
    first in C order, the last NaN, as in :func:`~numpy_impl.kernels.pooling.max_pool`.
    """
    sizes = x.shape[1:-1]
    tiles = tuple(ranges.tile(size) for ranges, size in zip(axes, sizes, strict=True))
    if math.prod(tiles) >= _LONG:
        return _tiled_maxima(x, tiles)
    if not all(tiles):
        x = np.ascontiguousarray(x)  # for taking
    found: list[Array] = []  # where on their own axis, of those that are done
    # the last axis first: among equals a smaller index of an earlier axis comes first
    for axis in range(len(axes), 0, -1):
        ranges = axes[axis - 1]
        taps = [_take(x, axis, tap) for tap in ranges.full_taps]
        x = maximum_of(taps)
        if need_positions:
            place = np.empty(x.shape, np.min_scalar_type(len(taps)))
            find(taps, x, place)
            if found:
                here = _positions(place, axis, ranges)
                found = [np.take_along_axis(other, here, axis) for other in found]
            found.append(place)
    if not need_positions:
        return x, None
    where = np.zeros(x.shape, np.int64)
    for axis, place in enumerate(reversed(found), start=1):
        where *= sizes[axis - 1]
        where += _positions(place, axis, axes[axis - 1])
    return x, where


def _positions(place: Array, axis: int, ranges: Ranges) -> Array:
    """Places, counted from the end, -> positions on their axis."""
    rows = np.arange(1, ranges.count + 1) * ranges.longest
    index = rows.reshape(-1, *(1,) * (place.ndim - axis - 1)) - place
    return ranges.positions.ravel().take(index)


def _tiled_maxima(x: Array, tiles: tuple[int, ...]) -> tuple[Array, Array]:
    """Of windows that lie side by side: each becomes a row."""
    n, *sizes, channels = x.shape
    axes = range(1, 2 * len(tiles), 2)
    counts = [size // tile for size, tile in zip(sizes, tiles, strict=True)]
    split = [n, *(part for pair in zip(counts, tiles, strict=True) for part in pair), channels]
    order = (0, *axes, len(split) - 1, *(axis + 1 for axis in axes))
    rows = x.reshape(split).transpose(order).reshape(-1, math.prod(tiles))
    found = rows.argmax(1)
    each = np.arange(len(rows))
    values = rows[each, found]
    if (missing := np.flatnonzero(np.isnan(values))).size:  # argmax is at the first NaN
        found[missing] = rows.shape[1] - 1 - np.isnan(rows[missing, ::-1]).argmax(1)
    offsets = first_window(tiles, sizes)
    shape = (n, *counts, channels)
    where = offsets.take(found).reshape(shape)
    for axis, (count, tile) in enumerate(zip(counts, tiles, strict=True)):
        starts = np.arange(count) * (tile * math.prod(sizes[axis + 1 :]))
        where += starts.reshape(-1, *(1,) * (len(tiles) - axis))
    return values.reshape(shape), where


def first_window(kernel: Sequence[int], sizes: Sequence[int]) -> Array:
    """``np.ravel_multi_index(np.indices(kernel), sizes).ravel()``: its positions in S..."""
    return np.arange(math.prod(sizes)).reshape(sizes)[tuple(map(slice, kernel))].ravel()


def flat_positions(where: Array, size: int) -> Array:
    """Positions in flattened S..., (N, O..., C) -> those in all of a flattened (N, S..., C)."""
    n, *others, channels = where.shape
    batch = np.arange(n).reshape(-1, *(1,) * (len(others) + 1))
    flat = where + batch * size
    flat *= channels
    flat += np.arange(channels)
    return flat


def flat_in_planes(where: Array, size: int) -> Array:
    """``(where + size * np.arange(N * C).reshape(N, C, 1...)).reshape(-1)``: (N, C, O...).

    Positions in flattened S... -> those in all of a flattened (N, C, S...).
    """
    planes = where.reshape(math.prod(where.shape[:2]), math.prod(where.shape[2:]))
    return np.asarray(planes + size * np.arange(len(planes))[:, None]).reshape(-1)


def scatter(values: Array, flat: Array, shape: tuple[int, ...], are_unique: bool) -> Array:
    """``np.add.at(np.zeros(shape), flat, values)``; unique positions: ``zeros[flat] = values``."""
    out = np.zeros(shape, values.dtype)
    if are_unique:
        out.reshape(-1)[flat.reshape(-1)] = values.reshape(-1)
    else:
        np.add.at(out.reshape(-1), flat.reshape(-1), values.reshape(-1))
    return out
