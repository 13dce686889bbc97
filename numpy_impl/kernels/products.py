"""Matrix products and sums."""

import math
from functools import partial
from typing import Any

import numpy as np

from numpy_impl.kernels.threads import with_one_blas_thread

Array = np.ndarray
# multiplications of a matrix product: up to the one BLAS itself stays on one thread, from the
# other on its threads save more than their spinning costs afterwards
_TINY_PRODUCT, _LARGE_PRODUCT = 2**13, 2**25
# rows that one product sums
_BLOCK = 256
# elements of a product that BLAS does not make in blocks of its own
_SMALL = 512
# terms that are added one by one; up to twice as many where there are no more
_FEW = 64
_reduce: Any = np.add.reduce  # x.sum starts later


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b``, on one thread unless it is large; of matrices also into the memory of ``out``.

    BLAS's own threads spin for a while after their work, and would take the cores from whatever
    is sliced next. Its product's last bits may differ with their number; so would those of a
    product made from slices.
    """
    # dot starts in half the time of @
    product = partial(a.dot, out=out) if a.ndim == b.ndim == 2 else a.__matmul__
    # a single row, as in inference, is best left to BLAS
    if len(a) == 1 or not _TINY_PRODUCT < a.size * b.shape[-1] < _LARGE_PRODUCT:
        return product(b)
    return with_one_blas_thread(partial(product, b))


def sum_rows(rows: Array) -> Array:
    """``rows.sum(-2)`` of (..., M, C), several times as fast: matrix-vector products over blocks.

    The blocks keep float32 rounding from growing with M.
    """
    *sizes, length, columns = rows.shape
    blocks = length // _BLOCK
    if blocks < 2:
        return matmul(np.ones(length, rows.dtype), rows)
    whole = blocks * _BLOCK
    head = rows[..., :whole, :].reshape(*sizes, blocks, _BLOCK, columns)
    total = sum_along(matmul(np.ones(_BLOCK, rows.dtype), head), -2)
    total += matmul(np.ones(length - whole, rows.dtype), rows[..., whole:, :])
    return total


def dot_rows(weights: Array, rows: Array) -> Array:
    """``weights @ rows`` of (M,) and (M, C), over blocks as well."""
    step = 4 * _BLOCK
    blocks = len(rows) // step
    if blocks < 2:
        return matmul(weights, rows)
    whole = blocks * step
    head = rows[:whole].reshape(blocks, step, rows.shape[1])
    total = sum_along(matmul(weights[:whole].reshape(blocks, 1, step), head), (0, 1))
    total += matmul(weights[whole:], rows[whole:])
    return total


def sum_products(a: Array, b: Array) -> Array:
    """``a.T @ b`` of (M, I) and (M, J); small ones, which BLAS adds row by row, over blocks."""
    rows = 4 * _BLOCK
    blocks = len(a) // rows
    if blocks < 2 or a.shape[1] * b.shape[1] > _SMALL:
        return matmul(a.T, b)
    whole = blocks * rows
    left, right = (x[:whole].reshape(blocks, rows, x.shape[1]) for x in (a, b))
    total = sum_along(matmul(left.swapaxes(1, 2), right), 0)
    total += matmul(a[whole:].T, b[whole:])
    return total


def sum_along(x: Array, axes: Any = None, keepdims: bool = False) -> Array:
    """``x.sum(axes, keepdims=keepdims)``, whose rounding does not grow with the number of terms.

    NumPy adds pairwise along the innermost axes in memory; along others term by term, which in
    float32 loses a third of the digits of a million terms. Those are added in blocks.
    """
    is_whole = axes is None or (type(axes) is tuple and len(axes) == x.ndim)
    if not x.ndim or (is_whole and x.flags.c_contiguous):
        return _reduce(x, axes, keepdims=keepdims)
    if type(axes) is int and x.shape[axes] <= 2 * _FEW:
        return _reduce(x, axes, keepdims=keepdims)
    if axes is None:
        axes = tuple(range(x.ndim))
    elif isinstance(axes, int):
        axes = (axes,)
    count = math.prod([x.shape[axis] for axis in axes])
    pairwise = x.flags.c_contiguous and (count == x.size or axes in ((-1,), (x.ndim - 1,)))
    if count <= 2 * _FEW or pairwise or x.dtype.kind != "f":
        return x.sum(axes, keepdims=keepdims)
    reduced = {axis % x.ndim for axis in axes}
    inwards = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    # the innermost of them, all at once where they lie as one
    count = next((i for i, axis in enumerate(reversed(inwards)) if axis not in reduced), x.ndim)
    if not x.transpose(inwards).flags.c_contiguous:
        count = min(count, 1)
    innermost = inwards[len(inwards) - count :]
    total = x.sum(tuple(innermost), keepdims=True) if innermost else x
    for axis in reversed(inwards[: len(inwards) - count]):
        if axis in reduced:
            total = _sum_in_blocks(total, axis)
    return total if keepdims else total.squeeze(tuple(reduced))


def _sum_in_blocks(x: Array, axis: int) -> Array:
    """``x.sum(axis, keepdims=True)``"""
    blocks = x.shape[axis] // _FEW
    if blocks <= 2:
        return x.sum(axis, keepdims=True)
    before, whole = (slice(None),) * axis, blocks * _FEW
    head = x[*before, :whole].reshape(*x.shape[:axis], blocks, _FEW, *x.shape[axis + 1 :])
    total = _sum_in_blocks(head.sum(axis + 1), axis)
    total += x[*before, whole:].sum(axis, keepdims=True)
    return total
