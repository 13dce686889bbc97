"""Comparisons and logic, element by element: no gradient flows."""

from typing import Any

import numpy as np

from numpy_impl.tensor.promotion import operands, quiet
from numpy_impl.tensor.tensor import Tensor, to_array


def _of_two(name: str, function: Any, docstring: str) -> Any:
    @quiet
    def compare(input: Any, other: Any) -> Tensor:
        return Tensor(np.asarray(function(*operands(input, other))))

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = docstring
    return compare


eq = _of_two("eq", np.equal, "Where ``input == other``: a Tensor of bool.")
ne = _of_two("ne", np.not_equal, "Where ``input != other``: a Tensor of bool.")
lt = _of_two("lt", np.less, "Where ``input < other``: a Tensor of bool.")
le = _of_two("le", np.less_equal, "Where ``input <= other``: a Tensor of bool.")
gt = _of_two("gt", np.greater, "Where ``input > other``: a Tensor of bool.")
ge = _of_two("ge", np.greater_equal, "Where ``input >= other``: a Tensor of bool.")
not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge
logical_and = _of_two("logical_and", np.logical_and, "Where both are true: a Tensor of bool.")
logical_or = _of_two("logical_or", np.logical_or, "Where at least one of the two is true.")
logical_xor = _of_two("logical_xor", np.logical_xor, "Where just one of them is true.")
bitwise_and = _of_two("bitwise_and", np.bitwise_and, "``input & other``, of bools or integers.")
bitwise_or = _of_two("bitwise_or", np.bitwise_or, "``input | other``, of bools or integers.")
bitwise_xor = _of_two("bitwise_xor", np.bitwise_xor, "``input ^ other``, of bools or integers.")
bitwise_left_shift = _of_two("bitwise_left_shift", np.left_shift, "``input << other``, of ints.")
bitwise_right_shift = _of_two("bitwise_right_shift", np.right_shift, "``input >> other``, of ints.")


def logical_not(input: Any) -> Tensor:
    """Where ``input`` is false or 0."""
    return Tensor(np.logical_not(to_array(input)))


def bitwise_not(input: Any) -> Tensor:
    """``~input``, of bools or integers."""
    return Tensor(np.invert(to_array(input)))


def isnan(input: Any) -> Tensor:
    """Where ``input`` is NaN: a Tensor of bool."""
    return Tensor(np.isnan(to_array(input)))


def isinf(input: Any) -> Tensor:
    """Where ``input`` is an infinity."""
    return Tensor(np.isinf(to_array(input)))


def isfinite(input: Any) -> Tensor:
    """Where ``input`` is neither NaN nor an infinity."""
    return Tensor(np.isfinite(to_array(input)))


@quiet
def isclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``."""
    a, b = operands(input, other)
    return Tensor(np.asarray(np.isclose(a, b, rtol, atol, equal_nan)))


def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


def equal(input: Any, other: Any) -> bool:
    """Whether two Tensors have the same shape and values."""
    return bool(np.array_equal(to_array(input), to_array(other)))


def is_floating_point(input: Any) -> bool:
    """Whether it holds floating-point numbers."""
    return to_array(input).dtype.kind == "f"
