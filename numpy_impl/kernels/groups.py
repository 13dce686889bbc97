"""Norms within a sample: sums over a group of its channels and positions, scale and shift.

An array is seen as (N, G, K, P): N samples, G groups of K channels each, P positions; weights as
(G, K, 1). GroupNorm is that as it stands, InstanceNorm has G = C groups of one channel, LayerNorm
and RMSNorm have one group and one position: K features. A group is a row in memory, (N*G, K*P), so
that few samples at a time go through all steps while they are in the cache.
"""

import math
from collections.abc import Sequence

import numpy as np

from numpy_impl.kernels.memory import aligned_empty
from numpy_impl.kernels.threads import cache_slices, for_each, sum_each
from numpy_impl.types import Array

# mean, residual and variance of each group, (N*G,); None for what is taken as 0
Statistics = tuple[Array | None, Array | None, Array]


def inverse_root(var: Array, eps: float) -> Array:
    """``1 / np.sqrt(var + eps)``, with eps as it is: float32 has no 1e-50, and 1 / 0 is none."""
    return np.asarray(1 / np.sqrt(var + np.float64(eps))).astype(var.dtype)


def _spread(values: Array, out: Array) -> Array:
    """``np.broadcast_to(values[:, None], out.shape)``, written out.

    NumPy's own arithmetic on short rows, each with its one value, would take longer.
    """
    np.copyto(out, values[:, None])
    return out


def _tiled(values: Array | None, x: Array, slices: list[slice]) -> Array | None:
    """(G, K, 1) -> as many groups as the longest slice of x has, for the same reason."""
    if values is None:
        return None
    samples = len(range(len(x))[slices[0]])
    tiled = aligned_empty((samples, *x.shape[1:]), x.dtype)
    np.copyto(tiled, values)
    return _rows(tiled)


def _rows(x: Array) -> Array:
    """(N, G, K, P) -> (N*G, K*P)"""
    return x.reshape(math.prod(x.shape[:2]), math.prod(x.shape[2:]))


def _slices(x: Array) -> list[slice]:
    """Of samples, at least one; the same for any threads, as matrix products need."""
    return cache_slices(len(x), 2 * x[:1].size) or [slice(0, 0)]


def normalise(
    x: Array, weight: Array | None, bias: Array | None, eps: float, centres: bool = True
) -> tuple[Array, Statistics]:
    """``(x - x.mean((2, 3))) / np.sqrt(x.var((2, 3)) + eps) * weight + bias``, and statistics.

    Without ``centres`` ``x / np.sqrt((x * x).mean((2, 3)) + eps) * weight``. The float32 mean of
    values far from 0 is off by more than their deviations resolve: the residual is the mean that
    is left of x - mean.
    """
    output, groups, slices = aligned_empty(x.shape, x.dtype), x.shape[1], _slices(x)
    inputs, outputs = _rows(x), _rows(output)
    mean, residual, var = np.empty((3, len(inputs)), x.dtype)
    count = inputs.dtype.type(inputs.shape[1])
    average = np.ones(inputs.shape[1], x.dtype) / count
    weights, biases = _tiled(weight, x, slices), _tiled(bias, x, slices)
    negligible = np.finfo(x.dtype).eps ** 2

    def fill(samples: slice) -> None:
        part = slice(samples.start * groups, samples.stop * groups)
        a, y, v = inputs[part], outputs[part], var[part]
        scratch = aligned_empty(y.shape, x.dtype)
        if centres:
            np.dot(a, average, out=mean[part])
            a = np.subtract(a, _spread(mean[part], scratch), out=y)
            left = np.dot(y, average, out=residual[part])
            left_squares = left * left
        np.vecdot(a, a, out=v)
        v /= count
        if centres:
            v -= left_squares
            if not (left_squares <= negligible * v).all():
                y -= _spread(left, scratch)
        np.multiply(a, _spread(inverse_root(v, eps), scratch), out=y)
        if weights is not None:
            y *= weights[: len(y)]
        if biases is not None:
            y += biases[: len(y)]

    for_each(fill, slices)
    if not centres:
        return output, (None, None, var)
    overflown = np.isinf(var)  # which is not to be hidden, by a y of zeros
    var[overflown] = outputs[overflown] = np.nan
    return output, (mean, residual, var)


def normalise_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    statistics: Statistics,
    eps: float,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of :func:`normalise` for x, weight and bias: ``textbook.normalize_backward``.

    Sums over samples and channels are matrix products, of groups (G, n, K).
    """
    mean, residual, var = statistics
    _, groups, channels, positions = x.shape
    slices, inputs, upstreams = _slices(x), _rows(x), _rows(dy)
    weights = _tiled(weight, x, slices)
    column = np.ones((groups, channels, 1), x.dtype) if weight is None else weight
    ones = np.ones(positions, x.dtype)
    count = x.dtype.type(inputs.shape[1])
    inverse_std = inverse_root(var, eps)
    dx = aligned_empty(x.shape, x.dtype) if needs[0] else None

    def channel_sums(rows: Array) -> Array:
        """(n*G, K*P) -> (G, n, K)"""
        samples = len(rows) // groups
        if positions != 1:
            rows = rows.reshape(len(rows) * channels, positions) @ ones
        return rows.reshape(samples, groups, channels).transpose(1, 0, 2)

    def by_group(values: Array) -> Array:
        """(n*G,) -> (G, 1, n)"""
        return values.reshape(len(values) // groups, groups).T[:, None]

    def along_channels(values: Array, column: Array) -> Array:
        """(G, n, K), (G, K, 1) -> (n*G,)"""
        return (values @ column)[..., 0].T.reshape(-1)

    def sums(samples: slice) -> Sequence[Array]:
        part = slice(samples.start * groups, samples.stop * groups)
        up, inverse = upstreams[part], inverse_std[part]
        centred, products, scratch = aligned_empty((3, *up.shape), x.dtype)
        if mean is None:
            centred = inputs[part]
        else:
            np.subtract(inputs[part], _spread(mean[part], scratch), out=centred)
        np.multiply(up, centred, out=products)
        dy_sums, product_sums = channel_sums(up), channel_sums(products)
        found = []
        if needs[1]:  # dy z, z = (centred - residual) / std
            dw = by_group(inverse) @ product_sums
            if residual is not None:
                dw -= by_group(inverse * residual[part]) @ dy_sums
            found.append(dw)
        if needs[2]:
            found.append(np.ones((1, dy_sums.shape[1]), x.dtype) @ dy_sums)
        if dx is None:
            return found
        along_z = along_channels(product_sums, column)
        if residual is not None:
            along_1 = along_channels(dy_sums, column)
            along_z -= residual[part] * along_1
        slope = inverse * (inverse * along_z / count)
        np.multiply(centred, _spread(slope, scratch), out=products)
        if residual is not None:
            products += _spread(along_1 / count - residual[part] * slope, scratch)
        out = _rows(dx)[part]
        if weights is not None:
            up = np.multiply(up, weights[: len(up)], out=out)
        np.subtract(up, products, out=out)
        out *= _spread(inverse, scratch)
        return found

    found = iter(sum_each(sums, slices))
    dw = next(found).reshape(groups, channels, 1) if needs[1] else None
    db = next(found).reshape(groups, channels, 1) if needs[2] else None
    return dx, dw, db
