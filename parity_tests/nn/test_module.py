"""Module, Parameter: what every layer inherits."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from torch_ref.convert import copy_weights, to_numpy


def net(nn, extra: bool = False):
    """The same tree in both worlds: nesting, a shared module, buffers, a missing bias."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 4, bias=False)
            self.norm = nn.BatchNorm1d(4)
            self.again = self.first
            self.nothing = None

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()
            self.items = nn.ModuleList([nn.Linear(4, 2), nn.ReLU()])
            self.named = nn.ModuleDict({"a": nn.Linear(2, 2)})
            self.body = nn.Sequential(nn.Flatten(), nn.Dropout(0.3))

    return Net()


OURS, TWIN = net(nn), net(torch.nn)


@pytest.mark.parametrize(
    "walk",
    [
        lambda m: [name for name, _ in m.named_parameters()],
        lambda m: [name for name, _ in m.named_parameters(recurse=False)],
        lambda m: [name for name, _ in m.named_parameters(prefix="x")],
        lambda m: [name for name, _ in m.named_parameters(remove_duplicate=False)],
        lambda m: [name for name, _ in m.named_buffers()],
        lambda m: [name for name, _ in m.named_modules()],
        lambda m: [name for name, _ in m.named_modules(remove_duplicate=False)],
        lambda m: [name for name, _ in m.named_children()],
        lambda m: [type(child).__name__ for child in m.children()],
        lambda m: [type(child).__name__ for child in m.block.children()],
        lambda m: [type(module).__name__ for module in m.modules()],
        lambda m: len(list(m.parameters())),
        lambda m: len(list(m.buffers())),
        lambda m: list(m.state_dict()),
        lambda m: {key: tuple(value.shape) for key, value in m.state_dict().items()},
        lambda m: repr(m),
        lambda m: type(m.get_submodule("items.0")).__name__,
        lambda m: [module.training for module in m.eval().modules()],
        lambda m: [module.training for module in m.train().modules()],
    ],
)
def test_the_tree_is_torch_s(walk) -> None:
    assert walk(OURS) == walk(TWIN)


def test_apply_visits_in_torch_s_order() -> None:
    seen = {}
    for module in (OURS, TWIN):
        names = []
        module.apply(lambda m, names=names: names.append(type(m).__name__))
        seen[module is OURS] = names
    assert seen[True] == seen[False]


def test_state_dict_is_live_as_in_torch() -> None:
    layer = nn.Linear(2, 2)
    state = layer.state_dict()
    layer.weight.data += 1
    np.testing.assert_array_equal(state["weight"], layer.weight.data)


def test_load_state_dict_copies_in_place() -> None:
    source, target = net(nn), net(nn)
    array = target.block.first.weight.data
    assert target.load_state_dict(source.state_dict()) == ([], [])
    assert target.block.first.weight.data is array
    for key, value in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[key], value)
        assert not np.shares_memory(target.state_dict()[key], value)


def test_load_state_dict_keeps_the_dtype() -> None:
    layer = nn.Linear(2, 2)
    layer.load_state_dict({"weight": np.ones((2, 2)), "bias": np.zeros(2)})
    assert layer.weight.dtype == np.float32


def test_load_state_dict_names_every_fault_and_changes_nothing() -> None:
    layer = nn.Linear(2, 3)
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(
        RuntimeError,
        match=r"missing keys: bias; unexpected keys: gain; weight has shape \(2, 2\), "
        r"the model needs \(3, 2\)",
    ):
        layer.load_state_dict({"weight": np.ones((2, 2)), "gain": np.ones(1)})
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_load_state_dict_that_is_not_strict_reports() -> None:
    layer = nn.Linear(2, 2)
    keys = layer.load_state_dict({"weight": np.ones((2, 2)), "gain": np.ones(1)}, strict=False)
    assert keys.missing_keys == ["bias"]
    assert keys.unexpected_keys == ["gain"]
    np.testing.assert_array_equal(layer.weight.data, np.ones((2, 2)))


def test_weights_cross_over_in_both_directions() -> None:
    ours, twin = net(nn), net(torch.nn)
    copy_weights(ours, twin)
    for key, value in twin.state_dict().items():
        np.testing.assert_array_equal(to_numpy(value), ours.state_dict()[key])
    other = net(nn)
    copy_weights(twin, other)
    for key, value in ours.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[key], value)


def test_buffers_and_non_persistent_ones() -> None:
    for world, make in ((nn, np.zeros), (torch.nn, torch.zeros)):
        module = world.Module()
        module.register_buffer("kept", make(2))
        module.register_buffer("private", make(3), persistent=False)
        module.register_buffer("none", None)
        assert list(module.state_dict()) == ["kept"]
        assert [name for name, _ in module.named_buffers()] == ["kept", "private"]
        assert module.none is None


