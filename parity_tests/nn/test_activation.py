"""ReLU, LeakyReLU, Sigmoid, Tanh, Hardswish, Softmax, LogSoftmax."""

import itertools

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import DTYPES, Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result


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
            ("Hardswish", ""),
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
            ("1", (3, 0), "an axis of no values", False),
            ("0", (), "0-d", False),
            ("-1", (), "0-d", False),
            ("1", extremes, "extremes", True),
            ("1", masked, "masked by minus infinity", True),
        )
    ],
]


class TestActivation(ModuleParity):
    cases = CASES


# where exponentials, products and differences overflow, or have no value
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 1e30, -1e30]


def agrees_with_torch(name, args, x, upstream, dtype) -> None:
    x, upstream = x.astype(dtype), upstream.astype(dtype)
    ours, leaf = getattr(nn, name)(*args), torch.from_numpy(x).requires_grad_()
    twin = getattr(torch.nn, name)(*args)(leaf)
    twin.backward(torch.from_numpy(upstream))
    case = f"{name}{args} {dtype}"
    allowed = tolerance(dtype, "forward", elementwise=True)
    Result("output", "forward", ours(x), twin.detach().numpy()).check(allowed, case)
    grad = ours.backward(upstream)
    Result("gradient", "input_grad", grad, leaf.grad.numpy()).check(allowed, case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("ReLU", ()),
        ("Sigmoid", ()),
        ("Tanh", ()),
        ("Hardswish", ()),
        *[("LeakyReLU", (slope,)) for slope in (0.01, 0.0, -0.5, 1.0, 1.5, 1e-50, np.inf)],
    ],
)
def test_values_that_are_not_finite(name, args, dtype) -> None:
    """Of the input and of the upstream gradient, each with each; and without a warning."""
    x, upstream = (np.array(v) for v in zip(*itertools.product(SPECIAL, SPECIAL), strict=True))
    agrees_with_torch(name, args, x, upstream, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax"])
def test_rows_with_values_that_are_not_finite(name, dtype) -> None:
    x = np.array(list(itertools.product(SPECIAL, repeat=3)))
    rng = np.random.default_rng(0)
    upstream = np.where(rng.random(x.shape) < 0.2, rng.choice(SPECIAL, x.shape), 0.5)
    agrees_with_torch(name, (1,), x, upstream, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_hardswish_where_its_pieces_meet(dtype) -> None:
    x, upstream = (
        np.array(v) for v in zip(*itertools.product([-3.0, 3.0, -1.5], SPECIAL), strict=True)
    )
    agrees_with_torch("Hardswish", (), x, upstream, dtype)


def test_a_number_is_the_whole_of_its_softmax() -> None:
    for dim in (0, -1):
        assert nn.Softmax(dim)(np.array(3.0)) == 1.0
        assert nn.LogSoftmax(dim)(np.array(3.0)) == 0.0
    with pytest.raises(ValueError, match=r"dim must lie within -1\.\.0 for shape \(\), got 1"):
        nn.Softmax(1)(np.array(3.0))


def test_leaky_relu_of_infinity_with_slope_0() -> None:
    assert nn.LeakyReLU(0.0)(np.array([np.inf]))[0] == np.inf


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
