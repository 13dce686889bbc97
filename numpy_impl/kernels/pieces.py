"""Arrays in pieces that stay in the cache."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# elements of a piece
_SIZE = 64 * 1024


def pieces(*arrays: NDArray[Any] | np.generic | None) -> Iterable[tuple[Any, ...]]:
    """Views that cover the arrays, which have one shape, piece by piece; None and numbers stay.

    For a function that changes them elementwise and in place,
    ``for piece in pieces(a, b): function(*piece)`` equals ``function(a, b)``: a formula of several
    operations then reads and writes memory once, not once an operation. Where memory layouts
    differ, or have gaps, all is one piece; arrays without axes get one. Memory is what limits this:
    a second thread would not make it faster.
    """
    first = arrays[0]
    assert isinstance(first, np.ndarray)
    if not first.ndim:
        return whole(*arrays)
    steps = _steps(first)
    others = [a for a in arrays if isinstance(a, np.ndarray)]
    if first.size <= _SIZE or any(_steps(a) != steps for a in others):
        return (arrays,)
    # axes from the largest stride to the smallest: a dense layout is then C-contiguous
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    if not first.transpose(order).flags.c_contiguous:
        return (arrays,)
    flat = [a.transpose(order).reshape(-1) if isinstance(a, np.ndarray) else a for a in arrays]
    return (
        tuple(a[start : start + _SIZE] if isinstance(a, np.ndarray) else a for a in flat)
        for start in range(0, first.size, _SIZE)
    )


def whole(*arrays: NDArray[Any] | np.generic | None) -> Iterable[tuple[Any, ...]]:
    """All in one piece, for a function that is not elementwise; arrays without axes get one.

    Operations on those return numbers, not arrays.
    """
    return (tuple(a.reshape(a.shape or 1) if isinstance(a, np.ndarray) else a for a in arrays),)


def _steps(array: NDArray[Any]) -> list[int]:
    """Strides in elements: arrays of several dtypes may lie alike."""
    return [stride // array.itemsize for stride in array.strides]


def laid_out_like(array: NDArray[Any], model: NDArray[Any]) -> NDArray[Any]:
    """``array`` itself, or a copy in the memory layout and dtype of ``model``: ``array``'s values.

    Pieces of both then line up.
    """
    if array.strides == model.strides:
        return array
    copy = np.empty_like(model)
    copy[...] = array
    return copy
