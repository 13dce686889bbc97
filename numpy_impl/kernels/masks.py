"""Selecting by a mask: the one operation behind ReLU's and max pooling's backward."""

import numpy as np

Array = np.ndarray
_INTEGER: dict[int, type] = {4: np.int32, 8: np.int64}


def as_mask(condition: Array) -> Array:
    """A boolean array as int8: 0 where False, -1 (every bit set) where True; reuses its memory."""
    mask = np.asarray(condition).view(np.int8)
    return np.negative(mask, out=mask)


def as_opposite_mask(condition: Array) -> Array:
    """The same of the opposite: -1 where False, 0 where True."""
    mask = condition.view(np.int8)
    return np.subtract(mask, 1, out=mask)


def select(values: Array, mask: Array, out: Array | None = None) -> Array:
    """``values`` where ``mask`` is set, 0 elsewhere, even where the value is inf or NaN.

    The same as ``np.where(mask, values, 0)``, by a bitwise and of the floats with the mask
    (sign-extended to their width): about ten times as fast, since nothing branches.
    """
    if out is None:
        out = np.empty_like(values)
    integer = _INTEGER[values.dtype.itemsize]
    np.bitwise_and(values.view(integer), mask, out=out.view(integer))
    return out


def choose(values: Array, others: Array, mask: Array, out: Array) -> None:
    """``values`` where ``mask`` is set, ``others`` elsewhere, bit for bit; ``out`` may be others.

    By exclusive or: others ^ ((others ^ values) & mask).
    """
    integer = _INTEGER[values.dtype.itemsize]
    ours: Array = values.view(integer)
    theirs: Array = others.view(integer)
    different = np.bitwise_xor(ours, theirs)
    different &= mask
    np.bitwise_xor(theirs, different, out=out.view(integer))
