"""Selecting by a mask: the one operation behind ReLU's and max pooling's backward."""

import numpy as np

Array = np.ndarray
_INTEGER: dict[int, type] = {4: np.int32, 8: np.int64}


def as_mask(condition: Array) -> Array:
    """``-condition.astype(np.int8)``: every bit set where True; in the condition's own memory."""
    mask = np.asarray(condition).view(np.int8)
    return np.negative(mask, out=mask)


def as_opposite_mask(condition: Array) -> Array:
    """``-(~condition).astype(np.int8)``: every bit set where False; in its own memory."""
    mask = condition.view(np.int8)
    return np.subtract(mask, 1, out=mask)


def select(values: Array, mask: Array, out: Array | None = None) -> Array:
    """``np.where(mask, values, 0)``, about ten times as fast, since nothing branches.

    By a bitwise and of the floats with the mask, sign-extended to their width: 0 also where the
    value is inf or NaN.
    """
    if out is None:
        out = np.empty_like(values)
    integer = _INTEGER[values.dtype.itemsize]
    np.bitwise_and(values.view(integer), mask, out=out.view(integer))
    return out


def where(
    condition: Array, values: Array, others: Array | None = None, out: Array | None = None
) -> Array:
    """``np.where(condition, values, others)``, several times as fast; others are 0 unless given.

    Values and others have one dtype, and either may be a single number. The condition's memory is
    used up.
    """
    mask = as_mask(condition)
    if others is None:
        return select(values, mask, out)
    if out is None:
        out = np.empty_like(mask, values.dtype)
    choose(values, others, mask, out)
    return out


def choose(values: Array, others: Array, mask: Array, out: Array) -> None:
    """``out[...] = np.where(mask, values, others)``, bit for bit; ``out`` may be others.

    By exclusive or: others ^ ((others ^ values) & mask).
    """
    integer = _INTEGER[values.dtype.itemsize]
    ours: Array = values.view(integer)
    theirs: Array = others.view(integer)
    different = np.bitwise_xor(ours, theirs)
    different &= mask
    np.bitwise_xor(theirs, different, out=out.view(integer))
