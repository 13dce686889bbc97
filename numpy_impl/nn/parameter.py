"""Parameter: an array that is trained, and its gradient."""

import math
from typing import Any

import numpy as np

_CACHE_LINE = 64


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that starts at a cache line, for weights.

    NumPy starts its arrays 16 bytes behind one, so that every vector register is filled from two
    lines: a matrix-vector product then takes a sixth longer.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


class Parameter:
    """An array that a Module owns and an optimizer updates.

    Args:
        data: the values; kept as they are, not copied.
        requires_grad: False freezes it: backward leaves ``grad`` alone, optimizers skip it.

    Attributes:
        data: ``np.ndarray``, updated in place by optimizers.
        grad: ``None`` until the first backward, then an array of ``data``'s shape and dtype to
            which every later backward adds, until ``zero_grad()``.

    Raises:
        TypeError: if ``data`` is no floating-point array.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    """

    def __init__(self, data: np.ndarray, requires_grad: bool = True) -> None:
        if not isinstance(data, np.ndarray) or data.dtype.kind != "f":
            found = f"array of {data.dtype}" if isinstance(data, np.ndarray) else repr(data)
            raise TypeError(f"data must be a floating-point NumPy array, got {found}")
        self.data = data
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    def accumulate_grad(self, grad: np.ndarray) -> None:
        """Add ``grad`` to ``self.grad``; the array now belongs to this parameter.

        The caller hands over an array of its own that nobody else holds: the first one is kept,
        not copied.
        """
        if not self.requires_grad:
            return
        if grad.shape != self.data.shape:
            raise ValueError(
                f"grad must have the parameter's shape {self.data.shape}, got {grad.shape}"
            )
        if self.grad is None:
            self.grad = grad.astype(self.data.dtype, copy=False)
        else:
            self.grad += grad

    def zero_grad(self) -> None:
        """Forget the gradient: ``grad`` is ``None`` until the next backward."""
        self.grad = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{self.data!r}"
