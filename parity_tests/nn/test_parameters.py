"""ParameterList and ParameterDict, the same steps in both worlds."""

import copy
import pickle
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn

WORLDS = pytest.mark.parametrize("world", [numpy_impl, torch])


def values(module) -> list[tuple]:
    return [(name, float(p.detach().sum())) for name, p in module.named_parameters()]


@WORLDS
def test_a_list(world) -> None:
    params = world.nn.ParameterList([world.ones(2), world.nn.Parameter(world.ones(3))])
    params.append(world.ones(4)).extend([world.ones(5), "a word"])
    params += (world.ones(6),)
    assert len(params) == 6
    assert params[4] == "a word"
    assert values(params) == [("0", 2), ("1", 3), ("2", 4), ("3", 5), ("5", 6)]
    assert list(params.state_dict()) == ["0", "1", "2", "3", "5"]
    assert params[-1] is params[5]
    params[-6] = world.ones(7)
    assert values(params)[0] == ("0", 7)
    assert type(params[0]) is world.nn.Parameter
    assert type(params[1:3]) is world.nn.ParameterList
    assert params[1:3][1] is params[2]
    assert [p is q for p, q in zip(params, params[::1], strict=True)] == [True] * 6
    for wrong in (lambda: params[6], lambda: params.__setitem__(-7, 1)):
        with pytest.raises(IndexError):
            wrong()
    for wrong in (lambda: params.extend(world.ones(2)), lambda: params.extend(3)):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(TypeError):
        params[0] = "no parameter"
    with pytest.raises(RuntimeError):
        params(1)


@WORLDS
def test_a_buffer_becomes_a_parameter(world) -> None:
    buffer = world.nn.Buffer(world.ones(2))
    for params in (world.nn.ParameterList([buffer]), world.nn.ParameterDict({"0": buffer})):
        assert values(params) == [("0", 2)]
        assert not list(params.buffers())


@WORLDS
def test_a_dictionary(world) -> None:
    params = world.nn.ParameterDict({"b": world.ones(2), "a": world.ones(3)})
    assert values(params) == [("a", 3), ("b", 2)]
    params["c"] = world.ones(4)
    params.update([("e", world.ones(5)), ["d", world.ones(6)]])
    params.update(OrderedDict(g=world.ones(1), f="a word"))
    assert list(params) == list(params.keys()) == ["a", "b", "c", "e", "d", "g", "f"]
    assert list(reversed(params)) == list(params)[::-1]
    assert list(params.state_dict()) == ["a", "b", "c", "e", "d", "g"]
    assert params.popitem() == ("f", "a word")
    assert float(params.pop("g").detach().sum()) == 1
    del params["e"]
    assert "e" not in params
    assert len(params) == 4
    assert params.get("e") is None
    assert params.get("a", 1) is params["a"]
    assert params.setdefault("a", 1) is params["a"]
    assert float(params.setdefault("h", world.ones(8)).detach().sum()) == 8
    assert type(params["h"]) is world.nn.Parameter
    other = params.copy()
    assert other["a"] is params["a"]
    union = other | world.nn.ParameterDict({"a": world.ones(9), "z": world.ones(1)})
    assert values(union)[0] == ("a", 9)
    assert values(union)[-1] == ("z", 1)
    assert [key for key, _ in params.items()] == list(params)
    assert [v is params[k] for k, v in zip(params, params.values(), strict=True)] == [True] * 5
    other |= {"y": world.ones(1)}
    assert list(other)[-1] == "y"
    assert list(params.fromkeys(["x", "w"], 3).items()) == [("x", 3), ("w", 3)]
    params.clear()
    assert len(params) == 0
    assert values(params) == []
    for wrong in (lambda: params.pop("a"), lambda: params.__delitem__("a"), params.popitem):
        with pytest.raises((KeyError, AttributeError)):
            wrong()
    for wrong in (lambda: params.update(3), lambda: params.__setitem__(1, world.ones(1))):
        with pytest.raises(TypeError):
            wrong()
    with pytest.raises(RuntimeError):
        params(1)


def looks(world) -> list[str]:
    tensors = [world.ones(2), world.ones((2, 3))]
    lists = [world.nn.ParameterList(v) for v in ([], tensors[:1], tensors, [*tensors, "a word"])]
    dicts = [world.nn.ParameterDict(v) for v in ({}, {"a": tensors[0]}, {"a": tensors[1], "b": 3})]
    return [repr(m) for m in (*lists, *dicts, world.nn.ModuleList([lists[2], dicts[2]]))]


def test_looks_are_torch_s_but_for_the_dtype() -> None:
    theirs = [re.sub(r"torch\.(float32|FloatTensor)", "float32", look) for look in looks(torch)]
    assert looks(numpy_impl) == theirs


def test_they_train_nest_and_are_copied() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ParameterList([np.full(2, 2.0), np.full(2, 3.0)])
            self.named = nn.ParameterDict({"in": nn.ParameterList([np.ones(2)])})

        def forward(self, x):
            for step in self.steps:
                x = x * step
            return x * self.named["in"][0]

    net = Net()
    assert list(net.state_dict()) == ["steps.0", "steps.1", "named.in.0"]
    net(np.full(2, 5.0))
    net.backward(np.ones(2))
    grads = [p.grad.tolist() for p in net.parameters()]
    assert grads == [[15, 15], [10, 10], [30, 30]]
    steps = pickle.loads(pickle.dumps(copy.deepcopy(net.steps)))
    assert len(steps) == 2
    net.steps.load_state_dict({"0": np.zeros(2), "1": np.ones(2)})
    assert steps[0].data.tolist() == [2, 2]
    assert net.steps[0].data.tolist() == [0, 0]
    assert net.float().steps[1].dtype == np.float32
