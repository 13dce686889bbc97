"""RNNCell, LSTMCell and GRUCell."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import Case, ModuleParity
from torch_ref.convert import copy_weights, to_torch


def state_of(name: str, *shape: int) -> tuple[int, ...] | list[tuple[int, ...]]:
    return [shape, shape] if name.startswith("LSTM") else shape


CASES = [
    case
    for name in ("RNNCell", "LSTMCell", "GRUCell")
    for case in (
        Case(name, "5, 4", [(3, 5), state_of(name, 3, 4)]),
        Case(name, "5, 4", (3, 5), "no state"),
        Case(name, "5, 4", [(5,), state_of(name, 4)], "no batch"),
        Case(name, "5, 4", (5,), "no batch, no state"),
        Case(name, "5, 4, bias=False", [(3, 5), state_of(name, 3, 4)]),
        Case(name, "5, 4", [(0, 5), state_of(name, 0, 4)], "empty batch"),
        Case(name, "1, 1", [(1, 1), state_of(name, 1, 1)], "smallest"),
        Case(name, "20, 10", [(33, 20), state_of(name, 33, 10)], "longer sums"),
    )
] + [
    Case("RNNCell", "5, 4, nonlinearity='relu'", [(3, 5), (3, 4)]),
    Case("RNNCell", "5, 4, False, 'relu'", (5,)),
    Case("RNNCell", "0, 4", (3, 0), "no features"),
    Case("LSTMCell", "5, 0", (3, 5), "no units"),
]


class TestRNNCell(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_a_cell_in_a_loop(name) -> None:
    """The same cell at each step, and one backward through all of them, on Tensors."""
    ours, twin = getattr(nn, name)(3, 4, dtype="float64"), getattr(torch.nn, name)(3, 4)
    twin = twin.double()
    copy_weights(twin, ours)
    x = np.random.default_rng(0).standard_normal((6, 2, 3))
    losses, inputs = [], []
    for world, cell in ((numpy_impl, ours), (torch, twin)):
        inputs.append(world.tensor(x, requires_grad=True))
        state, total = None, 0.0
        for t in range(len(x)):
            state = cell(inputs[-1][t], state)
            total = total + (state[1] * state[0] if name == "LSTMCell" else state**2).sum()
        total.backward()
        losses.append(float(total.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    np.testing.assert_allclose(inputs[0].grad, inputs[1].grad.numpy(), rtol=1e-10)
    for parameter, other in zip(ours.parameters(), twin.parameters(), strict=True):
        np.testing.assert_allclose(parameter.grad, other.grad.numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_infinities_and_nan_are_torch_s(name) -> None:
    """Silently; saturated gates are exact, whatever the exponential does."""
    ours, twin = getattr(nn, name)(3, 2), getattr(torch.nn, name)(3, 2)
    copy_weights(twin, ours)
    x = np.array([[np.inf, 0, 1], [np.nan, 1, 2], [-1e30, 1e30, 5], [300, -200, 100]], "f")
    tx = to_torch(x).requires_grad_()
    got, wanted = ours(x), twin(tx)
    got, wanted = (v[0] if name == "LSTMCell" else v for v in (got, wanted))
    np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-5)
    wanted.sum().backward()
    ones = np.ones_like(got)
    grad = ours.backward((ones, None) if name == "LSTMCell" else ones)
    np.testing.assert_allclose(grad, tx.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_relu_at_zero_has_no_slope() -> None:
    cell = nn.RNNCell(2, 2, bias=False, nonlinearity="relu")
    output = cell(np.zeros((1, 2), "f"))
    np.testing.assert_array_equal(cell.backward(np.ones_like(output)), [[0, 0]])


X = np.ones((2, 3), "f")
H = np.ones((2, 4), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LSTMCell(3.0, 4), TypeError, "LSTMCell: input_size must be an int, got 3.0"),
        (lambda: nn.GRUCell(3, -1), ValueError, "GRUCell: hidden_size must not be negative"),
        (lambda: nn.GRUCell(3, 4)(H), RuntimeError, r"GRUCell: .*input_size=3, got shape \(2, 4"),
        (lambda: nn.RNNCell(3, 4)(X[None]), ValueError, "RNNCell: input must be 1-d or 2-d, got"),
        (lambda: nn.RNNCell(3, 4)(X, H[None]), ValueError, "RNNCell: hx must be 1-d or 2-d, got"),
        (lambda: nn.RNNCell(3, 4)(X, H[:1]), RuntimeError, r"RNNCell: hx must have shape \(2, 4"),
        (lambda: nn.GRUCell(3, 4)(X, X), RuntimeError, r"GRUCell: hx must have .*, got \(2, 3\)"),
        (lambda: nn.GRUCell(3, 4)(X[0], H), RuntimeError, r"hx must have shape \(4,\), got \(2, 4"),
        (lambda: nn.LSTMCell(3, 4)(X, H), TypeError, "LSTMCell: hx must be a tuple of 2 arrays"),
        (lambda: nn.LSTMCell(3, 4)(X, (H, X)), RuntimeError, r"hx\[1\] must have shape \(2, 4\)"),
        (lambda: nn.LSTMCell(3, 4)(X, (H[None], H)), ValueError, r"hx\[0\] must be 1-d or 2-d"),
        (lambda: nn.LSTMCell(3, 4)(X.astype(float)), TypeError, "parameters' dtype float32"),
        (lambda: nn.GRUCell(3, 4)(X, H.astype(float)), TypeError, "hx must have the parameters'"),
        (lambda: nn.RNNCell(3, 4, nonlinearity="x")(X), RuntimeError, "'tanh' or 'relu', got 'x'"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
