"""Modules from one world to the other and back: classes, state, mode, sharing, output."""

import importlib
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.nn.test_torch_samples import WITH_SAMPLES, call_arguments, samples
from parity_tests.tolerances import tolerance
from torch_ref import redirect
from torch_ref.compare import run_module
from torch_ref.convert import from_torch, to_numpy, to_torch
from torch_ref.vision import import_torchvision

models = import_torchvision().models


def assert_same(ours: nn.Module, twin: torch.nn.Module) -> None:
    """The same tree, with the same parameters and buffers."""
    assert repr(ours) == repr(twin)
    assert ours.training == twin.training
    found, wanted = ours.state_dict(), twin.state_dict()
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], to_numpy(value), key, strict=True)
    frozen = {name for name, p in twin.named_parameters() if not p.requires_grad}
    assert {name for name, p in ours.named_parameters() if not p.requires_grad} == frozen
    assert [name for name, _ in ours.named_buffers()] == [name for name, _ in twin.named_buffers()]


# what both say where nested tensors are of no use
@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:LinearCrossEntropyLoss")
@pytest.mark.parametrize("name", [name for name in WITH_SAMPLES if not name.startswith("Lazy")])
def test_torch_s_samples_both_ways(name) -> None:
    for sample in samples(name, "float64", True)[:40]:
        given = sample.constructor_input
        twin = getattr(torch.nn, name)(*given.args, **given.kwargs).double()
        ours = from_torch(twin)
        assert type(ours) is getattr(nn, name)
        assert_same(ours, twin)
        back = to_torch(ours)
        assert type(back) is type(twin)
        assert_same(ours, back)
    if not name.endswith("Loss"):  # the last one's output, which shows every argument
        inputs, options = call_arguments(twin, sample)
        seeded()
        results = run_module(ours, twin, inputs, np.random.default_rng(0), options)
        for result in results:
            result.check(tolerance("float64", result.direction), name)


def seeded() -> None:
    numpy_impl.manual_seed(3)
    torch.manual_seed(3)


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("resnet18", {}, 64),
        ("mobilenet_v2", {}, 64),
        ("squeezenet1_1", {}, 64),
        ("shufflenet_v2_x0_5", {}, 64),
        ("swin_t", {}, 64),
        ("vit_b_32", {"image_size": 64}, 64),
    ],
)
def test_torchvision_s_networks_both_ways(name, options, size) -> None:
    torch.manual_seed(0)
    twin = getattr(models, name)(num_classes=10, **options).eval()
    for parameter in list(twin.parameters())[:3]:
        parameter.requires_grad_(False)
    ours = from_torch(twin)
    assert type(ours).__name__ == type(twin).__name__
    assert isinstance(ours, nn.Module)
    assert_same(ours, twin)
    back = to_torch(ours)
    assert type(back) is type(twin)
    images = np.random.default_rng(0).standard_normal((2, 3, size, size)).astype("f")
    with torch.no_grad():
        wanted = to_numpy(twin(torch.tensor(images)))
        np.testing.assert_array_equal(to_numpy(back(torch.tensor(images))), wanted)
    scale = max(np.abs(wanted).max(), 1e-6)
    np.testing.assert_allclose(ours(images), wanted, rtol=0, atol=1e-4 * scale)


def vgg() -> torch.nn.Module:
    """VGG's own class, with a small classifier in place of one of 120 million weights."""
    module = models.vgg
    network = module.VGG(module.make_layers([8, "M", 16], batch_norm=True), 10, init_weights=False)
    network.classifier = torch.nn.Sequential(torch.nn.Linear(16 * 49, 10))
    return network


def test_vgg() -> None:
    twin = vgg().eval()
    ours = from_torch(twin)
    assert_same(ours, twin)
    images = np.random.default_rng(0).standard_normal((2, 3, 20, 20)).astype("f")
    wanted = to_numpy(twin(torch.tensor(images)))
    np.testing.assert_allclose(ours(images), wanted, rtol=1e-4, atol=1e-4)


def test_nested_containers() -> None:
    inner = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Sequential(torch.nn.ReLU()))
    twin = torch.nn.ModuleDict(
        {"list": torch.nn.ModuleList([inner, torch.nn.Dropout(0.3)]), "norm": torch.nn.LayerNorm(3)}
    )
    twin["list"][1].eval()
    ours = from_torch(twin.double())
    assert_same(ours, twin)
    assert not ours["list"][1].training
    assert_same(from_torch(to_torch(ours)), twin)


def test_what_is_shared_stays_shared() -> None:
    linear = torch.nn.Linear(3, 3)
    twin = torch.nn.Sequential(linear, torch.nn.ReLU(), linear, torch.nn.Linear(3, 3))
    twin[3].weight = linear.weight
    ours = from_torch(twin)
    assert ours[0] is ours[2]
    assert ours[3].weight is ours[0].weight
    back = to_torch(ours)
    assert back[0] is back[2]
    assert back[3].weight is back[0].weight
    assert len(list(back.parameters())) == 3


