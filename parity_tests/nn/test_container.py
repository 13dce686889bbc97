"""Sequential, ModuleList, ModuleDict."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module
from torch_ref.convert import copy_weights


def stack(nn):
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.Tanh()),
        nn.Linear(5, 2),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("train", [True, False])
def test_a_stack_agrees_with_the_twin(dtype, train) -> None:
    ours, twin = stack(nn).to(dtype).train(train), stack(torch.nn).to(getattr(torch, dtype))
    twin.train(train)
    copy_weights(ours, twin)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 1, 4, 4)).astype(dtype)
    for result in run_module(ours, twin, [x], rng):
        result.check(tolerance(dtype, result.direction), str(train))


def test_needs_input_grad_reaches_the_first_layers() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Identity(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    x = np.random.default_rng(0).standard_normal((5, 2, 2)).astype("f")
    upstream = np.random.default_rng(1).standard_normal((5, 2)).astype("f")
    model(x)
    assert model.backward(upstream).shape == x.shape
    wanted = [p.grad for p in model.parameters()]
    model.zero_grad()
    model.needs_input_grad_(False)
    model(x)
    assert model.backward(upstream) is None
    for parameter, grad in zip(model.parameters(), wanted, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)
    model.needs_input_grad_()
    model(x)
    assert model.backward(upstream).shape == x.shape


def test_empty_sequential_is_the_identity() -> None:
    x = np.ones((2, 3), "f")
    model = nn.Sequential()
    for result in (model(x), model.backward(x)):
        np.testing.assert_array_equal(result, x)
        assert not np.shares_memory(result, x)


@pytest.mark.parametrize("nn", [nn, torch.nn])
def test_sequential_is_a_list(nn) -> None:
    model = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert len(model) == 3
    assert type(model[-1]) is nn.Sigmoid
    assert type(model[1:]) is nn.Sequential
    assert list(model[1:]._modules) == ["1", "2"]
    model[1] = nn.Identity()
    model.append(nn.Flatten())
    model.insert(0, nn.Dropout())
    model.extend([nn.ReLU()])
    del model[1]
    names = [type(module).__name__ for module in model]
    assert names == ["Dropout", "Identity", "Sigmoid", "Flatten", "ReLU"]
    assert list(model._modules) == ["0", "1", "2", "3", "4"]
    named = nn.Sequential(OrderedDict(first=nn.ReLU(), second=nn.Tanh()))
    assert type(named.second) is nn.Tanh
    with pytest.raises(IndexError):
        model[5]


@pytest.mark.parametrize("nn", [nn, torch.nn])
def test_module_list(nn) -> None:
    items = nn.ModuleList([nn.Linear(1, 2)])
    items += [nn.Linear(2, 3)]
    items.insert(0, nn.ReLU())
    assert next(name for name, _ in items.named_parameters()) == "1.weight"
    assert type(items[:2]) is nn.ModuleList
    assert len(items + nn.ModuleList([nn.Tanh()])) == 4
    assert type(items.pop(0)) is nn.ReLU
    assert len(items) == 2
    with pytest.raises(NotImplementedError):
        items(1)


@pytest.mark.parametrize("nn", [nn, torch.nn])
def test_module_dict(nn) -> None:
    items = nn.ModuleDict({"a": nn.ReLU()})
    items["b"] = nn.Linear(1, 1)
    items.update([("c", nn.Tanh())])
    assert "b" in items
    assert list(items) == list(items.keys()) == ["a", "b", "c"]
    assert [key for key, _ in items.items()] == ["a", "b", "c"]
    assert type(items.pop("a")) is nn.ReLU
    del items["b"]
    assert len(items) == 1
    assert [type(module) for module in items.values()] == [nn.Tanh]
    items.clear()
    assert len(items) == 0


WORLDS = pytest.mark.parametrize("nn", [nn, torch.nn])


def kinds(modules) -> list[str]:
    return [type(module).__name__ for module in modules]


def looks(world) -> list[str]:
    """What repr makes of equal children, and of those that only look alike."""
    block = [world.Linear(2, 2), world.ReLU()]
    return [
        repr(world.ModuleList([world.Linear(2, 2) for _ in range(3)])),
        repr(world.ModuleList([world.Linear(2, 2), world.Linear(2, 2), world.Linear(2, 3)])),
        repr(world.ModuleList([world.Linear(2, 3), world.Linear(2, 2), world.Linear(2, 2)])),
        repr(world.ModuleList()),
        repr(world.ModuleList([world.ReLU()])),
        repr(world.ModuleList([world.Sequential(*block), world.Sequential(*block)])),
        repr(world.Sequential(*[world.ReLU() for _ in range(3)])),
        repr(world.Sequential(world.Sequential(), world.Linear(1, 1), world.Linear(1, 1))),
        repr(world.Sequential(OrderedDict(a=world.ReLU(), b=world.ReLU()))),
        repr(world.ModuleDict({"a": world.ReLU(), "b": world.ReLU()})),
        repr(world.ModuleDict()),
        repr(world.ModuleDict({"x": world.ModuleList([world.ReLU(), world.ReLU()])})),
    ]


def test_looks_are_torch_s() -> None:
    assert looks(nn) == looks(torch.nn)


@WORLDS
def test_sequential_arithmetic(nn) -> None:
    a, b = nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Sigmoid())
    total = a + b
    assert type(total) is nn.Sequential
    assert kinds(total) == ["ReLU", "Tanh", "Sigmoid"]
    assert kinds(a) == ["ReLU", "Tanh"]
    assert total[0] is a[0]
    assert kinds(a * 2) == kinds(2 * a) == ["ReLU", "Tanh"] * 2
    assert (a * 2)[2] is a[0]
    same = a
    a += b
    assert same is a
    assert kinds(a) == ["ReLU", "Tanh", "Sigmoid"]
    b *= 3
    assert kinds(b) == ["Sigmoid"] * 3
    assert list(b._modules) == ["0", "1", "2"]
    assert type(a.pop(1)) is nn.Tanh
    assert list(a._modules) == ["0", "1"]
    assert type(a.pop(-1)) is nn.Sigmoid
    assert a.append(nn.Tanh()).extend([nn.ReLU()]) is a
    wrongs = [lambda: a + "x", lambda: a * 1.5, lambda: a + 3, lambda: a * 0]
    for wrong in wrongs:
        with pytest.raises((ValueError, TypeError)):
            wrong()


@WORLDS
def test_inserting_from_the_end(nn) -> None:
    items = nn.ModuleList([nn.ReLU(), nn.Tanh()])
    if nn is not torch.nn:  # KeyError there, in 2.13
        items.insert(-1, nn.Sigmoid())
    else:
        items.insert(1, nn.Sigmoid())
    assert kinds(items) == ["ReLU", "Sigmoid", "Tanh"]
    items.insert(3, nn.Flatten())
    assert kinds(items) == ["ReLU", "Sigmoid", "Tanh", "Flatten"]
    model = nn.Sequential(nn.ReLU(), nn.Tanh())
    model.insert(-1, nn.Sigmoid())
    assert kinds(model) == ["ReLU", "Sigmoid", "Tanh"]
    with pytest.raises(IndexError):
        model.insert(9, nn.ReLU())
    with pytest.raises((AssertionError, TypeError)):
        model.insert(0, 3)


@WORLDS
def test_slices_can_be_deleted(nn) -> None:
    for make in (lambda *m: nn.ModuleList(m), nn.Sequential):
        items = make(nn.ReLU(), nn.Tanh(), nn.Sigmoid(), nn.Flatten())
        del items[1:3]
        assert kinds(items) == ["ReLU", "Flatten"]
        assert list(items._modules) == ["0", "1"]
        items[-1] = nn.Tanh()
        assert kinds(items) == ["ReLU", "Tanh"]
        assert kinds(reversed(list(items))) == ["Tanh", "ReLU"]
        with pytest.raises(IndexError):
            items[2] = nn.ReLU()
        with pytest.raises(IndexError):
            del items[5]


@WORLDS
def test_more_of_module_dict(nn) -> None:
    items = nn.ModuleDict([["a", nn.ReLU()], ("b", nn.Tanh())])
    items.update(OrderedDict(c=nn.Sigmoid()))
    items.update(nn.ModuleDict({"a": nn.Flatten()}))
    assert list(items) == ["a", "b", "c"]
    assert kinds(items.values()) == ["Flatten", "Tanh", "Sigmoid"]
    for wrong in (lambda: items["missing"], lambda: items.pop("missing")):
        with pytest.raises(KeyError):
            wrong()
    with pytest.raises(TypeError):
        items.update(3)
    with pytest.raises(TypeError):
        items["d"] = 3


def test_no_grad_uses_a_call_up() -> None:
    model = nn.Sequential(nn.ReLU())
    x = np.ones((2, 2), "f")
    model(x)
    with numpy_impl.no_grad():
        assert type(model(x)) is np.ndarray
    with pytest.raises(RuntimeError, match="without a forward"):
        model.backward(x)
