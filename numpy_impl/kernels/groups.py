"""Norms within a sample: sums over a group of its channels and positions, scale and shift.

An array is seen as (N, G, K, P): N samples, G groups of K channels each, P positions; weights as
(G, K, 1). GroupNorm is that as it stands, InstanceNorm has G = C groups of one channel, LayerNorm
and RMSNorm have one group and one position: K features. A group is a row in memory, (N*G, K*P), so
that few samples at a time go through all steps while they are in the cache. Weights meet it as rows
of features, or channel by channel, (N*G*K, P), where they are one factor with the deviation.

The float32 mean of values far from 0 is off by more than their deviations resolve, and their mean
square, too. Rows near 0 are worked on as they are; of others the mean is taken off first, and the
residual is the mean that is left then.
"""

import math
from collections.abc import Sequence

import numpy as np

from numpy_impl.kernels.memory import empty
from numpy_impl.kernels.products import dot_rows, sum_along
from numpy_impl.kernels.threads import cache_slices, for_each, once_a_thread, sum_each
from numpy_impl.types import Array

# mean, residual and variance of each group, (N*G,); None for what is taken as 0
Statistics = tuple[Array | None, Array | None, Array]
Grads = tuple[Array | None, Array | None, Array | None]
# from here on a row takes its one value faster than an array takes values written out
_LONG_ROW = 192
# near 0: the mean's square is at most so many variances
_NEAR = 4


def inverse_root(var: Array, eps: float) -> Array:
    """``1 / np.sqrt(var + eps)``, with eps as it is: float32 has no 1e-50, and 1 / 0 is none."""
    root = np.sqrt(var + np.float64(eps))
    return np.asarray(1 / root, var.dtype)


