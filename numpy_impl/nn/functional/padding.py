"""pad."""

from collections.abc import Sequence
from typing import Any

from numpy_impl.nn import padding as _padding
from numpy_impl.nn.checks import names_itself
from numpy_impl.nn.functional.calls import backward_of
from numpy_impl.tensor.tensor import Tensor, record, to_array


@names_itself
def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """``input`` with more around it: (low, high) of the last axis, of the one before, ...

    Negative numbers crop.

    Args:
        input: of any dtype.
        pad: the pairs.
        mode: ``"constant"`` for any number of axes; ``"reflect"``, ``"replicate"``, ``"circular"``
            for the 1 to 3 axes behind (N, C) or (C,): see :func:`numpy_impl.nn.padding.pad`.
        value: of the constant; 0 unless given.

    Raises:
        ValueError: for another mode, numbers that do not pair up, a value without a constant, axes
            too short for the mode.
    """
    x = to_array(input)
    pads = _padding.check_pads(pad, x.ndim, mode)
    if value and mode != "constant":
        raise ValueError(f"value must be None or 0 with mode={mode!r}, got {value}")
    output = _padding.pad(x, pads, mode, 0 if value is None else value)
    if not isinstance(input, Tensor):
        return output
    return record(output, "pad", (input, lambda grad: _padding.pad_backward(grad, pads, mode)))


pad_backward = backward_of(pad)
