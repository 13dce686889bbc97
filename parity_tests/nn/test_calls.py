"""Two ways to call modules of every kind, each inside the others, against torch."""

import copy
import gc
import pickle
import sys
import threading
import tracemalloc
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.tensor.tensor import Tensor
from torch_ref.convert import copy_weights, to_numpy

RNG = np.random.default_rng(0)
X, X2, G, G2 = (RNG.standard_normal((3, 4)) for _ in range(4))


def linear(world: Any, *args: Any, **kwargs: Any) -> Any:
    return world.nn.Linear(*(args or (4, 4)), dtype=world.float64, **kwargs)


# -- modules of every kind, (3, 4) -> (3, 4), the same in both worlds ------------------------------


class Saving(nn.Module):
    """x^2 * w, by the book."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def forward(self, input):
        output = input * input * self.weight.data
        self.save_for_backward(output, input)
        return output

    def backward(self, grad_output):
        grad_output, input = self.saved_for_backward(grad_output)
        self.weight.accumulate_grad((grad_output * input * input).sum(0))
        return 2 * input * grad_output * self.weight.data


class Naive(nn.Module):
    """The same, as one writes it on the first day."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def forward(self, input):
        self.input = input
        return input * input * self.weight.data

    def backward(self, grad_output):
        self.weight.accumulate_grad((grad_output * self.input * self.input).sum(0))
        return 2 * self.input * grad_output * self.weight.data


class NaiveWithParameters(Naive):
    """The same with the Parameter itself in its arithmetic."""

    def forward(self, input):
        self.input = input
        return input * input * self.weight

    def backward(self, grad_output):
        self.weight.accumulate_grad((grad_output * self.input * self.input).sum(0))
        return 2 * self.input * grad_output * self.weight


class GoesBack:
    """A mixin with the backward."""

    def backward(self, grad_output):
        self.weight.accumulate_grad((grad_output * self.input * self.input).sum(0))
        return 2 * self.input * grad_output * self.weight.data


