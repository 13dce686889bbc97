"""Identity, Linear and Bilinear."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import linear as linear_module
from parity_tests.cases import Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module

CASES = [
    Case("Linear", "5, 3", (4, 5)),
    Case("Linear", "5, 3, bias=False", (4, 5), "no bias"),
    Case("Linear", "5, 3", (5,), "a single row"),
    Case("Linear", "5, 3", (2, 4, 6, 5), "any leading axes"),
    Case("Linear", "1, 1", (3, 1), "smallest"),
    Case("Linear", "784, 60", (33, 784), "long sums"),
    Case("Linear", "5, 3", (0, 5), "empty batch"),
    Case("Linear", "5, 3", (2, 0, 5), "no rows"),
    Case("Bilinear", "2, 3, 4", [(8, 2), (8, 3)]),
    Case("Bilinear", "2, 3, 4, bias=False", [(8, 2), (8, 3)], "no bias"),
    Case("Bilinear", "2, 3, 4", [(2,), (3,)], "a single row"),
    Case("Bilinear", "2, 3, 4", [(2, 1, 5, 2), (2, 1, 5, 3)], "any leading axes"),
    Case("Bilinear", "1, 1, 1", [(3, 1), (3, 1)], "smallest"),
    Case("Bilinear", "40, 30, 3", [(33, 40), (33, 30)], "long sums"),
    Case("Bilinear", "2, 3, 4", [(0, 2), (0, 3)], "empty batch"),
    Case("Identity", "", (3, 4)),
    Case("Identity", "", (0, 4), "empty batch"),
    Case("Identity", "", (), "0-d"),
    Case("Identity", "54, unused=True", (2, 3, 4, 5), "arguments are ignored"),
]


class TestLinear(ModuleParity):
    cases = CASES


ROW2 = np.ones((1, 2), "f")


def test_large_batch_of_bias_gradients() -> None:
    """More rows than one block of the summation, and a rest."""
    layer = nn.Linear(3, 2, dtype="float64")
    x = np.random.default_rng(0).standard_normal((5000, 3))
    upstream = np.random.default_rng(1).standard_normal((5000, 2))
    layer(x)
    layer.backward(upstream)
    np.testing.assert_allclose(layer.bias.grad, upstream.sum(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Linear(-1, 2), ValueError, "in_features must not be negative, got -1"),
        (lambda: nn.Linear(1.5, 2), TypeError, "in_features must be an int, got 1.5"),
        (lambda: nn.Linear(2, 2, dtype="int32"), TypeError, "dtype must be float32 or float64"),
        (lambda: nn.Linear(2, 2, dtype="flaot32"), TypeError, "got 'flaot32'"),
        (lambda: nn.Linear(4, 2)(np.ones((3, 5), "f")), ValueError, "in_features=4, got shape"),
        (lambda: nn.Linear(4, 2)(np.ones((3, 4))), TypeError, "dtype float32, got float64"),
        (lambda: nn.Linear(4, 2)([[1.0] * 4]), TypeError, "input must be a NumPy array, got list"),
        (lambda: nn.Linear(4, 2)(np.float32(1)), ValueError, r"got shape \(\)"),
        (lambda: nn.Bilinear(0, 2, 2), ValueError, "in1_features must be at least 1, got 0"),
        (lambda: nn.Bilinear(2, 2, -1), ValueError, "out_features must not be negative, got -1"),
        (lambda: nn.Bilinear(2, 3, 1)(ROW2, ROW2), ValueError, "input2's last axis must be 3, got"),
        (lambda: nn.Bilinear(3, 2, 1)(ROW2, ROW2), ValueError, "input1's last axis must be 3, got"),
        (lambda: nn.Bilinear(2, 2, 1)(ROW2, ROW2[0]), ValueError, "input2 must have input1's axes"),
        (
            lambda: nn.Bilinear(2, 2, 1)(ROW2, ROW2.astype(float)),
            TypeError,
            "input2 must have the parameters'",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_needs_input_grad_saves_the_input_gradient() -> None:
    layer = nn.Linear(4, 2).needs_input_grad_(False)
    layer(np.ones((3, 4), "f"))
    assert layer.backward(np.ones((3, 2), "f")) is None
    assert layer.weight.grad is not None


def test_frozen_parameters_get_no_gradient() -> None:
    layer = nn.Linear(4, 2).requires_grad_(False)
    layer(np.ones((3, 4), "f"))
    assert layer.backward(np.ones((3, 2), "f")).shape == (3, 4)
    assert layer.weight.grad is None
    assert layer.bias.grad is None


def test_a_frozen_bias_costs_no_gradient(monkeypatch) -> None:
    layer = nn.Linear(4, 2)
    layer.bias.requires_grad = False
    layer(np.ones((3, 4), "f"))

    def refuse(rows):
        raise AssertionError("a sum that nobody needs")

    monkeypatch.setattr(linear_module, "sum_rows", refuse)
    layer.backward(np.ones((3, 2), "f"))
    assert layer.bias.grad is None
    assert layer.weight.grad is not None


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_deleted_parameter_is_named(name) -> None:
    layer = nn.Linear(4, 2)
    delattr(layer, name)
    with pytest.raises(AttributeError, match=name):
        layer(np.ones((3, 4), "f"))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("sizes", [(0, 3), (4, 0), (0, 0)])
def test_no_features(sizes) -> None:
    ours, twin = nn.Linear(*sizes), torch.nn.Linear(*sizes)
    twin.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in ours.state_dict().items()})
    for shape in ((2, sizes[0]), (0, sizes[0]), (sizes[0],), (2, 3, sizes[0])):
        ours.zero_grad()
        twin.zero_grad()
        for result in run_module(ours, twin, [np.ones(shape, "f")], np.random.default_rng(0)):
            result.check(tolerance("float32", result.direction), f"{sizes} {shape}")


def test_a_bilinear_map_computes_the_gradients_that_are_needed() -> None:
    layer = nn.Bilinear(2, 3, 4)
    layer.weight.requires_grad = False
    x1, x2 = np.ones((5, 2), "f"), np.ones((5, 3), "f")
    layer(x1, x2)
    grads = layer.backward(np.ones((5, 4), "f"))
    assert [grad.shape for grad in grads] == [x1.shape, x2.shape]
    assert layer.weight.grad is None
    np.testing.assert_array_equal(layer.bias.grad, [5] * 4)
    leaf = numpy_impl.tensor(x2, requires_grad=True)
    layer(x1, leaf).sum().backward()
    np.testing.assert_allclose(leaf.grad, grads[1], rtol=1e-6)