class _Rows(np.errstate):
    """Within: operations on (n, length) and (n, 1) go one row after the other.

    NumPy would write the values out first, 8192 at a time, which takes twice as long.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length

    def __enter__(self) -> None:
        super().__enter__()  # what ends with it is NumPy's buffer size, too
        if self.length >= _LONG_ROW:
            np.setbufsize(min(self.length, 8192) // 16 * 16)


def _rows(x: Array) -> Array:
    """(N, G, K, P) -> (N*G, K*P)"""
    return x.reshape(math.prod(x.shape[:2]), math.prod(x.shape[2:]))


def _slices(x: Array) -> list[slice]:
    """Of samples, at least one; the same for any threads, as matrix products need."""
    return cache_slices(len(x), 2 * x[:1].size) or [slice(0, 0)]


def _repeated(values: Array | None, x: Array, part: slice, length: int) -> Array | None:
    """(G, K, 1) for each sample of a slice of x, in rows of that length."""
    if values is None:
        return None
    samples = len(range(len(x))[part])
    repeated = empty((samples, values.size), x.dtype)
    repeated[...] = values.reshape(-1)
    return repeated.reshape(samples * values.size // length if length else samples, length)


def _is_by_features(x: Array) -> bool:
    return x.shape[1] == x.shape[3] == 1


def _ones_like_weights(x: Array) -> Array:
    return np.ones((*x.shape[1:3], 1), x.dtype)


def _factors(values: Array, weight: Array) -> Array:
    """Each group's value times its channels' weights: (n*G,), (G, K, 1) -> (n*G*K, 1)."""
    return (values.reshape(-1, len(weight), 1) * weight[..., 0]).reshape(-1, 1)


def normalise(
    x: Array, weight: Array | None, bias: Array | None, eps: float, centres: bool = True
) -> tuple[Array, Statistics]:
    """``(x - x.mean((2, 3))) / np.sqrt(x.var((2, 3)) + eps) * weight + bias``, and statistics.

    Without ``centres`` ``x / np.sqrt((x * x).mean((2, 3)) + eps) * weight``.
    """
    output, slices = empty(x.shape, x.dtype), _slices(x)
    inputs, outputs = _rows(x), _rows(output)
    _, groups, channels, positions = x.shape
    mean, residual, var = np.zeros((3, len(inputs)), x.dtype)
    count = x.dtype.type(channels * positions)
    average = np.full(inputs.shape[1], 1 / max(count, 1), x.dtype)
    by_features = _is_by_features(x)
    row = channels if by_features else positions
    weights = _repeated(weight, x, slices[0], channels) if by_features else None
    column = _ones_like_weights(x) if weight is None else weight
    biases = _repeated(bias, x, slices[0], channels if by_features else 1)
    negligible = 64 * np.finfo(x.dtype).eps ** 2

    def centred(part: slice) -> tuple[Array, Array | None]:
        """A slice of x, or of x - mean, its variance, and the mean that is left."""
        a, m, v = inputs[part], mean[part], var[part]
        np.vecdot(a, a, out=v)
        v /= count
        if not centres:
            return a, None
        squares = np.square(np.dot(a, average, out=m))
        v -= squares
        if squares.max(initial=0) <= _NEAR * v.min(initial=np.inf):
            return a, m
        left, a = residual[part], np.subtract(a, m[:, None], out=outputs[part])
        squares = np.square(np.dot(a, average, out=left))
        np.vecdot(a, a, out=v)
        v /= count
        v -= squares
        if not squares.max(initial=0) <= negligible * v.min(initial=np.inf):
            a -= left[:, None]
        return a, None

    def fill(samples: slice) -> None:
        part = slice(samples.start * groups, samples.stop * groups)
        a, offset = centred(part)
        inverse, y = inverse_root(var[part], eps), outputs[part]
        if offset is not None:
            offset = offset * inverse
        if by_features:
            np.multiply(a, inverse[:, None], out=y)
            if offset is not None:
                y -= offset[:, None]
            if weights is not None:
                y *= weights[: len(y)]
            if biases is not None:
                y += biases[: len(y)]
            return
        shape = len(y) * channels, positions
        a, y = a.reshape(shape), y.reshape(shape)
        np.multiply(a, _factors(inverse, column), out=y)
        shift = None if biases is None else biases[: len(y)]
        if offset is not None:
            off = _factors(offset, column)
            shift = np.negative(off) if shift is None else shift - off
        if shift is not None:
            y += shift

    with _Rows(row):
        for_each(fill, slices)
    if not centres:
        return output, (None, None, var)
    overflown = np.isinf(var)  # which is not to be hidden, by a y of zeros
    if overflown.any():
        var[overflown] = outputs[overflown] = np.nan
    return output, (mean, residual, var)


def normalise_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    statistics: Statistics,
    eps: float,
    needs: tuple[bool, ...] = (True, True, True),
) -> Grads:
    """Gradients of :func:`normalise` for x, weight and bias: ``textbook.normalize_backward``.

    Sums over a group's channels, and over samples, are matrix-vector products.
    """
    by_features = _is_by_features(x)
    backward = _backward_of_features if by_features else _backward_of_channels
    with _Rows(x.shape[2] if by_features else x.shape[3]):
        return backward(dy, x, weight, statistics, inverse_root(statistics[2], eps), needs)


class _Slices:
    """Of x, or of x - mean, and of what goes with it: of dy and dx, for sums over rows.

    Attributes:
        left: the mean that is left of each row; None for none.
    """

    def __init__(self, dy: Array, x: Array, dx: Array | None, statistics: Statistics) -> None:
        mean, residual, var = statistics
        self._x, self._dy = _rows(x), _rows(dy)
        self._dx = None if dx is None else _rows(dx)
        longest = _slices(x)[0]
        shape = len(range(len(x))[longest]) * x.shape[1], self._x.shape[1]
        self._scratch = once_a_thread(lambda: empty((2, *shape), x.dtype))
        is_near = mean is None or bool(np.all(mean * mean <= _NEAR * var))
        self._taken, self.left = (None, mean) if is_near else (mean, residual)

    def __getitem__(self, part: slice) -> tuple[Array, Array, Array, Array]:
        """dy, x, and two others: the first is dx's if there is one."""
        x, dy = self._x[part], self._dy[part]
        out, scratch = self._scratch()[:, : len(x)]
        if self._dx is not None:
            out = self._dx[part]
        if self._taken is not None:
            x = np.subtract(x, self._taken[part, None], out=scratch)
        return dy, x, out, scratch


