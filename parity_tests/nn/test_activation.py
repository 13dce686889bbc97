"""ReLU, LeakyReLU, Sigmoid, Tanh, Softmax, LogSoftmax."""

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module


def extremes(rng: np.random.Generator) -> np.ndarray:
    """Values at which a naive formula overflows, underflows or divides by zero."""
    return np.array([[-1e4, -100.0, -1e-30, 0.0, 1e-30, 100.0, 1e4, 88.0]])


def masked(rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal((4, 6))
    values[rng.random(values.shape) < 0.3] = -np.inf
    values[:, 0] = 0.5  # no row is masked whole
    return values


CASES = [
    *[
        Case(name, args, inputs, note, elementwise=True, kinks=kinks)
        for name, args in (
            ("ReLU", ""),
            ("ReLU", "inplace=True"),
            ("LeakyReLU", ""),
            ("LeakyReLU", "0.2, inplace=True"),
            ("Sigmoid", ""),
            ("Tanh", ""),
        )
        for inputs, note, kinks in (
            ((4, 5), "", False),
            ((2, 3, 4, 5), "4-d", False),
            ((), "0-d", False),
            ((0, 3), "empty", False),
            (extremes, "extremes", True),
        )
    ],
    *[
        Case(name, args, inputs, note, kinks=kinks)
        for name in ("Softmax", "LogSoftmax")
        for args, inputs, note, kinks in (
            ("1", (4, 5), "", False),
            ("0", (4, 5), "first axis", False),
            ("-1", (2, 3, 4, 5), "last axis", False),
            ("dim=1", (2, 3, 4, 5), "channels", False),
            ("0", (5,), "1-d", False),
            ("1", (0, 3), "empty batch", False),
            ("1", extremes, "extremes", True),
            ("1", masked, "masked by minus infinity", True),
        )
    ],
]


class TestActivation(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("name", ["ReLU", "LeakyReLU", "Sigmoid", "Tanh"])
def test_values_that_are_not_finite(name) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 0.0])
    rng = np.random.default_rng(0)
    for result in run_module(getattr(nn, name)(), getattr(torch.nn, name)(), [x], rng):
        result.check(tolerance("float64", result.direction), name)


@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_a_row_masked_whole_is_nan_without_a_warning(name) -> None:
    assert np.isnan(getattr(nn, name)(1)(np.full((1, 3), -np.inf))).all()


def test_relu_has_derivative_0_at_0() -> None:
    relu = nn.ReLU()
    relu(np.array([0.0, -0.0, 1.0]))
    np.testing.assert_array_equal(relu.backward(np.array([np.inf, 2.0, 3.0])), [0, 0, 3])


def test_softmax_without_dim_warns_and_does_as_torch() -> None:
    for shape in ((3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)):
        x = np.random.default_rng(0).standard_normal(shape)
        with pytest.warns(UserWarning, match="dim was not given"):
            ours = nn.Softmax()(x)
        with pytest.warns(UserWarning, match="dim"):
            twin = torch.nn.Softmax()(torch.from_numpy(x))
        np.testing.assert_allclose(ours, twin.numpy(), rtol=1e-12)


def test_wrong_use() -> None:
    with pytest.raises(TypeError, match="ReLU: input must be float32 or float64, got int64"):
        nn.ReLU()(np.arange(3))
    with pytest.raises(ValueError, match="Softmax: dim must lie within"):
        nn.Softmax(2)(np.ones((2, 3)))