def test_functions_and_shared_buffers() -> None:
    twin = torch.nn.Sequential(torch.nn.ReLU())
    twin.function, twin.table = torch.relu, {"F": torch.nn.functional.softplus, "round": [twin]}
    shared = torch.ones(2)
    twin.register_buffer("one", shared)
    twin.register_buffer("other", shared, persistent=False)
    ours = from_torch(twin)
    assert ours.function is numpy_impl.relu
    assert ours.table == {"F": nn.functional.softplus, "round": [ours]}
    assert ours.one is ours.other
    assert list(ours.state_dict()) == ["one"]


PROGRAM = """
import torch
from torch import nn


def twice(x):
    return torch.cat([x, x], 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.stretch = nn.Linear(3, 4), twice

    def forward(self, x):
        return self.stretch(torch.tanh(self.body(x)))
"""


def test_a_class_of_one_s_own(tmp_path, monkeypatch) -> None:
    (tmp_path / "own_program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(redirect.executed, "own_program", raising=False)
    twin = importlib.import_module("own_program").Net().double()
    ours = from_torch(twin)
    assert_same(ours, twin)
    x = np.random.default_rng(0).standard_normal((2, 3))
    wanted = to_numpy(twin(torch.tensor(x)))
    np.testing.assert_allclose(ours(x), wanted, rtol=1e-9)
    np.testing.assert_array_equal(to_numpy(to_torch(ours)(torch.tensor(x))), wanted)


def test_lists_of_parameters() -> None:
    twin = torch.nn.ParameterDict(
        {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.nn.ParameterList([torch.zeros(3)])}
    )
    ours = from_torch(twin)
    back = to_torch(ours)
    assert list(ours.state_dict()) == list(twin.state_dict()) == list(back.state_dict())
    for key, value in twin.state_dict().items():  # torch's repr names its kinds of tensor
        np.testing.assert_array_equal(ours.state_dict()[key], to_numpy(value))
        assert torch.equal(back.state_dict()[key], value)


def test_memory_is_its_own() -> None:
    twin = torch.nn.BatchNorm1d(3)
    ours = from_torch(twin)
    ours.weight.data[...] = 7
    ours.running_mean[...] = 7
    assert (twin.weight == 1).all()
    assert (twin.running_mean == 0).all()
    back = to_torch(ours)
    back.running_mean.zero_()
    assert (ours.running_mean == 7).all()


def test_random_streams_stay_where_they_are() -> None:
    linear = torch.nn.Linear(3, 4)
    seeded()
    to_torch(from_torch(linear))
    found = numpy_impl.rand(5).data, to_numpy(torch.rand(5))
    seeded()
    np.testing.assert_array_equal(found[0], numpy_impl.rand(5).data)
    np.testing.assert_array_equal(found[1], to_numpy(torch.rand(5)))


def hooked() -> torch.nn.Module:
    module = torch.nn.Linear(2, 2)
    module.register_forward_hook(lambda *_: None)
    return module


def own_forward() -> torch.nn.Module:
    module = torch.nn.Linear(2, 2)
    module.forward = lambda x: x
    return module


def of_the_program() -> torch.nn.Module:
    cls = type("Net", (torch.nn.Module,), {"__module__": "__main__"})
    return cls()


def with_method() -> torch.nn.Module:
    module = torch.nn.Sequential(torch.nn.ReLU())
    module.later = module.double
    return module


def with_class() -> torch.nn.Module:
    module = torch.nn.Sequential(torch.nn.ReLU())
    module.kind = torch.nn.DataParallel
    return module


def local() -> torch.nn.Module:
    class Net(torch.nn.Module):
        pass

    return Net()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (hooked, r"0 \(Linear\) has hooks"),
        (own_forward, r"0 \(Linear\) has a forward of its own"),
        (of_the_program, r"0 \(Net\): its class stands in the program itself"),
        (with_method, r"0 \(Sequential\): later is a bound method, Module.double"),
        (with_class, r"0 \(Sequential\): kind is DataParallel: there is no DataParallel"),
        (lambda: torch.nn.Linear(2, 2).bfloat16(), r"0 \(Linear\) holds torch.bfloat16"),
        (local, r"0 \(Net\): its class is defined inside a function or class"),
        (partial(torch.nn.LazyLinear, 3), r"0 \(LazyLinear\) is lazy: call it once first"),
        (
            partial(torch.nn.DataParallel, torch.nn.ReLU()),
            r"0 \(DataParallel\): there is no DataParallel",
        ),
    ],
)
def test_what_can_t_be_converted_is_named(make, message) -> None:
    with pytest.raises(TypeError, match=f"can't be converted: {message}"):
        from_torch(torch.nn.Sequential(make()))


def test_every_problem_is_named_at_once() -> None:
    with pytest.raises(TypeError, match=r"0 \(Linear\) has hooks; 1 \(Net\): its class"):
        from_torch(torch.nn.Sequential(hooked(), local()))


def test_arrays_go_as_before() -> None:
    value: Any = (np.ones(2, "f"), None)
    tensor, nothing = to_torch(value)
    assert isinstance(tensor, torch.Tensor)
    assert nothing is None
