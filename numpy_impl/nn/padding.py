"""Padding of the trailing axes: the pure pair behind ``padding_mode`` of the convolutions."""

from collections.abc import Sequence

import numpy as np

Array = np.ndarray
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def check_mode(mode: str) -> None:
    """Raise ValueError for a ``padding_mode`` that there is not."""
    if mode not in PADDING_MODES:
        raise ValueError(f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {mode!r}")


def pad(input: Array, pads: Sequence[tuple[int, int]], mode: str) -> Array:
    """Extend the axes after (N, C) by ``(low, high)`` elements each.

    Args:
        input: (N, C, S...).
        pads: (low, high) for each S, not negative.
        mode: ``"reflect"`` mirrors without repeating the edge, ``"replicate"`` repeats the edge,
            ``"circular"`` goes round.

    Raises:
        ValueError: if an axis is too short: reflect needs pads below the size, circular at most
            the size, replicate a size.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    output = input
    for axis, (low, high) in enumerate(pads, start=2):
        if low or high:
            output = np.take(output, _source(output.shape[axis], low, high, mode), axis)
    return output


def pad_backward(
    grad_output: Array, pads: Sequence[tuple[int, int]], sizes: Sequence[int], mode: str
) -> Array:
    """Each element of the input receives the gradients of all its copies.

    Args:
        grad_output: (N, C, Sp...).
        pads: as in :func:`pad`.
        sizes: the input's sizes after (N, C).
        mode: as in :func:`pad`.
    """
    grad = grad_output
    for axis, ((low, high), size) in enumerate(zip(pads, sizes, strict=True), start=2):
        source = _source(size, low, high, mode)
        moved = np.moveaxis(grad, axis, 0)
        core = moved[low : low + size].copy()
        for position in [*range(low), *range(low + size, low + size + high)]:
            core[source[position]] += moved[position]
        grad = np.moveaxis(core, 0, axis)
    return grad


def _source(size: int, low: int, high: int, mode: str) -> Array:
    """For each position of the padded axis, the position of the input it copies."""
    limit = size - 1 if mode == "reflect" else size
    if (mode != "replicate" or size == 0) and max(low, high) > limit:
        raise ValueError(
            f"padding must be at most {limit} for padding_mode={mode!r} and an axis of {size}, "
            f"got {(low, high)}"
        )
    position = np.arange(-low, size + high)
    if mode == "circular":
        return position % size
    if mode == "replicate":
        return position.clip(0, size - 1)
    position = np.abs(position)
    return np.where(position < size, position, 2 * (size - 1) - position)
