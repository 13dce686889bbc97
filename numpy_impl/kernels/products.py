"""Matrix products and sums over rows."""

from functools import partial

import numpy as np

from numpy_impl.kernels.threads import with_one_blas_thread

Array = np.ndarray
# multiplications of a matrix product: up to the one BLAS itself stays on one thread, from the
# other on its threads save more than their spinning costs afterwards
_TINY_PRODUCT, _LARGE_PRODUCT = 2**13, 2**25
# rows that one product sums
_BLOCK = 1024


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
    """``rows.sum(0)`` of (M, C), several times as fast: matrix-vector products over blocks.

    The blocks keep float32 rounding from growing with M.
    """
    blocks = len(rows) // _BLOCK
    if blocks < 2:
        return matmul(np.ones(len(rows), rows.dtype), rows)
    whole = blocks * _BLOCK
    head = rows[:whole].reshape(blocks, _BLOCK, rows.shape[1])
    total = matmul(np.ones(_BLOCK, rows.dtype), head).sum(0)
    total += matmul(np.ones(len(rows) - whole, rows.dtype), rows[whole:])
    return total
