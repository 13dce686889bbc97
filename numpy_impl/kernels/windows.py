"""Sliding windows over channels-last arrays: what convolution and pooling have in common.

Letters in shape comments: N batch, C channels, S... input sizes, O... output sizes, K... kernel
sizes, and a trailing p for padded.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Array = np.ndarray
Ints = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Slices = tuple[slice, ...]
MAXDIMS = 64  # of a NumPy array
# the order of axes, by their number
_LAST = {n: (0, *range(2, n), 1) for n in range(2, MAXDIMS + 1)}
_FIRST = {n: (0, n - 1, *range(1, n - 1)) for n in range(2, MAXDIMS + 1)}


def channels_last(array: Array) -> Array:
    """``np.moveaxis(array, 1, -1)``: (N, C, S...) -> (N, S..., C), a view."""
    return array.transpose(_LAST[array.ndim])


def channels_first(array: Array) -> Array:
    """``np.moveaxis(array, -1, 1)``: (N, S..., C) -> (N, C, S...), a view.

    Results are NCHW by shape and channels-last in memory.
    """
    return array.transpose(_FIRST[array.ndim])


def pad_channels_last(array: Array, pads: Pads, value: float = 0.0) -> Array:
    """``np.pad(array, [(0, 0), *pads, (0, 0)], constant_values=value)``, C-contiguous.

    (N, S..., C) -> (N, Sp..., C); negative pads crop, and nothing is copied that lies as it should.
    """
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
            slice(max(0, -low), max(0, size - max(0, -high)))
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
    # (where more is cropped than there is, one side's crop takes from the other's padding)
    return crop, padded, interior(pads, [max(0, n) for n in sizes])


def interior(pads: Pads, sizes: Sequence[int]) -> Slices:
    """``padded[interior(pads, sizes)]`` is what was padded, in (N, Sp..., C)."""
    inner = (slice(low, low + size) for (low, _), size in zip(pads, sizes, strict=True))
    return (slice(None), *inner)


def window_slices(offset: Ints, stride: Ints, dilation: Ints, outputs: Ints) -> Slices:
    """``padded[window_slices(...)]``: what stands at kernel position ``offset`` of every window.

    (N, Sp..., C) -> (N, O..., C), a view.
    """
    spans = (
        slice(k * d, k * d + s * (o - 1) + 1, s)
        for k, s, d, o in zip(offset, stride, dilation, outputs, strict=True)
    )
    return (slice(None), *spans)
