"""Attention's products and softmax, a few heads at a time: their scores stay in the cache.

Arrays are (N, H, ...), batch and heads first, in whatever order they lie in memory: BLAS takes the
heads of (L, N, H D) as they are.
"""

from collections.abc import Sequence

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.threads import cache_slices, for_each

Array = np.ndarray
Part = tuple[slice, slice]


@silently
def attend(
    q: Array,
    k: Array,
    v: Array,
    out: Array,
    masks: Sequence[Array] = (),
    noise: Array | None = None,
    is_safe: bool = True,
) -> Array:
    """``out[...] = (softmax(q @ k^T + sum(masks)) * noise) @ v``; returns the softmax.

    Args:
        q, k, v: (N, H, L, D), (N, H, S, D), (N, H, S, V).
        out: (N, H, L, V), filled.
        masks: each broadcasts to (N, H, L, S).
        noise: broadcasts to (N, H, L, S), too; None is 1.
        is_safe: whether a row of -inf alone has weights of 0, not NaN.
    """
    weights = np.empty((*q.shape[:-1], k.shape[-2]), q.dtype)
    transposed = k.swapaxes(-1, -2)
    masks = [np.broadcast_to(mask, weights.shape) for mask in masks]
    noise = None if noise is None else np.broadcast_to(noise, weights.shape)

    def fill(part: Part) -> None:
        a = weights[part]
        np.matmul(q[part], transposed[part], out=a)
        for mask in masks:
            a += mask[part]
        _softmax(a, is_safe)
        np.matmul(a if noise is None else a * noise[part], v[part], out=out[part])

    for_each(fill, _parts(weights))
    return weights


@silently
def attend_backward(
    dy: Array,
    dweights: Array | None,
    weights: Array,
    operands: tuple[Array, Array, Array],
    noise: Array | None,
    outs: tuple[Array, Array, Array],
    keeps_scores: bool = False,
) -> Array | None:
    """The way back of :func:`attend`, ``outs[...] = ds @ k, ds^T @ q, (a * noise)^T @ dy``.

    With ``da = (dy @ v^T + dweights) * noise`` and ``ds = a * (da - sum(da * a))``.

    Args:
        dy: (N, H, L, V), the output's gradient.
        dweights: that of ``a * noise`` where somebody used it, broadcasts to (N, H, L, S).
        weights: a.
        operands: q, k, v.
        noise: as there.
        outs: dq, dk, dv, filled.
        keeps_scores: whether to return ds, the masks' gradient before they were broadcast.
    """
    q, k, v = operands
    dq, dk, dv = outs
    values, noises, extra = v.swapaxes(-1, -2), noise, dweights
    if noise is not None:
        noises = np.broadcast_to(noise, weights.shape)
    if dweights is not None:
        extra = np.broadcast_to(dweights, weights.shape)
    scores = np.empty_like(weights) if keeps_scores else None

    def fill(part: Part) -> None:
        a, g = weights[part], dy[part]
        used = a if noises is None else a * noises[part]
        np.matmul(used.swapaxes(-1, -2), g, out=dv[part])
        ds = np.matmul(g, values[part], out=None if scores is None else scores[part])
        if extra is not None:
            ds += extra[part]
        if noises is not None:
            ds *= noises[part]
        ds -= np.einsum("...s,...s->...", ds, a)[..., None]
        ds *= a
        np.matmul(ds, k[part], out=dq[part])
        np.matmul(ds.swapaxes(-1, -2), q[part], out=dk[part])

    for_each(fill, _parts(weights))
    return scores


def _parts(weights: Array) -> list[Part]:
    """(N, H, L, S) in parts that stay in the cache: whole entries of the batch, or some heads."""
    n, h, *sizes = weights.shape
    size = int(np.prod(sizes))
    heads = cache_slices(h, size)
    batch = cache_slices(n, h * size) if len(heads) == 1 else [slice(i, i + 1) for i in range(n)]
    return [(entries, some) for entries in batch for some in heads]


def _softmax(a: Array, is_safe: bool) -> None:
    """``softmax(a, -1)`` in place; with ``is_safe`` a row of -inf alone becomes zeros."""
    largest = a.max(-1, keepdims=True, initial=-np.inf)
    if is_safe:
        largest[largest == -np.inf] = 0
    a -= largest
    np.exp(a, out=a)
    total = a.sum(-1, keepdims=True)
    if is_safe:
        total[total == 0] = 1
    a *= 1 / total