def test_members_can_be_replaced_and_deleted() -> None:
    for world in (nn, torch.nn):
        module = world.Module()
        module.layer = world.Linear(2, 2)
        module.layer = world.Linear(2, 3)
        assert module.layer.out_features == 3
        module.layer = None
        assert list(module.parameters()) == []
        module.layer = world.Linear(2, 3)
        del module.layer
        assert not hasattr(module, "layer")


def test_requires_grad_and_zero_grad() -> None:
    layer = nn.Linear(2, 2).requires_grad_(False)
    assert not any(p.requires_grad for p in layer.parameters())
    layer.requires_grad_()
    layer(np.ones((1, 2), "f"))
    layer.backward(np.ones((1, 2), "f"))
    grad = layer.weight.grad
    layer.zero_grad(set_to_none=False)
    assert layer.weight.grad is grad
    assert not grad.any()
    layer.zero_grad()
    assert layer.weight.grad is None


def test_casting() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).double()
    dtypes = {key: value.dtype for key, value in module.state_dict().items()}
    assert dtypes.pop("1.num_batches_tracked") == np.int64
    assert set(dtypes.values()) == {np.dtype("float64")}
    assert module.float()[0].weight.dtype == np.float32


def test_a_shared_parameter_is_listed_once_and_collects_both_gradients() -> None:
    first, second = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    model = nn.Sequential(first, second)
    assert len(list(model.parameters())) == 1
    twin = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.Linear(2, 2, bias=False))
    twin[1].weight = twin[0].weight
    copy_weights(model, twin)
    x = np.random.default_rng(0).standard_normal((3, 2)).astype("f")
    upstream = np.random.default_rng(1).standard_normal((3, 2)).astype("f")
    model(x)
    model.backward(upstream)
    twin(torch.from_numpy(x)).backward(torch.from_numpy(upstream))
    np.testing.assert_allclose(
        first.weight.grad, to_numpy(twin[0].weight.grad), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: setattr(nn.Linear(1, 1), "weight", np.ones((1, 1))), TypeError, "weight must be"),
        (lambda: setattr(nn.Sequential(nn.ReLU()), "0", 3), TypeError, "0 must be a Module"),
        (lambda: nn.Module().register_buffer("a.b", None), KeyError, "contain a dot"),
        (lambda: nn.Module().register_buffer("training", None), KeyError, "already exists"),
        (lambda: nn.Module().register_buffer("x", [1]), TypeError, "must be a NumPy array"),
        (lambda: nn.Module().add_module("x", 3), TypeError, "must be a Module or None"),
        (lambda: nn.Module().missing, AttributeError, "has no attribute 'missing'"),
        (lambda: nn.Module().get_submodule("a.b"), AttributeError, "no child 'a'"),
        (lambda: nn.Module()(1), NotImplementedError, "Module has no forward"),
        (lambda: nn.Module().train("yes"), ValueError, "mode must be a bool, got 'yes'"),
        (lambda: nn.Parameter(np.ones(2, int)), TypeError, "array of int64"),
        (lambda: nn.Parameter([1.0]), TypeError, r"got \[1.0\]"),
        (lambda: nn.Linear(1, 1).load_state_dict(3), TypeError, "must be a mapping, got 3"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_forgetting_super_init_is_explained() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"call super\(\).__init__\(\) first in Forgetful"):
        Forgetful()


def test_a_module_of_one_s_own() -> None:
    """The docstring's example, in a Sequential, against torch."""

    class Square(nn.Module):
        def forward(self, input):
            output = input * input
            self.save_for_backward(output, input)
            return output

        def backward(self, grad_output):
            grad_output, input = self.saved_for_backward(grad_output)
            return 2 * input * grad_output

    model = nn.Sequential(Square(), nn.Linear(3, 1, dtype="float64"))
    x = np.random.default_rng(0).standard_normal((4, 3))
    model(x)
    grad = model.backward(np.ones((4, 1)))
    np.testing.assert_allclose(grad, 2 * x * model[1].weight.data, rtol=1e-12)
    square = Square()
    square(x)
    with pytest.raises(ValueError, match="Square: grad_output must have the output's shape"):
        square.backward(np.ones(3))


def test_no_grad_nests_and_decorates() -> None:
    @numpy_impl.no_grad()
    def inside() -> bool:
        return numpy_impl.is_grad_enabled()

    assert not inside()
    with numpy_impl.no_grad():
        with numpy_impl.no_grad():
            pass
        assert not numpy_impl.is_grad_enabled()
    assert numpy_impl.is_grad_enabled()


