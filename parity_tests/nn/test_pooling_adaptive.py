"""AdaptiveAvgPool1d/2d/3d and AdaptiveMaxPool1d/2d/3d."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity
from parity_tests.nn.test_pooling import minus_infinities, ties, with_infinities, with_nan
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module

AVG_CASES = [
    Case("AdaptiveAvgPool1d", "3", (2, 3, 8)),
    Case("AdaptiveAvgPool1d", "4", (3, 8), "unbatched"),
    Case("AdaptiveAvgPool1d", "[1]", (2, 3, 5), "a list"),
    Case("AdaptiveAvgPool1d", "2", (2, 3, 40), "long windows"),
    Case("AdaptiveAvgPool1d", "7", (2, 3, 3), "more outputs than inputs"),
    Case("AdaptiveAvgPool2d", "3", (2, 3, 8, 7), "windows share elements"),
    Case("AdaptiveAvgPool2d", "(4, 2)", (2, 3, 8, 6), "ordinary windows"),
    Case("AdaptiveAvgPool2d", "1", (2, 3, 5, 6), "the mean"),
    Case("AdaptiveAvgPool2d", "1", (3, 5, 6), "unbatched"),
    Case("AdaptiveAvgPool2d", "(2, 3)", (2, 3, 32, 6), "long windows"),
    Case("AdaptiveAvgPool2d", "(3, None)", (2, 3, 5, 6)),
    Case("AdaptiveAvgPool2d", "(None, None)", (2, 3, 5, 6), "a copy"),
    Case("AdaptiveAvgPool2d", "(9, 2)", (2, 3, 5, 7), "more outputs than inputs"),
    Case("AdaptiveAvgPool2d", "2", (0, 3, 5, 6), "empty batch"),
    Case("AdaptiveAvgPool2d", "(3, 5)", with_nan, "NaN stays in its windows", kinks=True),
    Case("AdaptiveAvgPool2d", "(3, 1)", with_infinities, "infinities", kinks=True),
    Case("AdaptiveAvgPool3d", "3", (2, 3, 5, 2, 7)),
    Case("AdaptiveAvgPool3d", "(None, 2, 5)", (3, 4, 3, 6), "unbatched"),
    Case("AdaptiveAvgPool3d", "1", (2, 3, 2, 3, 4), "the mean"),
]
MAX_CASES = [
    Case("AdaptiveMaxPool1d", "3", (2, 3, 8)),
    Case("AdaptiveMaxPool1d", "4, return_indices=True", (3, 8), "unbatched"),
    Case("AdaptiveMaxPool1d", "7, True", (2, 3, 3), "more outputs than inputs"),
    Case("AdaptiveMaxPool2d", "3, True", (2, 3, 8, 7), "windows share elements"),
    Case("AdaptiveMaxPool2d", "(4, 2)", (2, 3, 8, 6), "ordinary windows"),
    Case("AdaptiveMaxPool2d", "1, True", (2, 3, 17, 16), "more positions than a byte counts"),
    Case("AdaptiveMaxPool2d", "(3, None), True", (3, 5, 6), "unbatched"),
    Case("AdaptiveMaxPool2d", "[None, 2]", (2, 3, 5, 6), "a list"),
    Case("AdaptiveMaxPool2d", "2, True", (0, 3, 5, 6), "empty batch"),
    Case("AdaptiveMaxPool2d", "(3, 5), True", ties, "ties", kinks=True),
    Case("AdaptiveMaxPool2d", "(3, 4), True", with_nan, "NaN", kinks=True),
    Case("AdaptiveMaxPool2d", "(2, 1), True", with_nan, "NaN in large windows", kinks=True),
    Case("AdaptiveMaxPool2d", "(1, 2), True", ties, "ties in large windows", kinks=True),
    Case("AdaptiveMaxPool2d", "3, True", with_infinities, "infinities", kinks=True),
    Case("AdaptiveMaxPool3d", "3, True", (2, 3, 5, 6, 7)),
    Case("AdaptiveMaxPool3d", "(3, None, 2)", (3, 4, 3, 6), "unbatched"),
    Case(
        "AdaptiveMaxPool3d",
        "2, True",
        minus_infinities(2, 3, 3, 4, 5),
        "minus infinity",
        kinks=True,
    ),
]
CASES = AVG_CASES + MAX_CASES


class TestAdaptiveAvgPool(ModuleParity):
    cases = AVG_CASES


class TestAdaptiveMaxPool(ModuleParity):
    cases = MAX_CASES


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), kind=st.sampled_from(["Avg", "Max"]), n=st.integers(1, 3))
def test_any_sizes(data, kind, n) -> None:
    """Few values, infinite and NaN ones among them: values, indices, gradients are torch's."""

    def ints(high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.tuples(*[st.integers(1, high)] * n)))

    sizes, outputs = ints(7), ints(9)
    batch, channels = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    others = data.draw(st.sampled_from([0.05, 0.3, 1]))
    x = minus_infinities(batch, channels, *sizes, others=others)(np.random.default_rng(n))
    if data.draw(st.booleans()):
        x = np.asfortranarray(x)
    arguments = (outputs, True) if kind == "Max" else (outputs,)
    ours, theirs = (getattr(w, f"Adaptive{kind}Pool{n}d")(*arguments) for w in (nn, torch.nn))
    for result in run_module(ours, theirs, [x], np.random.default_rng(1)):
        result.check(tolerance("float64", result.direction))


