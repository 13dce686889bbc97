"""The checker's own tests: a wrong backward, put in on purpose, must be caught."""

import copy

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity
from parity_tests.directional import check_directional
from parity_tests.tolerances import TOLERANCES
from torch_ref.compare import Result, Tolerance, random_upstream, run_module

TIGHT = Tolerance(1e-9, 1e-11)


def compare(layer: nn.Module, dtype: str = "float64") -> None:
    """Run a (broken) Linear against torch's."""
    rng = np.random.default_rng(0)
    twin = torch.nn.Linear(4, 3, dtype=getattr(torch, dtype))
    layer.to(dtype).load_state_dict({k: v.numpy() for k, v in twin.state_dict().items()})
    for result in run_module(layer, twin, [rng.standard_normal((5, 4)).astype(dtype)], rng):
        result.check(TOLERANCES[dtype, result.direction], "Linear")


class Broken(nn.Linear):
    """A Linear with one fault."""

    def __init__(self, fault) -> None:
        super().__init__(4, 3)
        self._fault = fault

    def backward(self, grad_output):
        grad = super().backward(grad_output)
        return self._fault(self, grad)


def scale_weight(layer, grad):
    layer.weight.grad *= 1 + 1e-7
    return grad


def swap_rows(layer, grad):
    return grad[::-1].copy()


def forget_bias(layer, grad):
    layer.bias.grad = None
    return grad


def wrong_dtype(layer, grad):
    return grad.astype(np.float32)


def wrong_shape(layer, grad):
    return grad[:, :-1]


def one_element(layer, grad):
    grad[2, 3] += 1e-6
    return grad


def none_at_all(layer, grad):
    return None


def not_a_number(layer, grad):
    grad[0, 0] = np.nan
    return grad


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (scale_weight, "grad of weight: .* elements differ"),
        (swap_rows, "grad of input 0"),
        (forget_bias, "grad of bias: ours is None"),
        (wrong_dtype, r"ours is float32\(5, 4\), the twin float64"),
        (wrong_shape, r"ours is float64\(5, 3\)"),
        (one_element, r"1 of 20 elements differ; worst at \(2, 3\)"),
        (none_at_all, "ours is None, not an array"),
        (not_a_number, r"worst at \(0, 0\): ours nan"),
    ],
)
def test_a_wrong_backward_is_caught(fault, message) -> None:
    with pytest.raises(AssertionError, match=message):
        compare(Broken(fault))


def test_a_right_backward_passes() -> None:
    compare(Broken(lambda layer, grad: grad))


def test_a_failure_says_where_and_how_much() -> None:
    ours, twin = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.3])
    with pytest.raises(AssertionError) as caught:
        Result("output", "forward", ours, twin).check(TIGHT, "Case(1)")
    for part in ("Case(1): output: 1 of 3", "(2,)", "3.0", "3.3", "0.3", "0.0909", "ULP", "1e-09"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("ours", "twin", "agree"),
    [
        ([np.inf, np.nan, -np.inf], [np.inf, np.nan, -np.inf], True),
        ([np.inf], [-np.inf], False),
        ([np.nan], [1.0], False),
        ([1.0], [np.nan], False),
        ([1e300], [np.inf], False),
        ([0.0], [-0.0], True),
        ([1.0, 1e-12], [1.0, 0.0], True),
        ([], [], True),
    ],
)
def test_values_that_are_not_finite(ours, twin, agree) -> None:
    result = Result("x", "forward", np.array(ours), np.array(twin))
    if agree:
        result.check(TIGHT)
        assert result.used(TIGHT) <= 1
    else:
        with pytest.raises(AssertionError):
            result.check(TIGHT)
        assert result.used(TIGHT) > 1


def test_scaled_tolerance_follows_the_largest_value() -> None:
    ours, twin = np.array([1e6, 5e-7 + 1e-6]), np.array([1e6, 1e-6])
    Result("x", "forward", ours, twin).check(Tolerance(0, 1e-12, scaled=True))
    with pytest.raises(AssertionError):
        Result("x", "forward", ours, twin).check(Tolerance(0, 1e-12))


def test_upstream_is_random_and_never_ones() -> None:
    output = (np.zeros((3, 4)), np.zeros(2, np.int64))
    grad, nothing = random_upstream(output, np.random.default_rng(0))
    assert grad.std() > 0.1
    assert nothing is None


@pytest.mark.parametrize("error", [1e-4, 1.0])
def test_the_directional_derivative_catches_a_wrong_gradient(error) -> None:
    x = np.random.default_rng(0).standard_normal(6)
    rng = np.random.default_rng(1)
    check_directional(lambda: float(np.sum(x**3)), [x], [3 * x**2], rng)
    wrong = 3 * x**2
    wrong[4] += error
    with pytest.raises(AssertionError, match="the gradient says"):
        check_directional(lambda: float(np.sum(x**3)), [x], [wrong], rng)


def test_the_directional_derivative_notices_a_kink() -> None:
    x = np.zeros(1)
    with pytest.raises(AssertionError, match="a kink lies within"):
        check_directional(lambda: float(abs(x[0])), [x], [np.ones(1)], np.random.default_rng(0))


def test_errors_in_two_arrays_cannot_cancel() -> None:
    x, y = np.ones(1), np.ones(1)
    with pytest.raises(AssertionError, match=r"arrays \[0\]"):
        check_directional(
            lambda: float(x[0] + y[0]),
            [x, y],
            [np.array([1.5]), np.array([0.5])],
            np.random.default_rng(0),
        )


class _Faulty(nn.Linear):
    """What the generic properties must find; see below."""

    fault = ""
    kept = np.zeros((4, 5))

    def forward(self, input):
        if self.fault == "writes into its input":
            input += 1
        output = super().forward(input)
        if self.fault == "returns its scratch":
            self.kept[: len(output), : output.shape[1]] = output
            output = self.kept[: len(output), : output.shape[1]]
        if self.fault == "promotes":
            output = output.astype(np.float64)
        return output

    def backward(self, grad_output):
        if self.fault == "writes into the upstream":
            grad_output *= 2
        if self.fault == "overwrites gradients":
            self.zero_grad()
        return super().backward(grad_output)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("writes into its input", "test_pure"),
        ("writes into the upstream", "test_pure"),
        ("returns its scratch", "test_pure"),
        ("promotes", "test_pure"),
        ("overwrites gradients", "test_gradients_accumulate"),
    ],
)
def test_the_generic_properties_find_faults(fault, check, monkeypatch) -> None:
    case = Case("Linear", "5, 3", (4, 5))
    arguments = [case, "float32"] if check == "test_pure" else [case]
    getattr(ModuleParity(), check)(*copy.copy(arguments))  # the sound one passes
    monkeypatch.setattr(_Faulty, "fault", fault)
    monkeypatch.setattr(nn, "Linear", _Faulty)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(ModuleParity(), check)(*arguments)
