"""Lazy layers: before their first forward, through it, and after it."""

import copy
import pickle

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn, optim
from numpy_impl.nn.lazy import LazyModuleMixin
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module
from torch_ref.convert import to_numpy, to_torch

LAYERS = [
    ("LazyLinear", "4", (2, 5, 3)),
    ("LazyLinear", "4, bias=False", (3,)),
    ("LazyConv1d", "4, 3", (2, 3, 7)),
    ("LazyConv2d", "4, 3, 2, 1, 1, 2", (2, 6, 7, 7)),
    ("LazyConv2d", "4, (2, 3), bias=False, padding_mode='circular', padding=1", (6, 5, 5)),
    ("LazyConv3d", "4, 2", (2, 3, 3, 4, 3)),
    ("LazyConvTranspose1d", "4, 3", (2, 3, 5)),
    ("LazyConvTranspose2d", "4, 3, 2, 1, 1, 2", (2, 6, 4, 4)),
    ("LazyConvTranspose2d", "4, 3", (6, 4, 4)),
    ("LazyConvTranspose3d", "4, 2, bias=False", (2, 3, 2, 3, 2)),
    ("LazyBatchNorm1d", "", (4, 3)),
    ("LazyBatchNorm1d", "1e-3, None", (4, 3, 5)),
    ("LazyBatchNorm2d", "bias=False", (4, 3, 2, 2)),
    ("LazyBatchNorm2d", "affine=False, track_running_stats=False", (4, 3, 2, 2)),
    ("LazyBatchNorm3d", "affine=False", (4, 3, 2, 2, 1)),
    ("LazyInstanceNorm1d", "1e-3, None", (4, 3, 5)),
    ("LazyInstanceNorm2d", "bias=False", (4, 3, 2, 2)),
    ("LazyInstanceNorm2d", "affine=False", (4, 3, 2, 2)),
    ("LazyInstanceNorm3d", "track_running_stats=False", (4, 3, 2, 2, 1)),
]
over_layers = pytest.mark.parametrize(("name", "args", "shape"), LAYERS, ids=str)


def built(world, name: str, args: str, dtype: str = "float32"):
    return eval(f"nn.{name}({args})", {"nn": world}).to(
        getattr(torch, dtype) if world is torch.nn else dtype
    )


def both(name: str, args: str, dtype: str = "float32") -> tuple:
    return built(nn, name, args, dtype), built(torch.nn, name, args, dtype)


def seeded() -> None:
    numpy_impl.manual_seed(5)
    torch.manual_seed(5)