def test_a_float64_upstream_does_not_promote() -> None:
    """As in torch, the upstream gradient takes the output's dtype."""
    layer = nn.Linear(2, 2)
    layer(np.ones((1, 2), "f"))
    assert layer.backward(np.ones((1, 2))).dtype == np.float32


# -- state -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [nn, torch.nn])
def test_state_dict_takes_torch_s_arguments(world) -> None:
    layer = world.Sequential(world.Linear(2, 2))
    assert list(layer.state_dict(prefix="m")) == ["m0.weight", "m0.bias"]
    mine = OrderedDict(kept=1)
    assert layer.state_dict(destination=mine, prefix="m.") is mine
    assert list(mine) == ["kept", "m.0.weight", "m.0.bias"]
    assert layer.state_dict(keep_vars=True)["0.weight"] is layer[0].weight
    assert layer.state_dict()["0.weight"] is not layer[0].weight
    with pytest.warns(FutureWarning, match="ositional"):
        assert layer.state_dict(mine, "n.") is mine
    assert "n.0.bias" in mine


def bad_entries() -> dict:
    read_only = np.zeros(2)
    read_only.flags.writeable = False
    return {
        "strings": np.array(["a", "b"]),
        "text": "ab",
        "objects": [None, None],
        "ragged": [[1], [1, 2]],
        "complex": np.zeros(2, complex),
        "too large": np.array([0, 1e300]),
        "too large negative": np.array([0, -1e39]),
        "shape": np.zeros(3),
        "0-d": np.zeros(()),
    }


@pytest.mark.parametrize("name", bad_entries())
def test_loading_is_all_or_nothing(name) -> None:
    layer = nn.Linear(2, 2)
    before = {key: value.copy() for key, value in layer.state_dict().items()}
    with pytest.raises(RuntimeError, match="bias"):
        layer.load_state_dict({"weight": np.ones((2, 2)), "bias": bad_entries()[name]})
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_loading_into_a_read_only_array_changes_nothing() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.data.copy()
    layer.bias.data.flags.writeable = False
    with pytest.raises(RuntimeError, match="bias can't be written"):
        layer.load_state_dict({"weight": np.ones((2, 2)), "bias": np.ones(2)})
    np.testing.assert_array_equal(layer.weight.data, before)


def test_what_can_be_loaded() -> None:
    layer = nn.Linear(2, 2)
    read_only = np.array([np.inf, np.nan])
    read_only.flags.writeable = False
    layer.load_state_dict({"weight": numpy_impl.ones(2, 2), "bias": read_only})
    np.testing.assert_array_equal(layer.bias.data, np.array([np.inf, np.nan], "f"))
    layer.load_state_dict({"weight": nn.Parameter(np.ones((2, 2))), "bias": np.array([1, 2])})
    assert layer.bias.dtype == np.float32
    norm = nn.BatchNorm1d(2)
    state = {**norm.state_dict(), "num_batches_tracked": np.array([7])}
    norm.load_state_dict(state)
    assert norm.num_batches_tracked == 7
    assert norm.num_batches_tracked.shape == ()


def test_assign_takes_the_arrays_themselves() -> None:
    norm = nn.BatchNorm1d(2)
    weight = norm.weight
    state = {key: value.copy() for key, value in norm.state_dict().items()}
    state["weight"] = state["weight"].astype(np.float64)
    state["bias"] = numpy_impl.tensor(state["bias"])
    norm.load_state_dict(state, assign=True)
    assert norm.weight is weight
    assert norm.weight.data is state["weight"]
    assert norm.bias.data is state["bias"].data
    assert norm.running_mean is state["running_mean"]
    with pytest.raises(RuntimeError, match="weight"):
        norm.load_state_dict({**state, "weight": np.zeros(2, int)}, assign=True)


# -- members ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [nn, torch.nn])
def test_members_by_path(world) -> None:
    model = world.Sequential(world.Sequential(world.Linear(2, 2)), world.BatchNorm1d(2))
    assert model.get_parameter("0.0.weight") is model[0][0].weight
    assert model.get_buffer("1.running_mean") is model[1].running_mean
    for wrong in (
        lambda: model.get_parameter("1.running_mean"),
        lambda: model.get_parameter("0.1.weight"),
        lambda: model.get_buffer("1.weight"),
        lambda: model.get_submodule("0.3"),
        lambda: model.set_submodule("7.0", world.ReLU()),
        lambda: model.set_submodule("9", world.ReLU(), strict=True),
    ):
        with pytest.raises(AttributeError):
            wrong()
    model.set_submodule("0.0", world.ReLU())
    assert type(model[0][0]) is world.ReLU
    with pytest.raises(ValueError, match=r"path|target|empty"):
        model.set_submodule("", world.ReLU())