class Mixed(GoesBack, nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def forward(self, input):
        self.input = input
        return input * input * self.weight.data


class Abstract(nn.Module):
    """A base with a backward and no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.full(4, 0.7))

    def backward(self, grad_output):
        grad_output, input = self.saved_for_backward(grad_output)
        self.weight.accumulate_grad((grad_output * input * input).sum(0))
        return 2 * input * grad_output * self.weight.data


class Concrete(Abstract):
    def forward(self, input):
        output = input * input * self.weight.data
        self.save_for_backward(output, input)
        return output


class SquareTwin(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((4,), 0.7, dtype=torch.float64))

    def forward(self, input):
        return input * input * self.weight


def square(kind: type) -> Callable[[Any], Any]:
    return lambda world: kind() if world is numpy_impl else SquareTwin()


def composite(world: Any, *parts: Any, registered: bool = True) -> Any:
    """A layer written by hand from others: in a ModuleList, or in a plain list."""

    class Composite(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ModuleList(parts) if registered else []
            if not registered:
                self.parts.extend(parts)

        def forward(self, input):
            for part in self.parts:
                input = part(input)
            return 3 * input

        def backward(self, grad_output):
            grad_output = 3 * grad_output
            for part in reversed(list(self.parts)):
                grad_output = part.backward(grad_output)
            return grad_output

    class Twin(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(parts) if registered else list(parts)

        def forward(self, input):
            for part in self.parts:
                input = part(input)
            return 3 * input

    return Composite() if world is numpy_impl else Twin()


def twice(world: Any, part: Any) -> Any:
    return composite(world, part, part)


def of_calls(world: Any, *parts: Any) -> Any:
    """Forward only: skips, cat, a part used twice."""

    class Net(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = world.nn.ModuleList(parts)
            self.act = world.nn.ReLU()
            self.head = linear(world, 8, 4)

        def forward(self, x):
            h = x
            for part in self.parts:
                h = self.act(part(h)) + x
            h = world.cat([self.act(h), part(x)], dim=1)
            return self.head(h) * 0.5

    return Net()


def sub_forward(world: Any) -> Any:
    class Twice(world.nn.Linear):
        def forward(self, input):
            return super().forward(input) * 2 + input

    return Twice(4, 4, dtype=world.float64)


def sub_forward_twice(world: Any) -> Any:
    class Twice(world.nn.Linear):
        def forward(self, input):
            return super().forward(super().forward(input).tanh()) * 2

    return Twice(4, 4, dtype=world.float64)


def sub_backward(world: Any) -> Any:
    class Counting(world.nn.Linear):
        if world is numpy_impl:

            def backward(self, grad_output):
                self.count = getattr(self, "count", 0) + 1
                return super().backward(grad_output)

    return Counting(4, 4, dtype=world.float64)


def sub_both(world: Any) -> Any:
    """Both methods, each with its super(); what is kept, on the layer."""
    if world is not numpy_impl:

        class Twin(torch.nn.Linear):
            def forward(self, input):
                return super().forward(input * input) * input

        return Twin(4, 4, dtype=torch.float64)

    class Both(nn.Linear):
        def forward(self, input):
            self.input, self.inner = input, super().forward(input * input)
            return self.inner * input

        def backward(self, grad_output):
            inner = super().backward(grad_output * self.input)
            return grad_output * self.inner + 2 * self.input * inner

    return Both(4, 4, dtype="float64")


def sub_both_saving(world: Any) -> Any:
    """The same with save_for_backward, although the base has one of its own."""
    if world is not numpy_impl:
        return sub_both(world)

    class Both(nn.Linear):
        def forward(self, input):
            inner = super().forward(input * input)
            output = inner * input
            self.save_for_backward(output, input, inner)
            return output

        def backward(self, grad_output):
            grad_output, input, inner = self.saved_for_backward(grad_output)
            return grad_output * inner + 2 * input * super().backward(grad_output * input)

    return Both(4, 4, dtype="float64")


def own_forward(world: Any) -> Any:
    """A forward put on one object, around its own."""
    layer = linear(world)
    before = layer.forward
    layer.forward = lambda input: before(input) * 2 + input
    return layer


def own_forward_of_sequential(world: Any) -> Any:
    model = world.nn.Sequential(linear(world), world.nn.Tanh())

    def forward(self, input):
        return self[1](self[0](input)).view(-1).view(input.shape) + input

    model.forward = types.MethodType(forward, model)
    return model


def functional(world: Any) -> Any:
    functions = world.nn.functional

    class Net(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = world.nn.Parameter(world.tensor(X.T @ X2 / 3))
            self.bias = world.nn.Parameter(world.tensor(X[0].copy()))

        def forward(self, x):
            h = functions.leaky_relu(functions.linear(x, self.weight, self.bias), 0.1)
            h = functions.softmax(h, dim=1) * functions.relu(x) + functions.tanh(self.bias)
            return h - functions.log_softmax(x, dim=-1)

    return Net()


def tied(world: Any) -> Any:
    """One Linear in two nested Sequentials, and one of its own with the same weight."""
    shared, act = linear(world), world.nn.Tanh()
    other = linear(world, 4, 4, bias=False)
    other.weight = shared.weight
    return world.nn.Sequential(
        world.nn.Sequential(shared, act), world.nn.Sequential(act, shared, other)
    )


UNITS: dict[str, Callable[[Any], Any]] = {
    "linear": linear,
    "tanh": lambda world: world.nn.Tanh(),
    "batchnorm": lambda world: world.nn.BatchNorm1d(4, dtype=world.float64),
    "saving": square(Saving),
    "naive": square(Naive),
    "naive with parameters": square(NaiveWithParameters),
    "mixin": square(Mixed),
    "abstract base": square(Concrete),
    "super forward": sub_forward,
    "super forward twice": sub_forward_twice,
    "super backward": sub_backward,
    "super both": sub_both,
    "super both saving": sub_both_saving,
    "own forward": own_forward,
    "own forward of sequential": own_forward_of_sequential,
    "functional": functional,
    "tied": tied,
    "composite": lambda world: composite(world, linear(world), world.nn.Sigmoid()),
    "composite of composite": lambda world: composite(world, composite(world, linear(world))),
}
AROUND: dict[str, Callable[[Any, Any], Any]] = {
    "alone": lambda world, unit: unit,
    "sequential": lambda world, unit: world.nn.Sequential(unit, linear(world)),
    "nested": lambda world, unit: world.nn.Sequential(
        world.nn.Sequential(unit), world.nn.Sequential(world.nn.Tanh(), unit)
    ),
    "of calls": of_calls,
    "composite": composite,
    "composite twice": twice,
    "composite of sequential": lambda world, unit: composite(
        world, world.nn.Sequential(unit, world.nn.Tanh())
    ),
    "unregistered": lambda world, unit: composite(world, unit, unit, registered=False),
}


def pair(around: str, unit: str) -> tuple[Any, Any]:
    ours = AROUND[around](numpy_impl, UNITS[unit](numpy_impl))
    twin = AROUND[around](torch, UNITS[unit](torch))
    copy_weights(twin, ours)
    if around == "unregistered":
        copy_weights(twin.parts[0], ours.parts[0])
    return ours, twin


def parameters(model: Any) -> list[Any]:
    """Registered or not."""
    found = list(model.parameters())
    return found or [p for part in getattr(model, "parts", ()) for p in part.parameters()]


def assert_same(got: Any, wanted: Any, what: str = "") -> None:
    if wanted is None:
        assert got is None, what
    elif isinstance(wanted, tuple | list):
        assert len(got) == len(wanted), what
        for g, w in zip(got, wanted, strict=True):
            assert_same(g, w, what)
    elif isinstance(wanted, dict):
        assert list(got) == list(wanted)
        for key in wanted:
            assert_same(got[key], wanted[key], what)
    else:
        got = got.data if isinstance(got, Tensor) else got
        wanted = to_numpy(wanted.detach()) if isinstance(wanted, torch.Tensor) else wanted
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11, err_msg=what)


def twin_grads(twin: Any, calls: list[tuple[Any, Any]]) -> tuple[list, list]:
    """Gradients for each call's input, and for the parameters over all of them."""
    inputs = [torch.tensor(x, requires_grad=True) for x, _ in calls]
    outputs = [twin(x) for x in inputs]
    for output, (_, g) in zip(outputs, calls, strict=True):
        output.backward(torch.tensor(g))
    return [x.grad for x in inputs], [p.grad for p in parameters(twin)]


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


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.usefixtures("_no_collector")
def test_nothing_outlives_its_names(around, unit) -> None:
    """Without Python's collector: outputs, and modules that were called and dropped."""
    ours, _ = pair(around, unit)
    gc.collect()
    x = numpy_impl.tensor(X, requires_grad=True)
    for _ in range(3):
        ours(X)
        ours.backward(G)
        ours(X)  # and never back
        ours(x).backward(G)
        y = ours(x)
    node = weakref.ref(y)
    del y
    assert node() is None
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        ours.backward(np.ones(7))
    with pytest.raises((ValueError, TypeError, RuntimeError)):
        ours(np.ones((3, 5), bool))
    module = weakref.ref(ours)
    ours(X)
    is_a_cycle_itself = unit.startswith("own forward")  # it holds a method that holds it
    del ours
    assert is_a_cycle_itself or module() is None


# -- structures ------------------------------------------------------------------------------------


class AddMul(nn.Module):
    """A layer of two inputs and two outputs, in a dict, beside an integer and a number."""

    def forward(self, a, b, index=None):
        self.a, self.b = a, b
        return {"index": index, "n": 3, "add": a + b, "mul": [a * b]}

    def backward(self, grad_output):
        (mul,) = grad_output["mul"]
        add = grad_output["add"]
        return add + mul * self.b, add + mul * self.a


def test_a_layer_with_a_dict_of_outputs() -> None:
    layer = AddMul()
    a, b = (numpy_impl.tensor(x, requires_grad=True) for x in (X, X2))
    first, second = layer(a, b), layer(b=b, a=a)
    assert first["n"] == 3
    assert first["index"] is None
    (first["add"] * G).sum().backward()
    assert_same([a.grad, b.grad], [G, G])
    (second["mul"][0] * G).sum().backward()
    assert_same([a.grad, b.grad], [G + G * X2, G + G * X])
    output = layer(X, X2)
    assert_same(output["mul"], [X * X2])
    grads = {"index": None, "n": None, "add": None, "mul": [G]}
    assert_same(layer.backward(grads), (G * X2, G * X))
    layer(X, X2)
    with pytest.raises(TypeError, match="dict"):
        layer.backward(G)


def test_keyword_inputs_have_the_order_of_forward_s_arguments() -> None:
    class Product(nn.Module):
        def forward(self, a, b, c=None):
            output = a * b if c is None else a * b * c
            self.save_for_backward(output, a, b)
            return output

        def backward(self, grad_output):
            grad_output, a, b = self.saved_for_backward(grad_output)
            return grad_output * b, grad_output * a

    a, b = (numpy_impl.tensor(x, requires_grad=True) for x in (X, X2))
    Product()(b=b, a=a).backward(G)
    assert_same([a.grad, b.grad], [G * X2, G * X])
    Product()(X, numpy_impl.tensor(X2, requires_grad=True)).backward(G)


def test_scalars_and_half_outputs_keep_their_gradients() -> None:
    class Norms(nn.Module):
        def forward(self, x):
            self.x = x
            return None, np.float64((x * x).sum()), x.astype(int), x.sum(0)

        def backward(self, grad_output):
            _, square, _, total = grad_output
            return 2 * self.x * square + total

    x = numpy_impl.tensor(X, requires_grad=True)
    _, square, _, total = Norms()(x)
    (square * 2 + total.sum()).backward()
    assert_same(x.grad, 4 * X + 1)


def structured(world: Any) -> Any:
    class Net(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = linear(world)

        def forward(self, x, state, index=None, *, scale=None, flag=True):
            h, (c, _) = state
            h = self.cell(x * h) + c
            if scale is not None:
                h = h * scale
            if index is not None:
                h = h[index]
            return {"h": h, "pair": [h.sum(), (c * 2, x)], "none": None}

    return Net()


def test_nested_inputs_and_outputs_of_a_module_made_of_calls() -> None:
    ours, twin = structured(numpy_impl), structured(torch)
    copy_weights(twin, ours)
    scale, index = np.array(1.5), np.array([2, 0, 0])
    tx, th, tc, ts = (torch.tensor(v, requires_grad=True) for v in (X, X2, G, scale))
    wanted = twin(tx, (th, [tc, None]), torch.tensor(index), scale=ts)
    (wanted["h"] * torch.tensor(G2)).sum().backward(retain_graph=True)
    (wanted["pair"][0] * 2 + (wanted["pair"][1][0] * torch.tensor(G2)).sum()).backward()

    output = ours(X, (X2, [G, None]), index, scale=scale)
    assert_same(output, wanted)
    upstream = {"pair": [np.array(2.0), (G2, None)], "h": G2, "none": None}  # in any order
    dx, (dh, (dc, nothing)), di, ds = ours.backward(upstream)
    assert_same([dx, dh, dc, ds], [tx.grad, th.grad, tc.grad, ts.grad])
    assert nothing is None
    assert di is None

    tensors = [numpy_impl.tensor(v, requires_grad=True) for v in (X, X2, G, scale)]
    x, h, c, s = tensors
    found = ours(x, (h, [c, None]), numpy_impl.tensor(index), scale=s)
    loss = (found["h"] * G2).sum() + found["pair"][0] * 2 + (found["pair"][1][0] * G2).sum()
    loss.backward()
    assert_same([t.grad for t in tensors], [tx.grad, th.grad, tc.grad, ts.grad])


def test_results_share_no_memory() -> None:
    ours = structured(numpy_impl)
    given = [X.copy(), X2.copy(), G.copy()]
    x, h, c = given
    output = ours(x, (h, [c, None]))
    upstream = {"h": G2.copy(), "pair": [np.array(1.0), (X.copy(), X2.copy())], "none": None}
    dx, (dh, (dc, _)) = ours.backward(upstream)
    arrays = [*given, dx, dh, dc, output["h"], output["pair"][1][0], output["pair"][1][1]]
    arrays += [upstream["h"], *upstream["pair"][1], *(p.grad for p in ours.parameters())]
    for i, one in enumerate(arrays):
        for other in arrays[:i]:
            assert not np.shares_memory(one, other)


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
    if name == "CrossEntropyLoss":  # probabilities: no gradient for them, and never silently
        target = numpy_impl.tensor(np.full((3, 4), 0.25), requires_grad=True)
        with pytest.raises(RuntimeError, match="detach"):
            loss(x, target).backward()


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


# -- memory ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("tensors", [True, False])
@pytest.mark.usefixtures("_no_collector")
def test_loops_do_not_grow(tensors) -> None:
    model = nn.Sequential(linear(numpy_impl), composite(numpy_impl, Naive()), nn.ReLU())
    x = np.ones((2000, 4))

    def step(goes_back: bool) -> None:
        output = model(numpy_impl.tensor(x) if tensors else x)
        if goes_back and tensors:
            output.sum().backward()
        elif goes_back:
            model.backward(x)
        with pytest.raises(ValueError, match="last axis"):
            model(np.ones((2000, 5)))

    for goes_back in (True, False):
        for _ in range(3):
            step(goes_back)
        tracemalloc.start()
        step(goes_back)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(20):
            step(goes_back)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < x.nbytes


@pytest.mark.parametrize("tensors", [True, False])
def test_copies_have_no_batch(tensors) -> None:
    model = nn.Sequential(linear(numpy_impl), composite_at_module_level(), nn.ReLU())
    fresh = len(pickle.dumps(model))
    x = np.ones((500, 4))
    if tensors:
        model(numpy_impl.tensor(x)).sum().backward()
    else:
        model(x)
        model.backward(x)
        model(x)
    assert len(pickle.dumps(model)) < fresh + 200
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert all(p.grad is None for p in other.parameters())
        with pytest.raises(RuntimeError, match="without a forward"):
            other.backward(x)
        assert_same(other(X), model(X))
        other.backward(G)


def composite_at_module_level() -> nn.Module:
    return nn.Sequential(Saving(), nn.Tanh())


# -- threads ---------------------------------------------------------------------------------------


def in_threads(work: Callable[[int], None], count: int = 4) -> None:
    errors: list[BaseException] = []

    def guarded(i: int) -> None:
        try:
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.fixture
def _switching() -> Iterator[None]:
    """Threads take turns every few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


SHARED = ["linear", "saving", "naive", "super both", "composite", "of calls", "unregistered"]


def shared_model(kind: str) -> Any:
    if kind in UNITS and kind != "composite":
        return UNITS[kind](numpy_impl)
    unit = nn.Sequential(Naive(), linear(numpy_impl))
    return AROUND[kind](numpy_impl, unit)


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.usefixtures("_switching")
def test_threads_that_train_one_model_get_their_own_gradients(kind) -> None:
    model = shared_model(kind)
    wanted = []
    for i in range(4):
        x = numpy_impl.tensor(X * (i + 1), requires_grad=True)
        model(x).backward(G)
        wanted.append((x.grad, [p.grad for p in parameters(model)]))
        for p in parameters(model):
            p.grad = None

    def work(i: int) -> None:
        for _ in range(30):
            x = numpy_impl.tensor(X * (i + 1), requires_grad=True)
            model(x).backward(G)
            assert_same(x.grad, wanted[i][0])

    in_threads(work)
    for j, p in enumerate(parameters(model)):
        np.testing.assert_allclose(p.grad, 30 * sum(w[1][j] for w in wanted), rtol=1e-9)


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.usefixtures("_switching")
def test_threads_that_call_one_model_under_no_grad_or_train_two(kind) -> None:
    model = shared_model(kind)
    models = [copy.deepcopy(model) for _ in range(4)]
    wanted = [model(X * (i + 1)) for i in range(4)]
    grads = [(m(X * (i + 1)), m.backward(G))[1] for i, m in enumerate(models)]

    def work(i: int) -> None:
        for _ in range(30):
            with numpy_impl.no_grad():
                assert_same(model(X * (i + 1)), wanted[i])
            models[i](X * (i + 1))
            assert_same(models[i].backward(G), grads[i])

    in_threads(work)


# -- hooks of modules ------------------------------------------------------------------------------


def hooked(world: Any, around: str) -> tuple[Any, Any]:
    unit = linear(world)
    return AROUND[around](world, unit), unit


@pytest.mark.filterwarnings("ignore:Full backward hook is firing when gradients are computed")
@pytest.mark.parametrize("style", ["arrays", "tensors", "frozen input"])
@pytest.mark.parametrize("around", ["alone", "sequential", "of calls once"])
def test_module_hooks_see_torch_s_values(style, around) -> None:
    seen: dict[Any, list] = {}
    for world in (numpy_impl, torch):
        unit = linear(world)
        if around == "alone":
            model = unit
        elif around == "sequential":
            model = world.nn.Sequential(world.nn.Tanh(), world.nn.Sequential(unit), world.nn.Tanh())
        else:

            class Net(world.nn.Module):
                def __init__(self, unit) -> None:
                    super().__init__()
                    self.unit = unit

                def forward(self, x):
                    return self.unit(x * 2) + x

            model = Net(unit)
        if world is numpy_impl:
            ours = model
        else:
            copy_weights(ours, model)
        log: list = []

        def array(value):
            if isinstance(value, tuple):
                return tuple(array(part) for part in value)
            if isinstance(value, torch.Tensor):
                value = value.detach().numpy().copy()
            return None if value is None else np.array(getattr(value, "data", value))

        def record(name, log=log):
            return lambda module, *args: log.append((name, [array(a) for a in args]))

        def fivefold(module, grad_input, grad_output):
            return tuple(g if g is None else g * 5 for g in grad_input)

        handles = [
            unit.register_forward_pre_hook(record("pre")),
            unit.register_forward_pre_hook(lambda m, x: (x[0] * 3,), prepend=True),
            unit.register_forward_hook(record("post")),
            unit.register_forward_hook(lambda m, x, y: y * 2),
            unit.register_full_backward_hook(record("back")),
            unit.register_full_backward_hook(fivefold),
            unit.register_full_backward_pre_hook(record("back pre")),
            unit.register_full_backward_pre_hook(lambda m, go: (go[0] * 7,), prepend=True),
        ]  # fmt: skip
        if model is not unit:
            handles.append(model.register_full_backward_hook(record("outer")))
        for _ in range(2):
            if world is torch:
                x = torch.tensor(X, requires_grad=style != "frozen input")
                model(x).backward(torch.tensor(G))
                result = x.grad
            elif style == "arrays":
                model(X)
                result = model.backward(G)
            else:
                x = numpy_impl.tensor(X, requires_grad=style != "frozen input")
                model(x).backward(G)
                result = x.grad
            log.append(("result", [array(result)]))
            log.append(("weight", [array(unit.weight.grad)]))
            for handle in handles:
                handle.remove()
        seen[world] = log
    assert [name for name, _ in seen[numpy_impl]] == [name for name, _ in seen[torch]]
    for (name, mine), (_, twin) in zip(seen[numpy_impl], seen[torch], strict=True):
        assert_same(mine, twin, name)


def test_hooks_with_keyword_arguments() -> None:
    results = []
    for world in (numpy_impl, torch):

        class Net(world.nn.Module):
            def forward(self, x, scale=1.0):
                return x * scale

        net = Net()
        net.register_forward_pre_hook(
            lambda m, args, kwargs: (args, {"scale": kwargs["scale"] * 2}), with_kwargs=True
        )
        net.register_forward_hook(
            lambda m, args, kwargs, out: out + kwargs["scale"], with_kwargs=True
        )
        results.append(net(world.tensor(X), scale=3.0))
    assert_same(*results)
