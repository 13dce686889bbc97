"""Dropout: the same mask as torch's under the same seed."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity

CASES = [
    Case("Dropout", "", (6, 50), elementwise=True),
    Case("Dropout", "0.2", (3, 4, 5, 6), "4-d", elementwise=True),
    Case("Dropout", "p=0.9, inplace=True", (40,), elementwise=True),
    Case("Dropout", "0.0", (6, 5), "keeps all", elementwise=True),
    Case("Dropout", "1.0", (6, 5), "drops all", elementwise=True),
    Case("Dropout", "0.5", (0, 5), "empty", elementwise=True),
    Case("Dropout", "1.0", (0, 5), "empty", elementwise=True),
    Case("Dropout", "0.5", (), "0-d", elementwise=True),
    Case("Dropout", "0.5", (6, 5), train=False, elementwise=True),
]


class TestDropout(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.2, 0.5, 1.0])
def test_bit_for_bit_and_in_step_with_torch_s_stream(p, dtype) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    ours, twin = nn.Dropout(p), torch.nn.Dropout(p)
    for shape in ((7,), (128, 60), (2, 3, 4, 5)):
        x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        np.testing.assert_array_equal(ours(x), twin(torch.from_numpy(x)).numpy())
    ours.eval()(x)
    np.testing.assert_array_equal(numpy_impl.rand(5), torch.rand(5).numpy())


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_a_probability_out_of_range(p) -> None:
    with pytest.raises(ValueError, match=r"p must lie in \[0, 1\], got"):
        nn.Dropout(p)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_infinities_that_are_dropped_are_nan_as_in_torch(p) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    x = np.array([np.inf, -np.inf, np.nan, 1.0] * 5)
    ours, twin, leaf = nn.Dropout(p), torch.nn.Dropout(p), torch.from_numpy(x).requires_grad_()
    expected = twin(leaf)
    expected.backward(torch.from_numpy(x))
    np.testing.assert_array_equal(ours(x), expected.detach().numpy())
    np.testing.assert_array_equal(ours.backward(x), leaf.grad.numpy())
