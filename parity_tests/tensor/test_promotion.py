"""The dtype and value of a result for every pair of operands, as torch's."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from parity_tests.tensor.rows import ERRORS, array_of

DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
KINDS = ("n-d", "0-d", "number", "array")
OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda t, x, y: x + y,
    "-": lambda t, x, y: x - y,
    "*": lambda t, x, y: x * y,
    "/": lambda t, x, y: x / y,
    "//": lambda t, x, y: x // y,
    "%": lambda t, x, y: x % y,
    "**": lambda t, x, y: x**y,
    "<": lambda t, x, y: x < y,
    "<=": lambda t, x, y: x <= y,
    ">": lambda t, x, y: x > y,
    ">=": lambda t, x, y: x >= y,
    "==": lambda t, x, y: x == y,
    "!=": lambda t, x, y: x != y,
    "where": lambda t, x, y: t.where(t.tensor([True, False]), x, y),
    "maximum": lambda t, x, y: t.maximum(x, y),
    "minimum": lambda t, x, y: t.minimum(x, y),
    "masked_fill": lambda t, x, y: t.masked_fill(x, t.tensor([True, False]), y),
    "cat": lambda t, x, y: t.cat([x, y]),
    "stack": lambda t, x, y: t.stack([x, y]),
    "clamp": lambda t, x, y: t.clamp(x, y),
    "logical_and": lambda t, x, y: t.logical_and(x, y),
}
TENSORS_ONLY = ("maximum", "minimum", "cat", "stack", "logical_and")


def operand(world: Any, kind: str, dtype: str, values: list[int]) -> Any:
    """An operand of either world; a NumPy array is a Tensor to torch."""
    array = np.array(values, dtype)
    if kind == "0-d":
        array = np.array(values[0], dtype)
    if kind == "number":
        return array[0].item()
    if world is torch:
        return torch.from_numpy(array)
    return array if kind == "array" else numpy_impl.tensor(array)


def cases() -> list[Any]:
    sides = list(itertools.product(DTYPES, KINDS))
    return [
        pytest.param(name, left, right, id=f"{left[0]} {left[1]} {name} {right[0]} {right[1]}")
        for name in OPERATIONS
        for left, right in itertools.product(sides, sides)
        if {left[1], right[1]} & {"n-d", "0-d"}
        and not (name in TENSORS_ONLY and "number" in (left[1], right[1]))
        # torch looks at the number: to the power of 1 is a copy
        and not (name == "**" and left[0] == right[0] == "bool" and right[1] == "number")
        and not (name in ("masked_fill", "clamp") and left[1] in ("number", "array"))
    ]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_pairs(name: str) -> None:
    for case in cases():
        if case.values[0] == name:
            check_pair(*case.values)


def check_pair(name: str, left: tuple[str, str], right: tuple[str, str]) -> None:
    operation, where = OPERATIONS[name], f"{left} {name} {right}"

    def result(world: Any) -> Any:
        x = operand(world, left[1], left[0], [3, 1])
        y = operand(world, right[1], right[0], [2, 1])
        return operation(world, x, y)

    try:
        twin = array_of(result(torch))
    except ERRORS:
        with pytest.raises(ERRORS):
            print(where, "did not raise:", result(numpy_impl))
        return
    ours = result(numpy_impl)
    assert isinstance(ours, numpy_impl.Tensor), where
    assert (ours.dtype, ours.shape) == (twin.dtype, twin.shape), where
    np.testing.assert_allclose(ours.data, twin, 1e-6, err_msg=where)


def test_a_float_tensor_times_an_integer_one_stays_float32() -> None:
    x = numpy_impl.ones(2, requires_grad=True)
    y = x * numpy_impl.tensor([1, 2]) + numpy_impl.arange(2) / numpy_impl.tensor(3)
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("number", [-1, 300, 255])
def test_a_number_wraps_into_uint8(number: int) -> None:
    x = np.array([1, 255], np.uint8)
    for name in "+", "*", "==", "<":
        ours = OPERATIONS[name](numpy_impl, numpy_impl.tensor(x), number)
        twin = OPERATIONS[name](torch, torch.from_numpy(x), number)
        np.testing.assert_array_equal(ours.data, twin.numpy())
        assert ours.dtype == twin.numpy().dtype
