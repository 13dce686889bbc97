"""Sums and maxima over windows of unequal sizes: the expressions that their docstrings name."""

import numpy as np
import pytest

from numpy_impl.kernels import ranges
from numpy_impl.kernels.ranges import Ranges

RNG = np.random.default_rng(0)
# starts and lengths of windows over 9 elements
WINDOWS = {
    "equal": ([0, 3, 6], [3, 3, 3]),
    "sharing": ([0, 2, 4, 6], [3, 3, 3, 3]),
    "unequal": ([0, 1, 5], [4, 6, 4]),
    "repeated": ([0, 0, 4, 4, 4], [1, 5, 1, 2, 2]),
    "one": ([2], [4]),
}


def windows(name: str) -> Ranges:
    starts, lengths = WINDOWS[name]
    return Ranges(np.array(starts), np.array(lengths))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("second", WINDOWS)
@pytest.mark.parametrize("first", WINDOWS)
def test_sums_and_maxima(first, second, dtype) -> None:
    x = RNG.integers(-4, 5, (2, 9, 9, 3)).astype(dtype)
    axes = windows(first), windows(second)
    sums = ranges.range_sums(x, axes)
    maxima, where = ranges.range_maxima(x, axes, True)
    assert sums.dtype == maxima.dtype == dtype
    for o, (start, end) in enumerate(zip(axes[0].starts, axes[0].ends, strict=True)):
        for p, (left, right) in enumerate(zip(axes[1].starts, axes[1].ends, strict=True)):
            part = x[:, start:end, left:right]
            np.testing.assert_array_equal(sums[:, o, p], part.sum((1, 2)))
            np.testing.assert_array_equal(maxima[:, o, p], part.max((1, 2)))
            found = part.reshape(2, -1, 3).argmax(1)  # the first one
            row, column = np.divmod(found, right - left)
            np.testing.assert_array_equal(where[:, o, p], (start + row) * 9 + left + column)


@pytest.mark.parametrize("name", WINDOWS)
def test_covering(name) -> None:
    axis = windows(name)
    covering = axis.covering(9)
    for i in range(9):
        wanted = [o for o in range(axis.count) if axis.starts[o] <= i < axis.ends[o]]
        assert list(range(covering.starts[i], covering.ends[i])) == wanted


def test_a_sum_of_nothing() -> None:
    none = Ranges(np.array([0, 2, 2]), np.array([2, 0, 1]))
    np.testing.assert_array_equal(
        ranges.range_sums(np.array([[[1.0], [2], [4]]]), [none]), [[[3], [0], [4]]]
    )


@pytest.mark.parametrize("are_unique", [True, False])
def test_scatter(are_unique) -> None:
    """Through flat positions: (N, O..., C) into (N, S..., C), each sample and channel its own."""
    where = np.stack([RNG.permutation(12)[:4] for _ in range(6)], 1).reshape(4, 2, 3)
    where = np.moveaxis(where, 1, 0).reshape(2, 2, 2, 3)
    if not are_unique:
        where[:, 1] = where[:, 0]
    values = RNG.standard_normal(where.shape)
    found = ranges.scatter(values, ranges.flat_positions(where, 12), (2, 3, 4, 3), are_unique)
    wanted = np.zeros((2, 12, 3))
    for n, o, p, c in np.ndindex(where.shape):
        wanted[n, where[n, o, p, c], c] += values[n, o, p, c]
    np.testing.assert_array_equal(found, wanted.reshape(2, 3, 4, 3))


def test_adaptive_ranges() -> None:
    for size in range(1, 12):
        for outputs in range(1, 14):
            axis = ranges.adaptive_ranges(size, outputs)
            for o in range(outputs):
                assert axis.starts[o] == o * size // outputs
                assert axis.ends[o] == int(np.ceil((o + 1) * size / outputs))


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 3, 2, 2), (0, 3, 2)], ids=str)
def test_positions_in_planes(shape) -> None:
    where = np.random.default_rng(0).integers(0, 9, shape)
    n, c, *sizes = shape
    planes = 9 * np.arange(n * c).reshape(n, c, *(1,) * len(sizes))
    np.testing.assert_array_equal(ranges.flat_in_planes(where, 9), (where + planes).reshape(-1))
