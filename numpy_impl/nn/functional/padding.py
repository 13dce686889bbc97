"""pad."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl.nn.functional.calls import backward_of
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """``input`` with ``value`` (0) around it: (low, high) of the last axis, of the one before, ...

    Negative numbers crop.

    Raises:
        ValueError: for another mode than ``"constant"``, or numbers that do not pair up.
    """
    x = to_array(input)
    if mode != "constant":
        raise ValueError(f"mode must be 'constant', got {mode!r}")
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(f"pad must be pairs for at most {x.ndim} axes, got {tuple(pad)}")
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2)
    pairs += [(int(low), int(high)) for low, high in zip(pad[-2::-2], pad[::-2], strict=True)]
    ends = [n - max(0, -high) for (_, high), n in zip(pairs, x.shape, strict=True)]
    kept = tuple(slice(max(0, -low), end) for (low, _), end in zip(pairs, ends, strict=True))
    widths = [(max(0, low), max(0, high)) for low, high in pairs]
    output = np.pad(x[kept], widths, constant_values=0 if value is None else value)
    if not isinstance(input, Tensor):
        return output
    inner = tuple(slice(low, n - high) for (low, high), n in zip(widths, output.shape, strict=True))

    def backward(g: Array) -> Array:
        grad = np.zeros(x.shape, g.dtype)
        grad[kept] = g[inner]
        return grad

    return record(output, "pad", (input, backward))


pad_backward = backward_of(pad)
