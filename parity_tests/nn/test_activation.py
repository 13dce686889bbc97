"""Activations: what torch's are, at joints, at infinities and for every argument."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import DTYPES, Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance, run_module


def extremes(rng: np.random.Generator) -> np.ndarray:
    """Values at which a naive formula overflows, underflows or divides by zero."""
    return np.array([[-1e4, -100.0, -1e-30, 0.0, 1e-30, 100.0, 1e4, 88.0]])


def masked(rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal((4, 6))
    values[rng.random(values.shape) < 0.3] = -np.inf
    values[:, 0] = 0.5  # no row is masked whole
    return values


def joints(rng: np.random.Generator) -> np.ndarray:
    """Where lines meet, and their neighbours; 32 times, since torch's loops over the rest of an
    array choose differently from its vectorised ones."""
    at = np.array([-3.0, -1.0, -0.5, 0.0, 0.25, 0.5, 1.0, 3.0, 6.0, 10.0, 20.0])
    return np.tile([*np.nextafter(at, -np.inf), *at, *np.nextafter(at, np.inf), np.nan], (32, 1))


# torch's own constants are float32 numbers: a sixth, and 1 / alpha in backward
_SIXTH = {("float64", "input_grad"): Tolerance(rtol=3e-8, atol=0)}
_INVERSE = {("float64", "input_grad"): Tolerance(rtol=3e-7, atol=0)}
# every class, with the arguments under which it is run on all shapes
ON_ALL_SHAPES = [
    ("ReLU", ""),
    ("LeakyReLU", ""),
    ("Sigmoid", ""),
    ("Tanh", ""),
    ("ReLU6", ""),
    ("PReLU", ""),
    ("ELU", ""),
    ("CELU", "0.5"),
    ("SELU", ""),
    ("GELU", ""),
    ("GELU", "'tanh'"),
    ("SiLU", ""),
    ("Mish", ""),
    ("LogSigmoid", ""),
    ("Tanhshrink", ""),
    ("Hardtanh", ""),
    ("Hardsigmoid", ""),
    ("Hardswish", ""),
    ("Hardshrink", ""),
    ("Softshrink", ""),
    ("Softplus", ""),
    ("Softsign", ""),
    ("Threshold", "0.25, 20.0"),
]
# arguments that change something, on one shape
ARGUMENTS = [
    ("ReLU", "inplace=True", {}),
    ("LeakyReLU", "0.2, inplace=True", {}),
    ("ReLU6", "True", {}),
    ("ELU", "0.3, True", {}),
    ("ELU", "alpha=-1", {}),
    ("CELU", "", {}),
    ("CELU", "alpha=0.7, inplace=True", _INVERSE),
    ("CELU", "-2.0", {}),
    ("SELU", "True", {}),
    ("SiLU", "True", {}),
    ("Mish", "True", {}),
    ("Hardtanh", "-2, 0.5", {}),
    ("Hardtanh", "max_val=0.1, inplace=True", {}),
    ("Hardsigmoid", "True", _SIXTH),
    ("Hardshrink", "0.25", {}),
    ("Hardshrink", "-1.0", {}),
    ("Hardshrink", "0", {}),
    ("Softshrink", "lambd=1", {}),
    ("Softshrink", "0.0", {}),
    ("Softplus", "2, 1", {}),
    ("Softplus", "0.1, threshold=0.05", {}),
    ("Softplus", "beta=-1.0", {}),
    ("Threshold", "1, 2", {}),
    ("Threshold", "threshold=-0.5, value=0.0, inplace=True", {}),
]
PIECEWISE = {
    "ReLU",
    "LeakyReLU",
    "ReLU6",
    "ELU",
    "SELU",
    "Hardtanh",
    "Hardsigmoid",
    "Hardshrink",
    "Hardswish",
}
PIECEWISE |= {"PReLU", "Softshrink", "Softplus", "Threshold", "CELU"}
ELEMENTWISE_CASES = [
    Case(
        name,
        args,
        inputs,
        note,
        elementwise=name != "PReLU",  # sums are for its weight
        kinks=kinks,
        exceptions=_SIXTH if name == "Hardsigmoid" else {},
    )
    for name, args in ON_ALL_SHAPES
    for inputs, note, kinks in (
        ((4, 5), "", False),
        ((2, 3, 4, 5), "4-d", False),
        ((), "0-d", False),
        ((0, 3), "empty", False),
        (extremes, "extremes", True),
        *[(joints, "joints", True)] * (name in PIECEWISE),
    )
] + [
    Case(name, args, (4, 5), "an argument", elementwise=True, exceptions=exceptions)
    for name, args, exceptions in ARGUMENTS
]
SLOPE_CASES = [
    *[
        Case("PReLU", args, inputs, note)
        for args, inputs, note in (
            ("5, init=0.1", (4, 5), "a slope for each channel"),
            ("num_parameters=3", (2, 3, 4, 5), "a slope for each channel"),
            ("3", (2, 3, 4), "a slope for each channel"),
            ("3", (0, 3, 4), "empty batch"),
            ("3", (2, 3, 0), "no positions"),
            ("1", (4,), "1-d"),
            ("0", (4, 0), "no channels"),
        )
    ],
    *[
        Case("RReLU", args, inputs, note, train=train, elementwise=True, kinks=inputs is joints)
        for args, inputs, note in (
            ("", (4, 5), ""),
            ("0.1, 0.7, True", (2, 3, 4, 5), "4-d"),
            ("-1.0, upper=2", (), "0-d"),
            ("0.2, 0.2", (4, 5), "one slope"),
            ("", (0, 3), "empty"),
            ("0.1, 0.7", joints, "joints"),
        )
        for train in (True, False)
    ],
]
SOFTMAX_CASES = [
    *[
        Case(name, args, inputs, note, kinks=kinks)
        for name in ("Softmax", "LogSoftmax", "Softmin")
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
        if not (name == "Softmin" and inputs is masked)
    ],
    Case("Softmax2d", "", (2, 3, 4, 5)),
    Case("Softmax2d", "", (3, 4, 5), "unbatched"),
    Case("Softmax2d", "", (0, 3, 4, 5), "empty batch"),
]
GLU_CASES = [
    Case("GLU", "", (4, 6), elementwise=True),
    Case("GLU", "0", (4, 5), "first axis", elementwise=True),
    Case("GLU", "dim=1", (2, 4, 3, 5), "channels", elementwise=True),
    Case("GLU", "-1", (6,), "1-d", elementwise=True),
    Case("GLU", "", (0, 6), "empty batch", elementwise=True),
    Case("GLU", "", (4, 0), "empty halves", elementwise=True),
    Case("GLU", "", extremes, "extremes", elementwise=True, kinks=True),
]
CASES = [*ELEMENTWISE_CASES, *SLOPE_CASES, *SOFTMAX_CASES, *GLU_CASES]


class TestElementwise(ModuleParity):
    cases = ELEMENTWISE_CASES


class TestSlopes(ModuleParity):
    cases = SLOPE_CASES


class TestSoftmax(ModuleParity):
    cases = SOFTMAX_CASES


class TestGLU(ModuleParity):
    cases = GLU_CASES


# where exponentials, products and differences overflow, or have no value
SPECIAL = [np.nan, np.inf, -np.inf, -0.0, 0.0, 1.0, -1.0, 1e30, -1e30]
SPECIAL += [1e3, -1e3, 1e-40, -1e-40, 1e-310, -1e-310]


def agrees_with_torch(name, args, x, upstream, dtype) -> None:
    x, upstream = x.astype(dtype), upstream.astype(dtype)
    ours, twin = (getattr(world, name)(*args).eval() for world in (nn, torch.nn))
    ours, twin = ours.to(dtype), twin.to(getattr(torch, dtype))
    leaf = torch.from_numpy(x).requires_grad_()
    twin = twin(leaf)
    twin.backward(torch.from_numpy(upstream))
    case = f"{name}{args} {dtype}"
    # of each value, not of the largest
    allowed = replace(tolerance(dtype, "forward", elementwise=True), scaled=False)
    Result("output", "forward", ours(x), twin.detach().numpy()).check(allowed, case)
    grad = ours.backward(upstream)
    if name == "Hardsigmoid":
        allowed = _SIXTH.get((dtype, "input_grad"), allowed)
    Result("gradient", "input_grad", grad, leaf.grad.numpy()).check(allowed, case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "args"),
    [
        *[
            (name, ())
            for name in (
                *("ReLU", "ReLU6", "PReLU", "RReLU", "ELU", "SELU", "GELU", "Sigmoid", "SiLU"),
                *(
                    "Mish",
                    "LogSigmoid",
                    "Tanh",
                    "Tanhshrink",
                    "Hardtanh",
                    "Hardsigmoid",
                    "Hardswish",
                ),
                *("Hardshrink", "Softshrink", "Softplus", "Softsign"),
            )
        ],
        ("GELU", ("tanh",)),
        *[("ELU", (alpha,)) for alpha in (0.0, -1.0)],
        *[("CELU", (alpha,)) for alpha in (0.5, -2.0)],
        ("Hardtanh", (-0.5, np.inf)),
        *[("Hardshrink", (lambd,)) for lambd in (0.0, -1.0, np.inf, np.nan)],
        ("Softshrink", (0.0,)),
        *[("Softplus", args) for args in ((2.0, 1.0), (0.0,), (-1.0,), (1.0, 1e4), (np.inf,))],
        *[("Threshold", args) for args in ((0.5, np.inf), (-np.inf, 1.0), (np.nan, 1.0))],
        *[("LeakyReLU", (slope,)) for slope in (0.01, 0.0, -0.5, 1.0, 1.5, 1e-50, np.inf)],
    ],
)
def test_values_that_are_not_finite(name, args, dtype) -> None:
    """Of the input and of the upstream gradient, each with each; and without a warning."""
    pairs = [
        pair
        for pair in itertools.product(SPECIAL, SPECIAL)
        if not (name == "GELU" and pair[0] == np.inf)  # see below
    ]
    # 32 times, as above: torch's vectorised loops
    x, upstream = (np.repeat(values, 32) for values in zip(*pairs, strict=True))
    agrees_with_torch(name, args, x, upstream, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Softmax", "LogSoftmax", "Softmin"])
def test_rows_with_values_that_are_not_finite(name, dtype) -> None:
    x = np.array(list(itertools.product(SPECIAL[:9], repeat=3)))
    rng = np.random.default_rng(0)
    upstream = np.where(rng.random(x.shape) < 0.2, rng.choice(SPECIAL, x.shape), 0.5)
    agrees_with_torch(name, (1,), x, upstream, dtype)


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


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_of_infinity(dtype, approximate) -> None:
    """Infinity, of which torch's float32 makes NaN ("none") and its float64 does not; no slope."""
    gelu = nn.GELU(approximate)
    assert gelu(np.array([np.inf], dtype))[0] == np.inf
    assert np.isnan(gelu.backward(np.ones(1, dtype)))[0]