def draw(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


@over_layers
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_forward_makes_torch_s_plain_layer(name, args, shape, dtype) -> None:
    ours, twin = both(name, args, dtype)
    assert repr(ours) == repr(twin)
    assert {key: repr(value) for key, value in ours.state_dict().items()} == {
        key: "array(0)" if "num" in key else repr(value) for key, value in twin.state_dict().items()
    }
    before = list(ours.parameters())
    x = draw(shape, dtype)
    seeded()
    ours(x)
    twin(to_torch(x))
    assert type(ours) is getattr(nn, name.removeprefix("Lazy"))
    if args != "affine=False, track_running_stats=False":  # torch's num_features stays 0 then
        assert repr(ours) == repr(twin)
    for key, value in twin.state_dict().items():
        if not key.startswith("running"):
            np.testing.assert_array_equal(ours.state_dict()[key], to_numpy(value), key)
    assert all(a is b for a, b in zip(before, ours.parameters(), strict=True))
    assert {type(p) for p in before} <= {nn.Parameter}
    assert "_arguments" not in vars(ours)
    for result in run_module(ours, twin, [x], np.random.default_rng(1)):
        result.check(tolerance(dtype, result.direction), name)


def test_the_batch_axis_may_be_left_out() -> None:
    """torch takes the positions of an unbatched input for its channels, and then refuses it."""
    lazy = nn.LazyInstanceNorm2d()
    lazy(draw((3, 4, 5)))
    assert lazy.num_features == 3
    with pytest.raises(ValueError, match="num_features"):
        torch.nn.LazyInstanceNorm2d()(torch.randn(3, 4, 5))


@over_layers
def test_a_tensor_may_be_first(name, args, shape) -> None:
    seeded()
    plain = built(nn, name, args)
    wanted = plain(draw(shape))
    seeded()
    lazy = built(nn, name, args)
    output = lazy(numpy_impl.tensor(draw(shape)))
    np.testing.assert_array_equal(output.data, wanted)
    if list(lazy.parameters()):
        output.sum().backward()
        assert all(p.grad is not None for p in lazy.parameters())


@over_layers
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_are_lazy_too(name, args, shape, copied) -> None:
    lazy = built(nn, name, args, "float64")
    twin = copied(lazy)
    assert repr(twin.state_dict()) == repr(lazy.state_dict())
    seeded()
    wanted = lazy(draw(shape, "float64"))
    assert isinstance(twin, getattr(nn, name)), "a copy is made when its model is"
    seeded()
    np.testing.assert_array_equal(twin(draw(shape, "float64")), wanted)
    assert type(copied(lazy)) is type(lazy) is type(twin)


@over_layers
@pytest.mark.parametrize("assign", [False, True])
def test_loaded_values_are_kept(name, args, shape, assign) -> None:
    full = built(nn, name, args, "float64")
    full(draw(shape, "float64"))
    lazy = built(nn, name, args)
    state = copy.deepcopy(full.state_dict())
    lazy.load_state_dict(state, assign=assign)
    assert not lazy.has_uninitialized_params()
    for key, value in lazy.state_dict().items():
        np.testing.assert_array_equal(value, np.asarray(state[key], value.dtype))
        assert value.dtype == (state[key].dtype if assign else np.dtype("f")) or value.ndim == 0
        assert assign or not np.shares_memory(value, state[key])
    seeded()
    drawn = numpy_impl.random.get_rng_state()
    lazy(draw(shape, "float64" if assign and state else "float32"))
    np.testing.assert_array_equal(numpy_impl.random.get_rng_state(), drawn)
    assert repr(lazy) == repr(full)


def test_loading_into_and_from_lazy_ones() -> None:
    lazy = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    lazy.load_state_dict(nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d()).state_dict())
    assert lazy[0].has_uninitialized_params()
    plain = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(RuntimeError, match=r"0\.weight has no values yet: its module"):
        plain.load_state_dict(lazy.state_dict())
    wrong = {**plain.state_dict(), "1.running_mean": np.array(["a"])}
    with pytest.raises(RuntimeError, match=r"1\.running_mean must hold real numbers"):
        lazy.load_state_dict(wrong)
    assert lazy[0].has_uninitialized_params(), "all or nothing"
    some = {key: value for key, value in plain.state_dict().items() if "weight" in key}
    lazy.load_state_dict(some, strict=False)
    assert repr(lazy[0].bias) == "<UninitializedParameter>"
    assert lazy(draw((4, 2))).shape == (4, 3)
    np.testing.assert_array_equal(lazy[0].weight.data, plain[0].weight.data)
    assert lazy[0].bias.shape == (3,)


def test_a_model_of_lazy_layers_trains_as_torch_s() -> None:
    def model(nn):
        return nn.Sequential(
            nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
        )

    ours, twin = model(nn).double(), model(torch.nn).double()
    x = draw((5, 3, 6, 6), "float64")
    # before the first forward, as after it
    mine = optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    theirs = torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9)
    mine.step()
    seeded()
    for _ in range(3):
        ours.zero_grad()
        twin.zero_grad()
        (ours(numpy_impl.tensor(x)) ** 2).sum().backward()
        (twin(to_torch(x)) ** 2).sum().backward()
        mine.step()
        theirs.step()
    for key, value in twin.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key], to_numpy(value), rtol=1e-9, atol=1e-11)


def test_frozen_and_moved_before_the_first_forward() -> None:
    lazy = nn.LazyLinear(3).requires_grad_(False).double()
    lazy.zero_grad()
    assert lazy.weight.dtype == np.float64
    lazy(draw((2, 4), "float64"))
    assert (lazy.weight.dtype, lazy.weight.requires_grad) == (np.float64, False)


def test_hooks_see_the_first_forward() -> None:
    seen = []
    lazy = nn.LazyLinear(3)
    lazy.register_forward_pre_hook(lambda module, inputs: seen.append(type(module)))
    lazy.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    lazy(draw((2, 4)))
    assert seen == [nn.Linear, (2, 3)]


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p + 1,
        lambda p: 2 * p,
        lambda p: p.sum(),
        lambda p: p[0],
        len,
        nn.init.zeros_,
        lambda p: np.concatenate([p.data, p.data]),
        lambda p: p.data.__setitem__(0, 1),
    ],
)
def test_a_use_of_values_that_are_not_there_is_refused(use) -> None:
    with pytest.raises(ValueError, match=r"no values before the module's first forward: call the"):
        use(nn.LazyLinear(3).weight)


