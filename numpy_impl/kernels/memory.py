"""Where arrays start in memory."""

import math

import numpy as np

_CACHE_LINE = 64
# bytes; finding the line takes longer than a smaller array gains from it
_LARGE = 128 * 1024


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """``np.empty(shape, dtype)`` that starts at a cache line, for weights.

    NumPy starts its arrays 16 bytes behind one, so that every vector register is filled from two
    lines: a matrix-vector product then takes a sixth longer.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """``np.empty(shape, dtype)``, which starts at a cache line if it is large.

    An operation that writes where no line starts takes up to twice as long.
    """
    is_large = math.prod(shape) * dtype.itemsize >= _LARGE
    return aligned_empty(shape, dtype) if is_large else np.empty(shape, dtype)


def empty_like(array: np.ndarray, dtype: type | None = None) -> np.ndarray:
    """``np.empty_like(array, dtype)``, by :func:`empty` where the layout is C's."""
    if array.flags.c_contiguous:
        return empty(array.shape, array.dtype if dtype is None else np.dtype(dtype))
    return np.empty_like(array, dtype)
