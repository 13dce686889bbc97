"""Sequential, ModuleList, ModuleDict."""

from collections import OrderedDict

import numpy as np
import pytest
import torch

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