def _backward_of_features(
    dy: Array,
    x: Array,
    weight: Array | None,
    statistics: Statistics,
    inverse: Array,
    needs: tuple[bool, ...],
) -> Grads:
    """(N, 1, K, 1), and a weight for each of the K."""
    dx = empty(x.shape, x.dtype) if needs[0] else None
    arrays, slices, features = _Slices(dy, x, dx, statistics), _slices(x), x.shape[2]
    average = np.full(features, 1 / max(features, 1), x.dtype)
    if weight is not None:
        average *= weight.reshape(-1)
    weights = _repeated(weight, x, slices[0], features)
    squares, left = inverse * inverse, arrays.left
    offsets, ones = None if left is None else inverse * left, np.ones(len(x), x.dtype)

    def fill(part: slice) -> Sequence[Array]:
        up, a, out, scratch = arrays[part]
        products, sums = np.multiply(up, a, out=out), []
        if needs[1]:
            dw = dot_rows(inverse[part], products)
            if offsets is not None:
                dw -= dot_rows(offsets[part], up)
            sums.append(dw)
        if needs[2]:
            sums.append(dot_rows(ones[part], up))
        if dx is None:
            return sums
        slope = np.dot(products, average)
        if left is None:
            slope *= squares[part]
            np.multiply(a, slope[:, None], out=scratch)
        else:
            offset = np.dot(up, average)
            slope -= left[part] * offset
            slope *= squares[part]
            offset -= left[part] * slope
            np.multiply(a, slope[:, None], out=scratch)
            scratch += offset[:, None]
        if weights is not None:
            up = np.multiply(up, weights[: len(up)], out=out)
        np.subtract(up, scratch, out=out)
        out *= inverse[part, None]
        return sums

    found = [v.reshape(1, -1, 1) for v in sum_each(fill, slices)]
    return dx, found[0] if needs[1] else None, found[-1] if needs[2] else None


def _backward_of_channels(
    dy: Array,
    x: Array,
    weight: Array | None,
    statistics: Statistics,
    inverse: Array,
    needs: tuple[bool, ...],
) -> Grads:
    """(N, G, K, P), and a weight for each of the G*K."""
    samples, groups, channels, positions = x.shape
    dx = empty(x.shape, x.dtype) if needs[0] else None
    arrays = _Slices(dy, x, dx, statistics)
    ones, count = np.ones(positions, x.dtype), x.dtype.type(max(channels * positions, 1))
    weights = _ones_like_weights(x) if weight is None else weight
    factors, averages = _factors(inverse, weights), weights[..., 0] / count
    cubes, left = inverse * inverse * inverse, arrays.left
    dy_sums, product_sums = np.empty((2, samples, groups, channels), x.dtype)

    def fill(part: slice) -> None:
        rows = slice(part.start * groups, part.stop * groups)
        up, a, out, scratch = arrays[rows]
        shape = len(up) * channels, positions
        products = np.multiply(up, a, out=out).reshape(shape)
        channelwise, sums_of_dy, sums = up.reshape(shape), dy_sums[part], product_sums[part]
        np.dot(channelwise, ones, out=sums_of_dy.reshape(-1))
        np.dot(products, ones, out=sums.reshape(-1))
        if left is not None:
            sums -= left[rows].reshape(-1, groups, 1) * sums_of_dy
        if dx is None:
            return
        slope = np.vecdot(sums, averages).reshape(-1)
        slope *= cubes[rows]
        np.multiply(a, slope[:, None], out=scratch)
        if left is not None:
            offset = np.vecdot(sums_of_dy, averages).reshape(-1)
            offset *= inverse[rows]
            offset -= left[rows] * slope
            scratch += offset[:, None]
        own = slice(rows.start * channels, rows.stop * channels)
        np.multiply(channelwise, factors[own], out=out.reshape(shape))
        out -= scratch

    for_each(fill, _slices(x))
    dw = db = None
    if needs[1]:
        product_sums *= inverse.reshape(samples, groups, 1)
        dw = sum_along(product_sums, 0)[..., None]
    if needs[2]:
        db = sum_along(dy_sums, 0)[..., None]
    return dx, dw, db
