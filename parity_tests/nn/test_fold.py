"""Fold, Unfold."""

import numpy as np
import pytest
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import Case, ModuleParity
from torch_ref.convert import to_numpy, to_torch

CASES = [
    Case("Unfold", "2", (2, 3, 4, 5)),
    Case("Unfold", "2", (3, 4, 5), "unbatched"),
    Case("Unfold", "(2, 3), (2, 1), (1, 0), (1, 2)", (2, 3, 4, 5), "by position"),
    Case("Unfold", "2, stride=3", (2, 3, 8, 9), "gaps between windows, a rest is not reached"),
    Case("Unfold", "1, padding=2", (2, 3, 3, 2), "windows of nothing but padding"),
    Case("Unfold", "[2, 3]", (2, 3, 4, 5), "a list"),
    Case("Unfold", "2", (0, 3, 4, 5), "empty batch"),
    Case("Fold", "(4, 5), 2", (2, 12, 12)),
    Case("Fold", "(4, 5), 2", (12, 12), "unbatched"),
    Case("Fold", "(4, 5), (2, 3), (2, 1), (1, 0), (1, 2)", (2, 18, 8), "by position"),
    Case("Fold", "(8, 9), 2, stride=3", (2, 4, 9), "gaps between windows"),
    Case("Fold", "3, 1, padding=2", (2, 3, 49), "windows of nothing but padding"),
    Case("Fold", "4, 2", (0, 12, 9), "empty batch"),
]


class TestFold(ModuleParity):
    cases = CASES


SIDES = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    batch=st.integers(0, 2),
    channels=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=SIDES,
    dilation=SIDES,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    stride=SIDES,
)
def test_any_geometry(batch, channels, sizes, kernel, dilation, padding, stride) -> None:
    """Both functions against torch's; each is the other's backward."""
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if any(s + 2 * p < span for s, p, span in zip(sizes, padding, spans, strict=True)):
        return
    window = (kernel, dilation, padding, stride)
    x = np.random.default_rng(0).standard_normal((batch, channels, *sizes))
    columns = to_numpy(F.unfold(to_torch(x), *window))
    image = to_numpy(F.fold(to_torch(columns), sizes, *window))
    np.testing.assert_array_equal(functional.unfold(x, *window), columns)
    np.testing.assert_array_equal(functional.fold_backward(x, columns, sizes, *window), columns)
    np.testing.assert_allclose(functional.fold(columns, sizes, *window), image, rtol=1e-12)
    np.testing.assert_allclose(functional.unfold_backward(columns, x, *window), image, rtol=1e-12)


def test_convolution_is_unfold_and_a_product() -> None:
    conv = nn.Conv2d(3, 4, (2, 3), padding=1, bias=False, dtype="float64")
    x = np.random.default_rng(0).standard_normal((2, 3, 5, 6))
    product = conv.weight.data.reshape(4, -1) @ nn.Unfold((2, 3), padding=1)(x)
    np.testing.assert_allclose(product.reshape(2, 4, 6, 6), conv(x), rtol=1e-12)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nn.Unfold(0), "Unfold: kernel_size must be at least 1, got 0"),
        (lambda: nn.Unfold((2, 2, 2)), "kernel_size must be an int or a tuple of 2 ints"),
        (lambda: nn.Unfold(2, dilation=0), "dilation must be at least 1, got 0"),
        (lambda: nn.Unfold(2, padding=-1), "padding must be at least 0, got -1"),
        (lambda: nn.Unfold(2, stride=0), "stride must be at least 1, got 0"),
        (lambda: nn.Fold((4,), 2), "output_size must be an int or a tuple of 2 ints"),
        (lambda: nn.Fold(0, 2), "Fold: output_size must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(build, message) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Unfold(5), (2, 3, 4, 4), r"Unfold: kernel_size \(5, 5\) .* must fit into \(4, 4\)"),
        (nn.Unfold(2, dilation=4), (2, 3, 4, 4), r"with dilation \(4, 4\) must fit"),
        (nn.Unfold(2), (2, 0, 4, 4), "input must have channels and positions"),
        (nn.Unfold(2), (2, 3, 0, 4), "input must have channels and positions"),
        (nn.Unfold(2), (4, 4), "input must be 3-d or 4-d"),
        (nn.Fold(4, 2), (2, 13, 9), "Fold: input must have a multiple of Kh Kw = 4 rows"),
        (nn.Fold(4, 2), (2, 0, 9), "input must have a multiple of Kh Kw = 4 rows"),
        (nn.Fold(4, 2), (2, 12, 8), "input must have Oh Ow = 9 columns"),
        (nn.Fold(1, 2), (2, 12, 9), r"kernel_size \(2, 2\) .* must fit into \(1, 1\)"),
        (nn.Fold(4, 2), (9,), "input must be 2-d or 3-d"),
    ],
)
def test_wrong_input(layer, shape, message) -> None:
    with pytest.raises(ValueError, match=message):
        layer(np.zeros(shape, "f"))
