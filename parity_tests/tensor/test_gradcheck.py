"""gradcheck beside torch's: the same arguments, and the same answers."""

import inspect

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import gradcheck, nn
from numpy_impl.autograd import GradcheckError

X = np.random.default_rng(0).standard_normal((3, 4))


class Halved(nn.Module):
    """x^2, with half its derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.factor = nn.Parameter(np.ones(4)), 1

    def forward(self, input: np.ndarray) -> np.ndarray:
        output = input * input * self.weight.data
        self.save_for_backward(output, input)
        return output

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        grad, input = self.saved_for_backward(grad_output)
        if self.weight.requires_grad:
            self.weight.accumulate_grad(self.factor * (input * input * grad).sum(0))
        return input * self.weight.data * grad


def test_the_arguments_are_torch_s() -> None:
    theirs = inspect.signature(torch.autograd.gradcheck).parameters
    for name, parameter in inspect.signature(gradcheck).parameters.items():
        assert parameter.default == theirs[name].default
        assert parameter.kind == theirs[name].kind
    assert numpy_impl.autograd.gradcheck is gradcheck


@pytest.mark.parametrize("fast_mode", [False, True])
@pytest.mark.parametrize(
    ("make", "inputs"),
    [
        (lambda: nn.Linear(4, 2, dtype="float64"), X),
        (lambda: nn.LayerNorm(4, dtype="float64"), (X,)),
        (lambda: nn.Sequential(nn.Linear(4, 3, dtype="float64"), nn.Tanh()), [X]),
        (lambda: lambda a, b: (a * b, (a - b).sum()), (X, X + 1)),
        (lambda: lambda a, i: a[i], (X, np.array([0, 0, 2]))),
        (lambda: lambda a: (a.sum(), numpy_impl.arange(3)), X),
    ],
    ids=["linear", "layer norm", "composed", "two outputs", "integers", "an integer output"],
)
def test_right_gradients(make, inputs, fast_mode) -> None:
    assert gradcheck(make(), inputs, fast_mode=fast_mode)


@pytest.mark.parametrize("fast_mode", [False, True])
def test_a_wrong_gradient_is_found_and_named(fast_mode) -> None:
    with pytest.raises(GradcheckError, match="of output 0 for input 0 is wrong in") as raised:
        gradcheck(Halved(), X, fast_mode=fast_mode)
    assert isinstance(raised.value, RuntimeError)
    assert gradcheck(Halved(), X, fast_mode=fast_mode, raise_exception=False) is False


def test_the_worst_element_is_named() -> None:
    index = np.unravel_index(np.abs(X).argmax(), X.shape)
    place = [int(i) for i in index]
    with pytest.raises(GradcheckError) as raised:
        gradcheck(Halved(), X)
    assert f"d output{place} / d input{place} is {2 * X[index]:.6g} by differences" in str(
        raised.value
    )
    assert f"{X[index]:.6g} by backward" in str(raised.value)
    assert "wrong in 12 of 144 places" in str(raised.value)


def test_a_parameter_s_gradient_counts() -> None:
    class Wrong(Halved):
        def backward(self, grad_output: np.ndarray) -> np.ndarray:
            return 2 * super().backward(grad_output)  # the input's is right now

    layer = Wrong()
    assert gradcheck(layer, X)
    layer.weight.data[...] = 3
    assert gradcheck(layer, X)
    layer.factor = 2
    with pytest.raises(GradcheckError, match="for parameter weight is wrong"):
        gradcheck(layer, X)
    layer.weight.requires_grad_(False)
    assert gradcheck(layer, X)


def test_what_is_random_is_said() -> None:
    with pytest.raises(GradcheckError, match="two runs with the same inputs differ in the output"):
        gradcheck(nn.Dropout(0.5), X)
    assert gradcheck(nn.Dropout(0.5).eval(), X)


def test_inputs_and_parameters_are_left_as_they_were() -> None:
    layer, x = nn.Linear(4, 2, dtype="float64"), numpy_impl.tensor(X, requires_grad=True)
    weight = layer.weight.data.copy()
    gradcheck(layer, x)
    np.testing.assert_array_equal(layer.weight.data, weight)
    np.testing.assert_array_equal(x.data, X)
    assert layer.weight.grad is None
    assert x.grad is None


def test_nothing_to_check() -> None:
    with pytest.raises(ValueError, match="no input requires a gradient"):
        gradcheck(lambda a: a * 2, numpy_impl.tensor(X))
    with pytest.raises(GradcheckError, match="output 0 does not require a gradient"):
        gradcheck(lambda a: a.detach(), X)


def test_single_precision_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="input 0 is float32: differences by 1e-06 need float64"):
        gradcheck(lambda a: a * 2, X.astype("f"), raise_exception=False)
