"""MaxPool1d/2d/3d and AvgPool1d/2d/3d."""

import numpy as np
import pytest
import torch

from numpy_impl import nn, no_grad
from parity_tests.cases import Case, ModuleParity


def ties(rng: np.random.Generator) -> np.ndarray:
    """Few distinct values: most windows have several maxima."""
    return rng.integers(0, 2, (3, 2, 8, 8)).astype(float)


def with_nan(rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal((3, 2, 8, 8))
    values[rng.random(values.shape) < 0.3] = np.nan
    return values


def with_infinities(rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal((3, 2, 8, 8))
    values[rng.random(values.shape) < 0.3] = np.inf
    values[rng.random(values.shape) < 0.6] = -np.inf
    return values


MAX_CASES = [
    Case("MaxPool1d", "2", (2, 3, 8)),
    Case("MaxPool1d", "3, stride=2, padding=1, dilation=2, ceil_mode=True", (3, 11), "unbatched"),
    Case("MaxPool1d", "3, stride=1, return_indices=True", (2, 3, 8)),
    Case("MaxPool2d", "2", (2, 3, 8, 8)),
    Case("MaxPool2d", "2", (2, 3, 7, 9), "a rest that no window reaches"),
    Case("MaxPool2d", "2", (3, 8, 8), "unbatched"),
    Case("MaxPool2d", "3, stride=2", (2, 3, 8, 8), "overlapping"),
    Case("MaxPool2d", "3, stride=1, padding=1", (2, 3, 6, 6)),
    Case("MaxPool2d", "(2, 3), stride=(3, 2), padding=(1, 1)", (2, 3, 8, 8)),
    Case("MaxPool2d", "2, stride=3", (2, 3, 8, 8), "gaps"),
    Case("MaxPool2d", "2, dilation=2", (2, 3, 8, 8)),
    Case("MaxPool2d", "3, stride=2, ceil_mode=True", (2, 3, 8, 8)),
    Case("MaxPool2d", "2, ceil_mode=True", (2, 3, 7, 9), "overhanging windows"),
    Case("MaxPool2d", "3, stride=2, padding=1, ceil_mode=True", (2, 3, 6, 7)),
    Case("MaxPool2d", "2, return_indices=True", (2, 3, 8, 8)),
    Case("MaxPool2d", "3, 2, 1, return_indices=True, ceil_mode=True", (2, 3, 8, 7)),
    Case("MaxPool2d", "2, return_indices=True", ties, "ties", kinks=True),
    Case("MaxPool2d", "3, 1, 1, return_indices=True", ties, "ties, overlapping", kinks=True),
    Case("MaxPool2d", "(3, 2), (1, 2), return_indices=True", with_nan, "NaN", kinks=True),
    Case("MaxPool2d", "2, return_indices=True", with_infinities, "infinities", kinks=True),
    Case("MaxPool2d", "17, 17, 8", (2, 1, 18, 18), "more kernel positions than a byte counts"),
    Case("MaxPool2d", "2", (0, 3, 8, 8), "empty batch"),
    Case("MaxPool3d", "2", (2, 2, 4, 6, 4)),
    Case("MaxPool3d", "(1, 3, 2), 2, (0, 1, 1), return_indices=True", (2, 2, 3, 6, 5)),
]

AVG_CASES = [
    Case("AvgPool1d", "2", (2, 3, 8)),
    Case("AvgPool1d", "3, 2, 1, True, False", (3, 10), "unbatched"),
    Case("AvgPool2d", "2", (2, 3, 8, 8)),
    Case("AvgPool2d", "2", (2, 3, 7, 9), "a rest that no window reaches"),
    Case("AvgPool2d", "3, stride=1, padding=1", (2, 3, 6, 6)),
    Case("AvgPool2d", "3, 2, 1, count_include_pad=False", (2, 3, 6, 6)),
    Case("AvgPool2d", "3, 2, 1, ceil_mode=True", (2, 3, 6, 6), "overhang beyond the padding"),
    Case("AvgPool2d", "3, 2, 1, ceil_mode=True, count_include_pad=False", (2, 3, 6, 7)),
    Case("AvgPool2d", "(2, 3), divisor_override=5", (2, 3, 6, 6)),
    Case("AvgPool2d", "2, divisor_override=-3", (3, 6, 6), "unbatched"),
    Case("AvgPool2d", "2, 3", (2, 3, 8, 8), "gaps"),
    Case("AvgPool2d", "2", (0, 3, 8, 8), "empty batch"),
    Case("AvgPool3d", "2", (2, 2, 4, 6, 4)),
    Case("AvgPool3d", "(1, 3, 2), 2, (0, 1, 1), True, False, 7", (2, 2, 3, 6, 5)),
    Case("AvgPool3d", "3, 2, 1, True, False", (2, 2, 4, 6, 5)),
]

CASES = MAX_CASES + AVG_CASES


class TestMaxPool(ModuleParity):
    cases = MAX_CASES


class TestAvgPool(ModuleParity):
    cases = AVG_CASES


def test_first_of_equal_maxima_gets_the_gradient() -> None:
    pool = nn.MaxPool2d(2)
    pool(np.ones((1, 1, 2, 2), "f"))
    grad = pool.backward(np.full((1, 1, 1, 1), 5, "f"))
    np.testing.assert_array_equal(grad[0, 0], [[5, 0], [0, 0]])


@pytest.mark.parametrize("upstream", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_stays_where_it_belongs(upstream) -> None:
    pool = nn.MaxPool2d(2)
    pool(np.arange(4, dtype="f").reshape(1, 1, 2, 2))
    grad = pool.backward(np.full((1, 1, 1, 1), upstream, "f"))
    np.testing.assert_array_equal(grad[0, 0], [[0, 0], [0, upstream]])


def test_no_grad_gives_the_same_values() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype("f")
    for pool in (nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, return_indices=True)):
        wanted = pool(x)
        with no_grad():
            got = pool(x)
        for a, b in zip(np.atleast_1d(wanted), np.atleast_1d(got), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MaxPool2d(0), "kernel_size must be at least 1, got 0"),
        (lambda: nn.MaxPool2d(3, padding=2), "padding must be at most half of kernel_size"),
        (lambda: nn.AvgPool2d(3, stride=0), "stride must be at least 1, got 0"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), "divisor_override must be None or an int"),
        (lambda: nn.MaxPool2d((2, 2, 2)), "tuple of 2 ints"),
        (lambda: nn.MaxPool2d(5)(np.zeros((1, 1, 4, 8), "f")), "must not be larger than"),
        (lambda: nn.AvgPool2d(2)(np.zeros((4, 8), "f")), "input must be 3-d or 4-d"),
    ],
)
def test_wrong_use(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_average_uses_float32_throughout() -> None:
    x = np.random.default_rng(0).random((4, 3, 8, 8)).astype("f")
    expected = torch.nn.AvgPool2d(2)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(nn.AvgPool2d(2)(x), expected, rtol=3e-7)