@pytest.mark.parametrize(
    "use",
    [
        lambda p: p.shape,
        lambda p: p.size(),
        lambda p: p @ p,
        lambda p: p.numel(),
        lambda p: p.data.shape,
        lambda p: p.accumulate_grad(np.ones(3, "f")),
    ],
)
def test_a_use_of_the_shape_is_refused(use) -> None:
    with pytest.raises(RuntimeError, match="has no shape before the module's first forward"):
        use(nn.LazyLinear(3).weight)


def test_forward_itself_makes_nothing() -> None:
    with pytest.raises(RuntimeError, match="has no shape before"):
        nn.LazyLinear(3).forward(draw((2, 4)))


@pytest.mark.parametrize(
    ("lazy", "value", "error", "message"),
    [
        (nn.LazyLinear(3), [1.0], TypeError, "LazyLinear: input must be a NumPy array, got list"),
        (nn.LazyLinear(3), np.ones(3, int), TypeError, "input must be float32 or float64, got"),
        (nn.LazyLinear(3), np.ones((), "f"), ValueError, "input must have an axis of features"),
        (nn.LazyConv2d(4, 3), np.ones((2, 3), "f"), ValueError, "LazyConv2d: input must be 3-d"),
        (nn.LazyConv2d(4, 3, groups=2), np.ones((1, 3, 5, 5), "f"), ValueError, "by groups=2, got"),
        (nn.LazyConvTranspose1d(4, 3), np.ones(3, "f"), ValueError, "input must be 2-d or 3-d"),
        (nn.LazyBatchNorm2d(), np.ones((2, 3), "f"), ValueError, "LazyBatchNorm2d: input must be"),
    ],
)
def test_a_first_input_that_does_not_fit_changes_nothing(lazy, value, error, message) -> None:
    kind, looks = type(lazy), repr(lazy)
    with pytest.raises(error, match=message):
        lazy(value)
    assert (type(lazy), repr(lazy), lazy.has_uninitialized_params()) == (kind, looks, True)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: nn.LazyLinear(-1), ValueError, "LazyLinear: out_features must not be negative"),
        (lambda: nn.LazyConv2d(4, 3, groups=3), ValueError, "out_channels must be divisible"),
        (lambda: nn.LazyConv2d(4, 0), ValueError, "kernel_size must be at least 1, got 0"),
        (lambda: nn.LazyBatchNorm1d(dtype="int64"), TypeError, "dtype must be float32 or float64"),
        (lambda: nn.UninitializedParameter(device="cuda"), RuntimeError, "cuda"),
    ],
)
def test_wrong_arguments(build, error, message) -> None:
    with pytest.raises(error, match=message):
        build()


class Scale(LazyModuleMixin, nn.Module):
    """A module of somebody's own that stays what it is."""

    made = 0

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.UninitializedParameter()

    def initialize_parameters(self, input) -> None:
        self.made += 1
        self.factor.materialize(input.shape[-1:])
        nn.init.ones_(self.factor)

    def forward(self, input):
        return input * self.factor


def test_a_lazy_module_of_ones_own() -> None:
    scale = Scale()
    for _ in range(2):
        np.testing.assert_array_equal(scale(draw((2, 3))), draw((2, 3)))
    assert (type(scale), scale.made) == (Scale, 1)
    assert scale.backward(np.ones((2, 3), "f")).shape == (2, 3)
    np.testing.assert_allclose(scale.factor.grad, draw((2, 3)).sum(0), rtol=1e-6)


class Forgetful(Scale):
    def initialize_parameters(self, input) -> None:
        pass


def test_what_is_not_made_is_told() -> None:
    with pytest.raises(RuntimeError, match="Forgetful: initialize_parameters must give every"):
        Forgetful()(draw((2, 3)))
    with pytest.raises(NotImplementedError, match="has no initialize_parameters"):
        type("Bare", (Scale,), {"initialize_parameters": LazyModuleMixin.initialize_parameters})()(
            draw((2, 3))
        )