@pytest.mark.parametrize("world", [nn, torch.nn])
def test_taken_names(world) -> None:
    class Holder(world.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plain = 3
            self.layer = world.Linear(1, 1)

    holder = Holder()
    for register in (
        lambda: holder.register_parameter("plain", None),
        lambda: holder.register_buffer("layer", None),
        lambda: holder.add_module("plain", None),
        lambda: holder.register_parameter("forward", None),
    ):
        with pytest.raises(KeyError, match="already exists"):
            register()
    with pytest.raises(TypeError):
        holder.layer.weight = world.ReLU()
    with pytest.raises(TypeError):
        holder.layer = 3
    holder.plain = world.Linear(1, 1)
    assert "plain" in dict(holder.named_children())


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Linear(2, 2), (3, 2)),
        (lambda: nn.Conv1d(2, 2, 1), (3, 2, 4)),
        (lambda: nn.Conv2d(2, 2, 1), (3, 2, 4, 4)),
        (lambda: nn.Conv3d(2, 2, 1), (3, 2, 4, 4, 4)),
        (lambda: nn.BatchNorm1d(2), (3, 2)),
        (lambda: nn.BatchNorm2d(2), (3, 2, 4, 4)),
    ],
)
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_deleted_parameter_is_missed(make, shape, name) -> None:
    layer = make()
    delattr(layer, name)
    assert name not in dict(layer.named_parameters())
    with pytest.raises(AttributeError, match=name):
        layer(np.ones(shape, "f"))
    with pytest.raises(AttributeError, match=name):
        delattr(layer, name)


def test_to_and_devices() -> None:
    layer = nn.Linear(2, 2)
    for same in (
        layer.to("cpu"),
        layer.to(numpy_impl.device("cpu")),
        layer.to(device="cpu", dtype=None),
        layer.cpu(),
        layer.to(layer.weight),
        layer.to("cpu", np.float32, non_blocking=True),
    ):
        assert same is layer
    assert layer.to("cpu", "float64").weight.dtype == np.float64
    assert layer.to(dtype=np.float32).bias.dtype == np.float32
    for device in ("cuda", "mps", "cuda:0"):
        with pytest.raises(RuntimeError, match="device must be"):
            layer.to(device)
    with pytest.raises(TypeError):
        layer.to(np.int64)


@pytest.mark.parametrize(
    "make",
    [
        lambda **kwargs: nn.Linear(2, 2, **kwargs),
        lambda **kwargs: nn.Conv1d(2, 2, 1, **kwargs),
        lambda **kwargs: nn.Conv2d(2, 2, 1, **kwargs),
        lambda **kwargs: nn.Conv3d(2, 2, 1, **kwargs),
        lambda **kwargs: nn.BatchNorm1d(2, **kwargs),
        lambda **kwargs: nn.BatchNorm2d(2, **kwargs),
        lambda **kwargs: nn.BatchNorm3d(2, **kwargs),
    ],
)
def test_constructors_take_the_cpu_as_device(make) -> None:
    for device in (None, "cpu", numpy_impl.device("cpu")):
        assert make(device=device, dtype="float64").weight.dtype == np.float64
    with pytest.raises(RuntimeError, match="device must be None or 'cpu', got 'cuda'"):
        make(device="cuda")


def test_gradients_added_in_place_are_refused_and_parameters_change_under_no_grad() -> None:
    layer = nn.Linear(2, 2)
    layer(numpy_impl.ones(3, 2)).sum().backward()
    array, before = layer.weight.data, layer.weight.data.copy()
    parameter = layer.weight
    with pytest.raises(RuntimeError, match="in place"):
        parameter -= 0.1 * parameter.grad
    np.testing.assert_array_equal(array, before)
    with numpy_impl.no_grad():
        for p in layer.parameters():
            p -= 0.1 * p.grad
    assert layer.weight.data is array
    np.testing.assert_allclose(array, before - np.float32(0.3), rtol=1e-6)


def test_buffers_as_attributes() -> None:
    for world, make in ((nn, np.ones), (torch.nn, torch.ones)):
        module = world.Module()
        module.mean = world.Buffer(make(2))
        module.hidden = world.Buffer(make(2), persistent=False)
        assert [name for name, _ in module.named_buffers()] == ["mean", "hidden"]
        assert list(module.state_dict()) == ["mean"]
        module.mean = make(3)
        assert module.state_dict()["mean"].shape == (3,)