@pytest.mark.parametrize("kind", ["Avg", "Max"])
def test_no_output_at_all(kind) -> None:
    """torch's forward; its backward refuses, and ours is a gradient of zeros."""
    x = np.ones((2, 3, 5, 6), "f")
    ours, theirs = (getattr(w, f"Adaptive{kind}Pool2d")((0, 2)) for w in (nn, torch.nn))
    output = ours(x)
    assert output.shape == tuple(theirs(torch.from_numpy(x)).shape)
    np.testing.assert_array_equal(ours.backward(output), np.zeros_like(x))


def test_the_mean_over_all_positions() -> None:
    x = np.random.default_rng(0).standard_normal((4, 5, 6, 7))
    np.testing.assert_allclose(nn.AdaptiveAvgPool2d(1)(x), x.mean((2, 3), keepdims=True))


def test_output_size_set_afterwards_has_effect() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 8))
    for name in ("AdaptiveAvgPool2d", "AdaptiveMaxPool2d"):
        ours, theirs = (getattr(world, name)(2) for world in (nn, torch.nn))
        ours(x)
        ours.output_size = theirs.output_size = (3, None)
        assert repr(ours) == repr(theirs)
        for result in run_module(ours, theirs, [x], np.random.default_rng(1)):
            result.check(tolerance("float64", result.direction))
        ours.output_size = -1
        with pytest.raises(ValueError, match=f"{name}: output_size must not be negative, got -1"):
            ours(x)


X = np.zeros((2, 3, 5, 6), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.AdaptiveAvgPool2d(-1), ValueError, "output_size must not be negative"),
        (lambda: nn.AdaptiveAvgPool2d((2,)), ValueError, "must be an int or a tuple of 2, got"),
        (lambda: nn.AdaptiveMaxPool3d([1, 2]), ValueError, "must be an int or a tuple of 3, got"),
        (lambda: nn.AdaptiveAvgPool2d(None), TypeError, "output_size must be an int, got None"),
        (lambda: nn.AdaptiveMaxPool1d((None,)), TypeError, "output_size must be an int, got None"),
        (lambda: nn.AdaptiveMaxPool2d(2.0), TypeError, "output_size must be an int, got 2.0"),
        (lambda: nn.AdaptiveAvgPool2d(2)(X[0, 0]), ValueError, "input must be 3-d or 4-d"),
        (lambda: nn.AdaptiveAvgPool2d(2)(X[:, :, :0]), ValueError, "sizes must be at least 1"),
        (lambda: nn.AdaptiveMaxPool2d(2)(X[:, :0]), ValueError, "input must have a channel"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
