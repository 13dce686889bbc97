"""Attention by scaled dot products, and the masks and the dropout of it.

How it is defined: ``textbook.attention``. The scores of a few heads at a time are the kernel's,
``kernels/attention.py``.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.kernels import attention as kernels
from numpy_impl.nn.checks import warn
from numpy_impl.random import bernoulli_mask
from numpy_impl.tensor.graph import fitted
from numpy_impl.types import Array

Ints = tuple[int, ...]
Three = tuple[Array, Array, Array]


def additive(mask: Array, dtype: np.dtype) -> Array:
    """What to add to scores: of a mask of booleans, -inf where True."""
    return mask if mask.dtype.kind == "f" else np.where(mask, dtype.type(-np.inf), dtype.type(0))


def causal(length: int, sources: int, dtype: np.dtype) -> Array:
    """(L, S), to be added to scores: query l sees the keys up to l."""
    return additive(~np.tri(length, sources, dtype=bool), dtype)


def check_mask(mask: Any, name: str, dtype: np.dtype, shapes: Sequence[Ints]) -> None:
    """A mask must be of booleans or of the input's dtype, and have one of these shapes.

    Raises:
        TypeError, ValueError: if it is not.
    """
    if not isinstance(mask, np.ndarray) or mask.dtype not in (np.bool_, dtype):
        found = mask.dtype if isinstance(mask, np.ndarray) else type(mask).__name__
        raise TypeError(f"{name} must be an array of bool or {dtype}, got {found}")
    if mask.shape not in shapes:
        allowed = " or ".join(map(str, shapes))
        raise ValueError(f"{name} must have shape {allowed}, got {mask.shape}")


def warn_if_mixed(first: Any, name: str, second: Any, other: str) -> None:
    """torch means to give up pairs of masks of two dtypes, and says so."""
    if first is not None and second is not None and first.dtype != second.dtype:
        warn(
            f"{name} and {other} should have one dtype, got {first.dtype} and {second.dtype}: "
            "torch means to give up others"
        )


def dropout_noise(shape: Ints, p: float, dtype: np.dtype) -> Array | None:
    """What to multiply weights with, drawn as by :class:`~numpy_impl.nn.Dropout`; None is 1."""
    if not 0 <= p <= 1:
        raise ValueError(f"the probability of dropout must lie in [0, 1], got {p}")
    if p == 0 or not math.prod(shape):
        return None
    if p == 1:
        return np.zeros((1,) * len(shape), dtype)
    return bernoulli_mask(shape, 1 - p) * (dtype.type(1) / dtype.type(1 - p))


class Saved(NamedTuple):
    """What the forward keeps: q (scaled), k, v and their softmax, as the kernel sees them."""

    heads: Three
    weights: Array
    noise: Array | None
    scale: float
    outer: Ints
    shapes: tuple[Ints, Ints, Ints]


def attention(
    q: Array, k: Array, v: Array, mask: Array | None, scale: float, dropout_p: float = 0.0
) -> tuple[Array, Saved]:
    r""":math:`y = \mathrm{softmax}(s\,q k^\top + m)\,v`, weights dropped in between.

    q (..., L, E), k (..., S, E), v (..., S, V), m (..., L, S) -> (..., L, V); what is before the
    last two axes broadcasts. A row of -inf alone has weights of 0.

    Returns:
        y, and what :func:`attention_backward` needs.
    """
    outer = np.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    shape = (*outer, q.shape[-2], k.shape[-2])
    # drawn for the weights as they are before the values broadcast them
    drawn = (*np.broadcast_shapes(q.shape[:-2], k.shape[:-2]), *shape[-2:])
    noise = dropout_noise(drawn, dropout_p, q.dtype)
    heads = _heads(q * q.dtype.type(scale), outer), _heads(k, outer), _heads(v, outer)
    masks = [] if mask is None else [_heads(mask, outer, shape[-2:])]
    noise = None if noise is None else _heads(noise, outer, shape[-2:])
    output = np.empty((*shape[:-1], v.shape[-1]), q.dtype)
    weights = kernels.attend(*heads, _heads(output, outer), masks, noise)
    return output, Saved(heads, weights, noise, scale, outer, (q.shape, k.shape, v.shape))


def attention_backward(
    dy: Array, saved: Saved, mask: Array | None = None
) -> tuple[Array, Array, Array, Array | None]:
    """Gradients for q, k, v, and for the mask if it is given.

    dv = A^T dy, dA = dy v^T, dm = A (dA - sum(dA A)), dq = s dm k, dk = s dm^T q.
    """
    heads, weights, noise, scale, outer, shapes = saved
    grads = np.empty_like(heads[0]), np.empty_like(heads[1]), np.empty_like(heads[2])
    of_output = _heads(dy, outer), None
    keeps = mask is not None
    dm = kernels.attend_backward(*of_output, weights, heads, noise, grads, keeps_scores=keeps)
    np.multiply(grads[0], dy.dtype.type(scale), out=grads[0])
    dq, dk, dv = (
        fitted(grad.reshape(*outer, *shape[-2:]), shape, grad.dtype)
        for grad, shape in zip(grads, shapes, strict=True)
    )
    if dm is None or mask is None:
        return dq, dk, dv, None
    return dq, dk, dv, fitted(dm.reshape(*outer, *dm.shape[-2:]), mask.shape, mask.dtype)


def _heads(x: Array, outer: Ints, sizes: Ints = ()) -> Array:
    """(..., A, B) as (N, H, A, B); missing axes before it are broadcast."""
    sizes = sizes or x.shape[-2:]
    n, h = (math.prod(outer[:-1]), outer[-1]) if len(outer) > 1 else (math.prod(outer), 1)
    whole = x if x.shape == (*outer, *sizes) else np.broadcast_to(x, (*outer, *sizes))
    return whole.reshape(n, h, *sizes)
