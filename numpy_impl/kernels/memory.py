"""Where arrays start in memory."""

import math

import numpy as np

_CACHE_LINE = 64


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """``np.empty(shape, dtype)`` that starts at a cache line, for weights.

    NumPy starts its arrays 16 bytes behind one, so that every vector register is filled from two
    lines: a matrix-vector product then takes a sixth longer.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)
