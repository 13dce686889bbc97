"""Comparisons and logic, element by element: no gradient flows."""

import numpy as np

from numpy_impl.tensor.promotion import operands, quiet
from numpy_impl.tensor.tensor import Operand, Tensor, TensorLike, to_array


@quiet
def eq(input: Operand, other: Operand) -> Tensor:
    """Where ``input == other``: a Tensor of bool."""
    return Tensor(np.asarray(np.equal(*operands(input, other))))


@quiet
def ne(input: Operand, other: Operand) -> Tensor:
    """Where ``input != other``: a Tensor of bool."""
    return Tensor(np.asarray(np.not_equal(*operands(input, other))))


@quiet
def lt(input: Operand, other: Operand) -> Tensor:
    """Where ``input < other``: a Tensor of bool."""
    return Tensor(np.asarray(np.less(*operands(input, other))))


@quiet
def le(input: Operand, other: Operand) -> Tensor:
    """Where ``input <= other``: a Tensor of bool."""
    return Tensor(np.asarray(np.less_equal(*operands(input, other))))


@quiet
def gt(input: Operand, other: Operand) -> Tensor:
    """Where ``input > other``: a Tensor of bool."""
    return Tensor(np.asarray(np.greater(*operands(input, other))))


@quiet
def ge(input: Operand, other: Operand) -> Tensor:
    """Where ``input >= other``: a Tensor of bool."""
    return Tensor(np.asarray(np.greater_equal(*operands(input, other))))


not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge


@quiet
def logical_and(input: Operand, other: Operand) -> Tensor:
    """Where both are true: a Tensor of bool."""
    return Tensor(np.asarray(np.logical_and(*operands(input, other))))


@quiet
def logical_or(input: Operand, other: Operand) -> Tensor:
    """Where at least one of the two is true."""
    return Tensor(np.asarray(np.logical_or(*operands(input, other))))


@quiet
def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Where just one of them is true."""
    return Tensor(np.asarray(np.logical_xor(*operands(input, other))))


@quiet
def bitwise_and(input: Operand, other: Operand) -> Tensor:
    """``input & other``, of bools or integers."""
    return Tensor(np.asarray(np.bitwise_and(*operands(input, other))))


@quiet
def bitwise_or(input: Operand, other: Operand) -> Tensor:
    """``input | other``, of bools or integers."""
    return Tensor(np.asarray(np.bitwise_or(*operands(input, other))))


@quiet
def bitwise_xor(input: Operand, other: Operand) -> Tensor:
    """``input ^ other``, of bools or integers."""
    return Tensor(np.asarray(np.bitwise_xor(*operands(input, other))))


@quiet
def bitwise_left_shift(input: Operand, other: Operand) -> Tensor:
    """``input << other``, of ints."""
    return Tensor(np.asarray(np.left_shift(*operands(input, other))))


@quiet
def bitwise_right_shift(input: Operand, other: Operand) -> Tensor:
    """``input >> other``, of ints."""
    return Tensor(np.asarray(np.right_shift(*operands(input, other))))


def logical_not(input: TensorLike) -> Tensor:
    """Where ``input`` is false or 0."""
    return Tensor(np.logical_not(to_array(input)))


def bitwise_not(input: TensorLike) -> Tensor:
    """``~input``, of bools or integers."""
    return Tensor(np.invert(to_array(input)))


def isnan(input: TensorLike) -> Tensor:
    """Where ``input`` is NaN: a Tensor of bool."""
    return Tensor(np.isnan(to_array(input)))


def isinf(input: TensorLike) -> Tensor:
    """Where ``input`` is an infinity."""
    return Tensor(np.isinf(to_array(input)))


def isfinite(input: TensorLike) -> Tensor:
    """Where ``input`` is neither NaN nor an infinity."""
    return Tensor(np.isfinite(to_array(input)))


@quiet
def isclose(
    input: Operand, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|``."""
    a, b = operands(input, other)
    return Tensor(np.asarray(np.isclose(a, b, rtol, atol, equal_nan)))


def allclose(
    input: Operand, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` everywhere."""
    return bool(isclose(input, other, rtol, atol, equal_nan)._data.all())


def equal(input: TensorLike, other: TensorLike) -> bool:
    """Whether two Tensors have the same shape and values."""
    return bool(np.array_equal(to_array(input), to_array(other)))


def is_floating_point(input: TensorLike) -> bool:
    """Whether it holds floating-point numbers."""
    return to_array(input).dtype.kind == "f"
