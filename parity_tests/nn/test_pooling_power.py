"""LPPool1d/2d/3d."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity, Source
from parity_tests.nn.test_pooling import minus_infinities, ties
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module


def positive(*shape: int) -> Source:
    return lambda rng: rng.random(shape) + 0.1


CASES = [
    Case("LPPool1d", "2, 2", (2, 3, 7)),
    Case("LPPool1d", "2, 2, 3", (3, 7), "unbatched"),
    Case("LPPool1d", "1.5, 2", positive(2, 3, 7), "a broken power"),
    Case("LPPool1d", "1, 3, 1", (2, 3, 7), "the sum"),
    Case("LPPool1d", "float('inf'), 3, 2", (2, 3, 8), "the largest absolute value"),
    Case("LPPool1d", "-float('inf'), 3", (2, 3, 8), "the smallest absolute value"),
    Case("LPPool2d", "2, 2", (2, 3, 6, 7), "a rest that no window reaches"),
    Case("LPPool2d", "2, (2, 3), (1, 2)", (2, 3, 7, 8), "overlapping"),
    Case("LPPool2d", "2, 3, 2, ceil_mode=True", (2, 3, 6, 8), "overhanging windows"),
    Case("LPPool2d", "3, 2", positive(2, 3, 6, 6)),
    Case("LPPool2d", "3, 2", (3, 6, 6), "the root of a negative sum is NaN", kinks=True),
    Case("LPPool2d", "1.5, 2", (2, 3, 6, 6), "a broken power of a negative is NaN", kinks=True),
    Case("LPPool2d", "-2, 2", positive(2, 3, 6, 6)),
    Case("LPPool2d", "0.5, [2, 3], []", positive(2, 3, 6, 6), "lists, no stride"),
    Case("LPPool2d", "float('inf'), 2, None, True", (2, 3, 5, 6), "overhanging windows"),
    Case("LPPool2d", "2, 2, 1", ties, "zeros", kinks=True),
    Case("LPPool2d", "float('inf'), 2, 1", ties, "ties", kinks=True),
    Case("LPPool2d", "2, 2", (0, 3, 6, 6), "empty batch"),
    Case("LPPool3d", "2, 2", (2, 3, 4, 5, 6)),
    Case("LPPool3d", "4, (1, 2, 3), 2, True", (3, 4, 5, 6), "unbatched"),
]


class TestLPPool(ModuleParity):
    cases = CASES


def test_the_gradient_is_0_where_the_sum_is() -> None:
    """There torch's own formula is infinity times 0."""
    pool = nn.LPPool2d(2, 2)
    assert pool(np.zeros((1, 1, 2, 2))) == 0
    np.testing.assert_array_equal(pool.backward(np.ones((1, 1, 1, 1))), np.zeros((1, 1, 2, 2)))


def test_a_sum_of_negative_zeros_has_a_positive_root() -> None:
    """1 / -inf is -0, and torch's sum of them 0."""
    x = np.full((1, 1, 2), -np.inf)
    wanted = torch.nn.LPPool1d(-1, 2)(torch.from_numpy(x)).numpy()
    np.testing.assert_array_equal(nn.LPPool1d(-1, 2)(x), wanted)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    p=st.sampled_from([1, 2, 3, 4, -1, -2, 0.5, 1.5, 2.5, np.inf, -np.inf, np.nan]),
    kernel=st.integers(1, 3),
    stride=st.one_of(st.none(), st.integers(1, 3)),
    ceil_mode=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_power_of_zeros_infinities_and_nan(p, kernel, stride, ceil_mode, seed) -> None:
    rng = np.random.default_rng(seed)
    x = minus_infinities(2, 2, 5, 7, others=0.9)(rng)
    x[rng.random(x.shape) < 0.6] = rng.integers(-2, 3)
    ours, theirs = (w.LPPool2d(p, kernel, stride, ceil_mode) for w in (nn, torch.nn))
    for result in run_module(ours, theirs, [x], rng):
        result.check(tolerance("float64", result.direction))


def test_attributes_set_afterwards_have_effect() -> None:
    x = np.random.default_rng(0).random((2, 3, 7, 8))
    ours, theirs = (world.LPPool2d(2, 2) for world in (nn, torch.nn))
    ours(x)
    for module in (ours, theirs):
        module.norm_type, module.kernel_size, module.stride = 3, (2, 3), 1
    assert repr(ours) == repr(theirs)
    for result in run_module(ours, theirs, [x], np.random.default_rng(1)):
        result.check(tolerance("float64", result.direction))


X = np.zeros((2, 3, 5, 6), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LPPool2d(0, 2), ValueError, "LPPool2d: norm_type must not be 0, got 0"),
        (lambda: nn.LPPool2d("a", 2), TypeError, "norm_type must be a number, got 'a'"),
        (lambda: nn.LPPool2d(None, 2), TypeError, "norm_type must be a number, got None"),
        (lambda: nn.LPPool2d(2, 0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: nn.LPPool2d(2, 2, 0), ValueError, "stride must be at least 1, got 0"),
        (lambda: nn.LPPool3d(2, (2, 2)), ValueError, "kernel_size must be an int or a tuple of 3"),
        (lambda: nn.LPPool2d(2, 6)(X), ValueError, "must not be larger than the padded input"),
        (lambda: nn.LPPool2d(2, 2)(X[0, 0]), ValueError, "input must be 3-d or 4-d"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
