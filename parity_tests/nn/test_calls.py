"""Two ways to call modules of every kind, each inside the others, against torch."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.tensor.tensor import Tensor
from parity_tests.nn.kinds import (
    AROUND,
    G2,
    UNITS,
    X2,
    G,
    X,
    assert_same,
    linear,
    pair,
    parameters,
    twin_grads,
)
from torch_ref.convert import copy_weights


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unit", UNITS)
def test_arrays(around, unit) -> None:
    ours, twin = pair(around, unit)
    (wanted,), wanted_grads = twin_grads(twin, [(X, G)])
    output = ours(X.copy())
    assert type(output) is np.ndarray
    with pytest.raises((ValueError, TypeError)):
        ours.backward(np.ones(7))  # does not use the call up
    grad = ours.backward(G.copy(), retain_graph=True)
    assert type(grad) is np.ndarray
    assert_same(grad, wanted, "input")
    assert_same([p.grad for p in parameters(ours)], wanted_grads, "parameters")
    for p in parameters(ours):
        p.grad = None
    assert_same(ours.backward(G), wanted, "retained")
    assert_same([p.grad for p in parameters(ours)], wanted_grads, "retained")
    with pytest.raises(RuntimeError, match="forward"):
        ours.backward(G)


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unit", UNITS)
def test_arrays_never_give_another_call_s_gradient(around, unit) -> None:
    ours, twin = pair(around, unit)
    (_, wanted), _ = twin_grads(twin, [(X, G), (X2, G2)])
    ours(X)
    ours(X2)
    assert_same(ours.backward(G2), wanted)
    with pytest.raises(RuntimeError, match="forward"):
        ours.backward(G)
    ours(X)
    with numpy_impl.no_grad():
        ours(X2)
    with pytest.raises(RuntimeError, match="without a forward"):
        ours.backward(G)
    ours(X)
    tensor = ours(numpy_impl.tensor(X2, requires_grad=True))
    try:
        grad = ours.backward(G)
    except RuntimeError:
        pass
    else:
        assert_same(grad, twin_grads(twin, [(X, G)])[0][0])
    tensor.backward(G2)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unit", UNITS)
def test_tensors(around, unit, order) -> None:
    ours, twin = pair(around, unit)
    calls = [(X, G), (X2, G2), (G, X)]
    wanted, wanted_grads = twin_grads(twin, calls)
    inputs = [numpy_impl.tensor(x, requires_grad=True) for x, _ in calls]
    outputs = [ours(x) for x in inputs]
    assert all(isinstance(output, Tensor) for output in outputs)
    for i in order:
        outputs[i].backward(calls[i][1].copy(), retain_graph=i == 1)
    assert_same([x.grad for x in inputs], wanted, "inputs")
    assert_same([p.grad for p in parameters(ours)], wanted_grads, "parameters")
    with pytest.raises(RuntimeError, match="before"):
        outputs[0].backward(G)
    outputs[1].backward(G2)  # retained


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unit", UNITS)
def test_grad_modes_and_frozen_parts(around, unit) -> None:
    ours, twin = pair(around, unit)
    constant = numpy_impl.tensor(X)
    with numpy_impl.no_grad():
        assert not ours(numpy_impl.tensor(X, requires_grad=True)).requires_grad
        assert_same(ours(X), twin(torch.tensor(X)))
    if parameters(ours):
        ours(constant).backward(G)
        twin(torch.tensor(X)).backward(torch.tensor(G))
        assert_same([p.grad for p in parameters(ours)], [p.grad for p in parameters(twin)])
    for model in (ours, twin):
        for p in parameters(model):
            p.requires_grad_(False)
            p.grad = None
    assert not ours(constant).requires_grad
    x = numpy_impl.tensor(X, requires_grad=True)
    ours(x).backward(G)
    assert_same(x.grad, twin_grads(twin, [(X, G)])[0][0])
    assert all(p.grad is None for p in parameters(ours))
    assert_same(ours(X), twin(torch.tensor(X)))
    assert_same(ours.backward(G), x.grad)
    assert all(p.grad is None for p in parameters(ours))


@pytest.mark.parametrize("name", ["MSELoss", "CrossEntropyLoss"])
def test_losses(name) -> None:
    targets = X2 if name == "MSELoss" else np.array([1, 0, 3])
    loss, twin = getattr(nn, name)(), getattr(torch.nn, name)()
    tx = torch.tensor(X, requires_grad=True)
    twin(tx, torch.tensor(targets)).backward()
    loss(X, targets)
    assert_same(loss.backward(retain_graph=True), tx.grad)
    assert_same(loss.backward(2.0), 2 * tx.grad)
    x = numpy_impl.tensor(X, requires_grad=True)
    first, second = loss(x, targets), loss(x * 2, numpy_impl.tensor(targets))
    first.backward()
    assert_same(x.grad, tx.grad)
    second.backward()
    # a target that requires a gradient: here probabilities, for CrossEntropyLoss
    target = numpy_impl.tensor(np.full((3, 4), 0.25), requires_grad=True)
    twins_target = torch.full((3, 4), 0.25, dtype=torch.float64, requires_grad=True)
    loss(x, target).backward()
    twin(tx, twins_target).backward()
    assert_same(target.grad, twins_target.grad)


def test_a_gradient_of_the_wrong_shape_is_refused() -> None:
    class Wrong(nn.Module):
        def forward(self, x):
            return x * 2

        def backward(self, grad_output):
            return grad_output.sum(0)

    with pytest.raises(RuntimeError, match=r"Wrong: backward returned a gradient of shape \(4,\)"):
        Wrong()(numpy_impl.tensor(X, requires_grad=True)).backward(G)


def test_float32_stays_whatever_a_layer_returns() -> None:
    class Double(nn.Module):
        def forward(self, x):
            return x * 2

        def backward(self, grad_output):
            return grad_output * np.full(4, 2.0)

    x = numpy_impl.tensor(X.astype("f"), requires_grad=True)
    seen = []
    (h := x * 1).register_hook(lambda grad: seen.append(grad.dtype))
    Double()(h).sum().backward()
    assert seen == [np.float32]
    assert x.grad.dtype == np.float32


def test_a_layer_inside_no_grad_in_a_forward() -> None:
    def build(world):
        class Net(world.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.body, self.head = linear(world), linear(world)

            def forward(self, x):
                with world.no_grad():
                    h = self.body(x)
                return self.head(h) * self.body(x).detach() + self.head(x)

        return Net()

    ours, twin = build(numpy_impl), build(torch)
    copy_weights(twin, ours)
    (wanted,), grads = twin_grads(twin, [(X, G)])
    ours(X)
    assert_same(ours.backward(G), wanted)
    assert_same([p.grad for p in ours.parameters()], grads)


def test_the_first_layer_computes_no_input_gradient(monkeypatch) -> None:
    asked = []
    real = numpy_impl.nn.linear.linear_backward
    monkeypatch.setattr(
        numpy_impl.nn.linear,
        "linear_backward",
        lambda *args: (asked.append(args[3]), real(*args))[1],
    )
    model = nn.Sequential(linear(numpy_impl), nn.ReLU(), linear(numpy_impl))
    model(numpy_impl.tensor(X)).backward(G)
    assert asked == [(True, True, True), (False, True, True)]
    asked.clear()
    model[0].weight.requires_grad_(False)
    model(numpy_impl.tensor(X)).backward(G)
    assert asked == [(True, True, True), (False, False, True)]
    asked.clear()
    model[0].requires_grad_(False)
    model(numpy_impl.tensor(X)).backward(G)
    assert asked == [(False, True, True)]
    model.needs_input_grad_(False)
    model(X)
    assert model.backward(G) is None
    assert asked[1:] == [(False, True, True)]
