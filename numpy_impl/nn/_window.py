"""Sliding windows over channels-last arrays: what convolution and pooling have in common.

Letters in shape comments: N batch, C channels, S... input sizes, O... output sizes, K... kernel
sizes, and a trailing p for padded.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from numpy_impl.nn.checks import check_array

Array = np.ndarray
T = TypeVar("T")
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Slices = tuple[slice, ...]
# the order of axes, by their number
_LAST = {n: (0, *range(2, n), 1) for n in range(2, 6)}
_FIRST = {n: (0, n - 1, *range(1, n - 1)) for n in range(2, 6)}


def ntuple(
    value: Any, n: int, name: str, owner: str, minimum: int = 1, spread: bool = False
) -> Ints:
    """An int or a sequence of ``n`` ints, as a tuple of ``n``; with ``spread`` also one of 1.

    Raises:
        TypeError: if it is neither.
        ValueError: if there are not ``n``, or one is below ``minimum``.
    """
    many = isinstance(value, tuple | list)
    values = tuple(value) if many else (value,)
    if not all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{owner}: {name} must be an int or a tuple of {n} ints, got {value!r}")
    if spread and len(values) == 1:
        many = False
    if many and len(values) != n:
        raise ValueError(f"{owner}: {name} must be an int or a tuple of {n} ints, got {value!r}")
    if min(values, default=minimum) < minimum:
        raise ValueError(f"{owner}: {name} must be at least {minimum}, got {value!r}")
    return tuple(int(v) for v in values) * (1 if many else n)


def cached(function: Callable[..., T]) -> Callable[..., T]:
    """``lru_cache`` for functions whose arguments may be lists.

    So a layer's attributes are checked at every call and may change, at the price of a look-up.
    """
    remembered = lru_cache(maxsize=512)(function)

    def call(*arguments: Any) -> T:
        try:
            return remembered(*arguments)
        except TypeError:  # either a list, which has no hash, or the function's own error
            if not any(isinstance(a, list) for a in arguments):
                raise
        return remembered(*(tuple(a) if isinstance(a, list) else a for a in arguments))

    return call


def channels_last(array: Array) -> Array:
    """(N, C, S...) -> (N, S..., C), a view."""
    return array.transpose(_LAST[array.ndim])


def channels_first(array: Array) -> Array:
    """(N, S..., C) -> (N, C, S...), a view: results are NCHW by shape, channels-last in memory."""
    return array.transpose(_FIRST[array.ndim])


def pad_channels_last(array: Array, pads: Pads, value: float = 0.0) -> Array:
    """(N, S..., C) -> a C-contiguous (N, Sp..., C) with ``value`` around; negative pads crop."""
    crop, sizes, inner = _padding(pads, array.shape[1:-1])
    if crop is not None:
        array = array[crop]
    if inner is None:
        return np.ascontiguousarray(array)
    shape = (len(array), *sizes, array.shape[-1])
    padded = np.zeros(shape, array.dtype) if value == 0 else np.full(shape, value, array.dtype)
    padded[inner] = array
    return padded


@lru_cache(maxsize=512)
def _padding(pads: Pads, sizes: Ints) -> tuple[Slices | None, Ints, Slices | None]:
    """What to crop, the sizes afterwards, and where in them the array goes; None: not at all."""
    crop = None
    if any(low < 0 or high < 0 for low, high in pads):
        inside = (
            slice(max(0, -low), size - max(0, -high))
            for (low, high), size in zip(pads, sizes, strict=True)
        )
        crop = (slice(None), *inside)
        sizes = tuple(
            size + min(0, low) + min(0, high) for (low, high), size in zip(pads, sizes, strict=True)
        )
    pads = tuple((max(0, low), max(0, high)) for low, high in pads)
    if not any(low or high for low, high in pads):
        return crop, sizes, None
    padded = tuple(low + n + high for (low, high), n in zip(pads, sizes, strict=True))
    return crop, padded, interior(pads, sizes)


def interior(pads: Pads, sizes: Sequence[int]) -> Slices:
    """Where an array of ``sizes`` lies in its padded (N, Sp..., C)."""
    inner = (slice(low, low + size) for (low, _), size in zip(pads, sizes, strict=True))
    return (slice(None), *inner)


def window_slices(offset: Ints, stride: Ints, dilation: Ints, outputs: Ints) -> Slices:
    """The element at kernel position ``offset`` of every window: (N, Sp..., C) -> (N, O..., C)."""
    spans = (
        slice(k * d, k * d + s * (o - 1) + 1, s)
        for k, s, d, o in zip(offset, stride, dilation, outputs, strict=True)
    )
    return (slice(None), *spans)


def batched(input: Array, n: int, owner: str, dtype: np.dtype | None = None) -> tuple[Array, bool]:
    """(N, C, S...) and whether the batch axis was added to an unbatched (C, S...)."""
    input = check_array(input, "input", owner, dtype, ndim=(n + 1, n + 2))
    return (input, False) if input.ndim == n + 2 else (input[None], True)


def without_batch(value: Any, added: bool) -> Any:
    """Take the batch axis off an array, or a tuple of them, again if it was ``added``."""
    if not added or value is None:
        return value
    return tuple(part[0] for part in value) if isinstance(value, tuple) else value[0]


def with_batch(value: Any, added: bool) -> Any:
    """The upstream gradient for what :func:`without_batch` returned, as it was before."""
    if not added or value is None:
        return value
    if isinstance(value, tuple):
        return tuple(v if v is None else v[None] for v in value)
    return value[None]
