"""Norms within a sample: sums over a group of its channels and positions, scale and shift.

An array is seen as (N, G, K, P): N samples, G groups of K channels each, P positions; weights as
(G, K, 1). GroupNorm is that as it stands, InstanceNorm has G = C groups of one channel, LayerNorm
and RMSNorm have one group and one position: K features. A group lies together in memory, so that
few samples at a time go through all steps while they are in the cache.
"""

import math
from collections.abc import Sequence

import numpy as np

from numpy_impl.kernels.products import matmul
from numpy_impl.kernels.threads import cache_slices, for_each_slice, sum_each
from numpy_impl.types import Array

# mean, residual and variance of each group, (N, G, 1, 1); None for what is taken as 0
Statistics = tuple[Array | None, Array | None, Array]


def inverse_root(var: Array, eps: float) -> Array:
    """``1 / np.sqrt(var + eps)``, with eps as it is: float32 has no 1e-50, and 1 / 0 is none."""
    return np.asarray(1 / np.sqrt(var + np.float64(eps))).astype(var.dtype)


def _sums(values: Array, axes: int) -> Array:
    """The sum over the last axes, by a matrix-vector product; of one element that itself."""
    kept = values.shape[: values.ndim - axes]
    count = math.prod(values.shape[values.ndim - axes :])
    if count == 1:
        return values.reshape(kept)
    rows = values.reshape(math.prod(kept), count)
    return matmul(rows, np.ones(count, values.dtype)).reshape(kept)


def _squares(values: Array) -> Array:
    """(n, G, K, P) -> (n, G, 1, 1): the sum of squares of each group."""
    rows = values.reshape(*values.shape[:2], math.prod(values.shape[2:]))
    return np.vecdot(rows, rows)[..., None, None]


def normalise(
    x: Array, weight: Array | None, bias: Array | None, eps: float, centres: bool = True
) -> tuple[Array, Statistics]:
    """``(x - x.mean((2, 3))) / np.sqrt(x.var((2, 3)) + eps) * weight + bias``, and statistics.

    Without ``centres`` ``x / np.sqrt((x * x).mean((2, 3)) + eps) * weight``. The float32 mean of
    values far from 0 is off by more than their deviations resolve: the residual is the mean that
    is left of x - mean.
    """
    output = np.empty(x.shape, x.dtype)
    mean, residual, var = np.empty((3, *x.shape[:2], 1, 1), x.dtype)
    count = x.dtype.type(x.shape[2] * x.shape[3])

    def fill(part: slice) -> None:
        values = output[part]
        if centres:
            mean[part] = _sums(x[part], 2)[..., None, None] / count
            np.subtract(x[part], mean[part], out=values)
            residual[part] = _sums(values, 2)[..., None, None] / count
            var[part] = _squares(values) / count
            var[part] -= residual[part] ** 2
            var[part][np.isinf(var[part])] = np.nan  # an overflow is not hidden: all of 0 would
            values -= residual[part]
        else:
            var[part] = _squares(x[part]) / count
        scale = inverse_root(var[part], eps)
        if weight is not None:
            scale = scale * weight
        np.multiply(values if centres else x[part], scale, out=values)
        if bias is not None:
            values += bias

    for_each_slice(fill, len(x), x.size)
    return output, (mean, residual, var) if centres else (None, None, var)


def normalise_backward(
    dy: Array,
    x: Array,
    weight: Array | None,
    statistics: Statistics,
    eps: float,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients of :func:`normalise` for x, weight and bias: ``textbook.normalize_backward``.

    Groups are (G, n, K) where sums over samples are matrix products.
    """
    mean, residual, var = statistics
    inverse_std = inverse_root(var, eps)
    dx = np.empty(x.shape, x.dtype) if needs[0] else None
    groups, channels = x.shape[1:3]
    count = x.dtype.type(channels * x.shape[3])

    def sums(part: slice) -> Sequence[Array]:
        upstream, inverse = dy[part], inverse_std[part]
        centred = x[part] if mean is None else x[part] - mean[part]
        products = upstream * centred
        dy_sums = _sums(upstream, 1).transpose(1, 0, 2)
        product_sums = _sums(products, 1).transpose(1, 0, 2)
        found = []
        if needs[1]:  # dy z, z = (centred - residual) / std
            factors = inverse[..., 0].transpose(1, 2, 0)  # (G, 1, n)
            dw = factors @ product_sums
            if residual is not None:
                dw -= factors * residual[part, ..., 0].transpose(1, 2, 0) @ dy_sums
            found.append(dw)
        if needs[2]:
            found.append(np.ones((1, len(upstream)), x.dtype) @ dy_sums)
        if dx is not None:
            weights = np.ones((groups, channels, 1), x.dtype) if weight is None else weight
            along_z = (product_sums @ weights).transpose(1, 0, 2)[..., None]
            if residual is not None:
                along_1 = (dy_sums @ weights).transpose(1, 0, 2)[..., None]
                along_z = along_z - residual[part] * along_1
            slope = inverse * (inverse * (inverse * along_z / count))
            out = dx[part]
            np.multiply(upstream, inverse * weights, out=out)
            np.multiply(centred, slope, out=products)
            out -= products
            if residual is not None:
                out -= inverse * along_1 / count - residual[part] * slope
        return found

    slices = cache_slices(len(x), x[:1].size) or [slice(0, 0)]
    found = iter(sum_each(sums, slices))
    dw = next(found).reshape(groups, channels, 1) if needs[1] else None
    db = next(found).reshape(groups, channels, 1) if needs[2] else None
    return dx, dw, db