def test_a_sixth_in_float64() -> None:
    layer = nn.Hardsigmoid()
    layer(np.zeros(1))
    assert layer.backward(np.ones(1))[0] == 1 / 6


def test_celu_in_float64() -> None:
    """torch's backward rounds alpha to float32."""
    layer, x = nn.CELU(0.7), np.array([-1.0, -0.1])
    layer(x)
    np.testing.assert_allclose(layer.backward(np.ones(2)), np.exp(x / 0.7), rtol=1e-15)


def test_gelu_keeps_its_tail() -> None:
    x = np.array([-8.0, -4.0, -1.0])
    wanted = [0.5 * v * math.erfc(-v / math.sqrt(2)) for v in x]
    np.testing.assert_allclose(nn.GELU()(x), wanted, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bounds", [(1 / 8, 1 / 3), (0.1, 0.7), (-1.0, 2.0), (0.2, 0.2)])
def test_rrelu_draws_as_torch_does_and_stays_in_step(bounds, dtype) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    ours, twin = nn.RReLU(*bounds), torch.nn.RReLU(*bounds)
    for shape in ((7,), (128, 60), (2, 3, 4, 5)):
        x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
        np.testing.assert_array_equal(ours(x), twin(torch.from_numpy(x)).numpy())
        np.testing.assert_array_equal(ours(x.T), twin(torch.from_numpy(x.T)).numpy())
    ours.eval()(x)
    np.testing.assert_array_equal(numpy_impl.rand(5), torch.rand(5).numpy())


def test_rrelu_between_close_bounds_goes_back_by_what_was_drawn() -> None:
    """torch by the mean of the bounds, if they are within 1e-6."""
    layer, x = nn.RReLU(0.5, 0.5 + 1e-6), -np.ones(4)
    slopes = -layer(x)
    np.testing.assert_array_equal(layer.backward(np.ones(4)), slopes)
    assert len(set(slopes)) == 4


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_draws_as_torch_does_and_stays_in_step(hard) -> None:
    numpy_impl.manual_seed(1)
    torch.manual_seed(1)
    for shape in ((7,), (128, 60), (2, 3, 4, 5)):
        x = np.random.default_rng(0).standard_normal(shape)
        ours = nn.functional.gumbel_softmax(x, 0.5, hard, dim=0)
        twin = torch.nn.functional.gumbel_softmax(torch.from_numpy(x), 0.5, hard, dim=0)
        np.testing.assert_allclose(ours, twin.numpy(), rtol=1e-12, atol=1e-15)
    with pytest.warns(UserWarning, match="eps is deprecated"):
        nn.functional.gumbel_softmax(x, eps=1e-3)
    torch.nn.functional.gumbel_softmax(torch.from_numpy(x))
    np.testing.assert_array_equal(numpy_impl.rand(5), torch.rand(5).numpy())


def test_deprecated_names_of_hardtanh_s_bounds() -> None:
    with pytest.warns(FutureWarning, match="min_value is deprecated: use min_val"):
        assert nn.Hardtanh(min_value=-3).min_val == -3
    with pytest.warns(FutureWarning, match="max_value is deprecated: use max_val"):
        assert nn.Hardtanh(max_value=3).max_val == 3


@pytest.mark.parametrize("name", [n for n, args in ON_ALL_SHAPES if not args])
def test_slices_and_a_number_of_numpy_s_change_nothing(name) -> None:
    """Neither values nor dtype: an input of several slices, an option that is a float64 number."""
    layer = getattr(nn, name)()
    for option in getattr(layer, "_options", ()):
        value = getattr(layer, option)
        setattr(layer, option, value if isinstance(value, str) else np.float64(value))
    x = np.random.default_rng(0).standard_normal((3, 70, 1300)).astype("f")
    output, grad = layer(x), layer.backward(x)
    assert output.dtype == grad.dtype == "float32"
    for i in range(3):
        np.testing.assert_array_equal(output[i], layer(x[i]))
        np.testing.assert_array_equal(grad[i], layer.backward(x[i]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), shape=st.lists(st.integers(0, 4), min_size=2, max_size=5))
def test_any_shape_axis_and_memory_order(data, shape) -> None:
    """Of those that tell axes apart."""
    order = data.draw(st.permutations(range(len(shape))))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    name = data.draw(st.sampled_from(["PReLU", "GLU", "Softmin", "Softmax"]))
    if name == "GLU":
        shape[dim] *= 2
    rng = np.random.default_rng(0)
    memory = rng.standard_normal([shape[axis] for axis in order])
    x = memory.transpose(np.argsort(order))
    args = (shape[1],) if name == "PReLU" else (dim,)
    ours, twin = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for result in run_module(ours.to("float64"), twin.double(), [x], rng):
        result.check(tolerance("float64", result.direction), f"{name}{args} {x.shape}")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.ReLU()(np.arange(3)), TypeError, "ReLU: input must be float32 or float64, got"),
        (lambda: nn.Mish()(np.arange(3)), TypeError, "Mish: input must be float32 or float64, got"),
        (lambda: nn.Softmax(2)(np.ones((2, 3))), ValueError, "Softmax: dim must lie within"),
        (lambda: nn.Softmin(2)(np.ones((2, 3))), ValueError, "Softmin: dim must lie within"),
        (lambda: nn.Softmax2d()(np.ones((2, 3))), ValueError, "Softmax2d: input must be 3-d or 4"),
        (lambda: nn.CELU(0.0), ValueError, "CELU: alpha must not be 0, got 0.0"),
        (lambda: nn.GELU("erf"), ValueError, "GELU: approximate must be one of none, tanh, got 'e"),
        (lambda: nn.Hardtanh(1, 1), ValueError, "Hardtanh: min_val must be below max_val, got min"),
        (lambda: nn.Softshrink(-1), ValueError, "Softshrink: lambd must be finite and not negat"),
        (lambda: nn.Softshrink(np.inf), ValueError, "lambd must be finite and not negative, got"),
        (lambda: nn.RReLU(0.5, 0.1), ValueError, "RReLU: lower must be at most upper, both finite"),
        (lambda: nn.RReLU(0, np.inf), ValueError, "RReLU: lower must be at most upper, both fini"),
        (lambda: nn.GLU()(np.ones((2, 3))), ValueError, "GLU: dim must be an axis of even length"),
        (lambda: nn.GLU(2)(np.ones((2, 4))), ValueError, "GLU: dim must be an axis of even length"),
        (lambda: nn.GLU()(np.ones(())), ValueError, "GLU: dim must be an axis of even length"),
        (lambda: nn.PReLU(-1), ValueError, "PReLU: num_parameters must not be negative, got -1"),
        (lambda: nn.PReLU(dtype=int), TypeError, "PReLU: dtype must be float32 or float64"),
        (lambda: nn.PReLU()(np.ones(3)), TypeError, "PReLU: input must have the parameters' dtype"),
        (
            lambda: nn.PReLU(3)(np.ones((3, 2), "f")),
            ValueError,
            "each of input's 2 channels",
        ),
        (lambda: nn.PReLU(3)(np.ones(3, "f")), ValueError, "one for each of input's 1 channels"),
        (
            lambda: nn.functional.hardtanh(np.ones(3), 2, 1),
            ValueError,
            "hardtanh: min_val must not be above max_val, got 2 and 1",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
