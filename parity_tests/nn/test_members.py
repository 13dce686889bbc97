"""What a module owns lies in plain attributes, and torch's registries are views of them."""

import copy
import pickle

import numpy as np
import pytest
import torch

from numpy_impl import nn
from numpy_impl.nn.checks import name_owner

WORLDS = pytest.mark.parametrize("world", [nn, torch.nn], ids=["numpy", "torch"])


def test_members_are_plain_attributes() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert vars(model)["0"] is model[0]
    assert vars(model[0])["weight"] is model[0].weight
    assert vars(model[1])["running_mean"] is model[1].running_mean


@WORLDS
def test_registries_can_be_read_and_changed(world) -> None:
    layer = world.BatchNorm1d(3)
    assert list(layer._parameters) == ["weight", "bias"]
    assert list(layer._buffers) == ["running_mean", "running_var", "num_batches_tracked"]
    assert len(layer._modules) == 0
    assert "weight" in layer._parameters
    assert "running_mean" not in layer._parameters
    weight = world.Parameter(layer.weight.data + 1)
    layer._parameters["weight"] = weight
    assert layer.weight is weight
    layer._parameters["bias"] = None
    assert layer.bias is None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    del layer._buffers["running_var"]
    assert not hasattr(layer, "running_var")
    assert layer._buffers.pop("running_mean") is not None
    assert list(layer.state_dict()) == ["weight", "num_batches_tracked"]
    with pytest.raises(KeyError):
        del layer._parameters["running_var"]
    with pytest.raises(KeyError):
        layer._parameters["num_batches_tracked"]


def test_the_order_is_that_of_the_first_assignment() -> None:
    layer = nn.Module()
    layer.b, layer.a = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(2))
    layer.b = nn.Parameter(np.ones(3))
    assert [name for name, _ in layer.named_parameters()] == ["b", "a"]
    layer.b = None
    layer.b = nn.Parameter(np.ones(4))
    assert [name for name, _ in layer.named_parameters()] == ["b", "a"]
    del layer.b
    layer.b = nn.Parameter(np.ones(5))
    assert [name for name, _ in layer.named_parameters()] == ["a", "b"]


@WORLDS
def test_an_attribute_becomes_a_member_and_a_member_another_kind(world) -> None:
    layer = world.Module()
    layer.part = 3
    layer.part = world.Linear(1, 1)
    assert dict(layer.named_children()).keys() == {"part"}
    layer.part = world.Parameter(world.Linear(1, 1).weight.data)
    assert not list(layer.children())
    assert [name for name, _ in layer.named_parameters()] == ["part"]
    with pytest.raises(TypeError, match="part"):
        layer.part = 3
    with pytest.raises(TypeError):
        layer.part = world.Linear(1, 1)


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_s_members_are_its_own(copied) -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    other = copied(model)
    other.add_module("extra", nn.ReLU())
    other[0] = nn.Identity()
    assert [name for name, _ in model.named_modules()] == ["", "0"]
    assert type(model[0]) is nn.Linear
    assert [name for name, _ in other.named_modules()] == ["", "0", "extra"]


@WORLDS
def test_a_wrapper_that_falls_back_to_its_module(world) -> None:
    class Wrapper(world.Module):
        def __init__(self, module) -> None:
            super().__init__()
            self.module = module

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.module, name)

    wrapper = Wrapper(world.Linear(2, 5))
    assert wrapper.out_features == 5
    assert list(wrapper.state_dict()) == ["module.weight", "module.bias"]
    with pytest.raises(AttributeError, match="nothing"):
        wrapper.nothing  # noqa: B018


@WORLDS
def test_plain_attributes_may_come_before_the_constructor_of_the_base(world) -> None:
    class Early(world.Module):
        def __init__(self) -> None:
            self.width = 3
            super().__init__()
            self.layer = world.Linear(self.width, 1)

    assert Early().layer.in_features == 3


def test_errors_name_the_layer_once() -> None:
    class Mine(nn.Conv2d):
        pass

    for make, name in ((nn.Conv2d, "Conv2d"), (Mine, "Mine")):
        with pytest.raises(TypeError, match=rf"^{name}: kernel_size must be"):
            make(1, 1, "three")
        with pytest.raises(ValueError, match=rf"^{name}: input must be 3-d or 4-d"):
            nn.Sequential(nn.Sequential(make(1, 1, 3)))(np.ones((2, 2), "f"))
    with pytest.raises(ValueError, match=r"^conv2d: input must be 3-d or 4-d"):
        nn.functional.conv2d(np.ones((2, 2), "f"), np.ones((1, 1, 1, 1), "f"))


def test_errors_of_a_user_s_layer_are_left_alone() -> None:
    class Refuses(nn.Module):
        def forward(self, input):
            raise ValueError("no")

        def backward(self, grad_output):
            return grad_output

    with pytest.raises(ValueError, match=r"^no$"):
        Refuses()(np.ones(3))


def test_a_layer_within_a_layer_names_itself_alone() -> None:
    error = ValueError("input must be 2-d")
    name_owner(error, "Linear")
    name_owner(error, "TransformerEncoderLayer")
    assert str(error) == "Linear: input must be 2-d"
