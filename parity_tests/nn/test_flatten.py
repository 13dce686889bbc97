"""Flatten and Unflatten."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity

CASES = [
    Case("Flatten", "", (2, 3, 4, 5)),
    Case("Flatten", "0", (2, 3, 4), "everything"),
    Case("Flatten", "0, 1", (2, 3, 4)),
    Case("Flatten", "2, 2", (2, 3, 4), "one axis: nothing to do"),
    Case("Flatten", "-2, -1", (2, 3, 4, 5), "negative axes"),
    Case("Flatten", "", (0, 3, 4), "empty batch"),
    Case("Flatten", "0", (), "0-d becomes (1,)"),
    Case("Flatten", "", (2, 0, 4), "no channels"),
    Case("Flatten", "0", (0, 0), "nothing"),
    Case("Unflatten", "1, (2, 3)", (0, 6), "empty batch"),
    Case("Unflatten", "0, (-1, 3)", (0, 2), "an open size of nothing"),
    Case("Unflatten", "1, (0, 3)", (4, 0), "into nothing"),
    Case("Unflatten", "1, (2, 3)", (4, 6)),
    Case("Unflatten", "-1, (2, -1, 2)", (3, 2, 8), "one size left open"),
    Case("Unflatten", "0, (2, 2)", (4, 3), "first axis"),
]


class TestFlatten(ModuleParity):
    cases = CASES


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda x: nn.Flatten(3)(x), ValueError, r"start_dim must lie within -3..2, got 3"),
        (lambda x: nn.Flatten(2, 1)(x), ValueError, "start_dim must not lie behind end_dim"),
        (lambda x: nn.Unflatten(1, (2, 2))(x), ValueError, "must multiply to 3"),
        (lambda x: nn.Unflatten(1, (-1, -1))(x), ValueError, "must multiply to 3"),
        (lambda x: nn.Unflatten("C", (1, 3)), TypeError, "dim must be an int"),
        (lambda x: nn.Unflatten(1, 3), TypeError, "unflattened_size must be a tuple of ints"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make(np.ones((2, 3, 4), "f"))


MOVERS = [
    ("Identity", ()),
    ("Flatten", ()),
    ("Unflatten", (1, (2, 2))),
    ("PixelShuffle", (2,)),
    ("PixelUnshuffle", (2,)),
    ("ChannelShuffle", (2,)),
    ("ConstantPad2d", (1, 3)),
    ("ZeroPad2d", (1,)),
    ("ReplicationPad2d", (1,)),
    ("CircularPad2d", (1,)),
]


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize(("name", "arguments"), MOVERS, ids=str)
def test_layers_that_only_move_values_take_whole_numbers(name, arguments, dtype) -> None:
    x = (np.arange(64).reshape(2, 4, 4, 2) % 5).astype(dtype)
    ours, twin = getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments)
    try:
        expected = twin(torch.from_numpy(x)).numpy()
    except RuntimeError as error:
        if "not implemented for" not in str(error):
            raise
        pytest.skip("torch has no kernel for it")
    for result in (ours(x), ours(numpy_impl.from_numpy(x)).numpy()):
        assert result.dtype == dtype == expected.dtype
        np.testing.assert_array_equal(result, expected)
    assert not ours(numpy_impl.from_numpy(x)).requires_grad
    result = ours(x)
    assert not np.may_share_memory(result, x)
    with pytest.raises(RuntimeError, match=f"{name}: forward gave no floating-point output"):
        ours.backward(np.ones(result.shape))
