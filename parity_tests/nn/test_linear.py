"""Identity and Linear."""

import numpy as np
import pytest
import torch

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
    Case("Identity", "", (3, 4)),
    Case("Identity", "", (0, 4), "empty batch"),
    Case("Identity", "", (), "0-d"),
    Case("Identity", "54, unused=True", (2, 3, 4, 5), "arguments are ignored"),
]


class TestLinear(ModuleParity):
    cases = CASES


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
