"""BatchNorm1d, BatchNorm2d, BatchNorm3d."""

import numpy as np
import pytest
import torch

from numpy_impl import nn
from numpy_impl.kernels import channels
from parity_tests.cases import DTYPES, Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import copy_weights


def far_from_zero(rng: np.random.Generator) -> np.ndarray:
    return 100 + rng.standard_normal((8, 3, 5, 5))


CASES = [
    Case("BatchNorm1d", "5", (6, 5)),
    Case("BatchNorm1d", "5", (6, 5, 7), "with positions"),
    Case("BatchNorm1d", "5", (1, 5, 7), "one sample, several positions"),
    Case("BatchNorm1d", "5, eps=0.1, momentum=0.7", (6, 5)),
    Case("BatchNorm1d", "5", (6, 5), train=False),
    Case("BatchNorm2d", "3", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3", (4, 3, 5, 6), train=False),
    Case("BatchNorm2d", "3", (0, 3, 5, 6), "empty batch", train=False),
    Case("BatchNorm1d", "3", (0, 3), "empty batch"),
    Case("BatchNorm1d", "3", (2, 3, 0), "no positions"),
    Case("BatchNorm2d", "3", (0, 3, 5, 6), "empty batch"),
    Case("BatchNorm2d", "3, momentum=None", (0, 3, 5, 6), "empty batch"),
    Case("BatchNorm2d", "3, track_running_stats=False", (0, 3, 2, 2), "empty batch", train=False),
    Case("BatchNorm3d", "3", (0, 3, 2, 4, 3), "empty batch"),
    Case("BatchNorm1d", "0, affine=False", (4, 0), "no channels"),
    Case("BatchNorm1d", "5, eps=0.0", (6, 5), "no eps", train=False),
    Case("BatchNorm2d", "3, affine=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3, affine=False", (4, 3, 5, 6), train=False),
    Case("BatchNorm2d", "3, bias=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3, track_running_stats=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "3, track_running_stats=False", (4, 3, 5, 6), train=False),
    Case("BatchNorm2d", "3, momentum=None", (4, 3, 5, 6), "plain average"),
    Case("BatchNorm2d", "3, affine=False, track_running_stats=False", (4, 3, 5, 6)),
    Case("BatchNorm2d", "16", (32, 16, 14, 14), "long sums"),
    Case("BatchNorm2d", "3", far_from_zero, "mean far above the deviation"),
    Case("BatchNorm3d", "3", (2, 3, 2, 4, 3)),
    Case("BatchNorm3d", "3", (2, 3, 2, 4, 3), train=False),
]


class TestBatchNorm(ModuleParity):
    cases = CASES


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_over_many_batches(momentum) -> None:
    ours = nn.BatchNorm1d(4, momentum=momentum, dtype="float64")
    twin = torch.nn.BatchNorm1d(4, momentum=momentum, dtype=torch.float64)
    copy_weights(ours, twin)
    rng = np.random.default_rng(0)
    for step in range(5):
        for result in run_module(ours, twin, [rng.standard_normal((6, 4)) + step], rng):
            if result.direction != "param_grad":  # those accumulate on both sides
                result.check(tolerance("float64", result.direction), f"step {step}")
    assert ours.num_batches_tracked == 5


def test_running_variance_is_the_unbiased_one() -> None:
    layer = nn.BatchNorm1d(1, momentum=1.0, dtype="float64")
    layer(np.array([[0.0], [2.0]]))
    assert layer.running_var[0] == 2.0  # 2 / (2 - 1); the biased one is 1


def test_reset() -> None:
    layer = nn.BatchNorm1d(2)
    layer(np.random.default_rng(0).standard_normal((4, 2)).astype("f"))
    layer.weight.data[...] = 3
    layer.reset_parameters()
    fresh = nn.BatchNorm1d(2).state_dict()
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, fresh[key])


def agrees_with_torch(ours, twin, x, dtype="float64", case="") -> None:
    """Everything that comes out of two layers with the same weights."""
    for result in run_module(ours, twin, [np.asarray(x, dtype)], np.random.default_rng(1)):
        result.check(tolerance(dtype, result.direction), case)


def test_an_empty_batch_is_counted_and_moves_nothing() -> None:
    for momentum in (0.1, None):
        layer = nn.BatchNorm1d(3, momentum=momentum)
        layer.running_mean[:] = 2
        assert layer(np.zeros((0, 3), "f")).shape == (0, 3)
        assert layer.num_batches_tracked == 1
        np.testing.assert_array_equal(layer.running_mean, [2, 2, 2])
        np.testing.assert_array_equal(layer.running_var, [1, 1, 1])


def test_an_empty_batch_has_gradient_0_whatever_the_variance() -> None:
    layer = nn.BatchNorm1d(3).eval()
    layer.running_var[:] = np.nan
    layer.backward(layer(np.zeros((0, 3), "f")))
    np.testing.assert_array_equal(layer.weight.grad, [0, 0, 0])


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(
    "attributes",
    [
        {"running_mean": None, "running_var": None},
        {"num_batches_tracked": None},
        {"running_mean": None, "running_var": None, "num_batches_tracked": None},
        {"track_running_stats": False},
        {"weight": None},
        {"bias": None},
    ],
    ids=str,
)
def test_attributes_set_afterwards(attributes, momentum, train) -> None:
    ours = nn.BatchNorm1d(3, momentum=momentum, dtype="float64").train(train)
    twin = torch.nn.BatchNorm1d(3, momentum=momentum, dtype=torch.float64).train(train)
    ours.weight.data[:], ours.running_var[:] = [2, 3, 4], [0.5, 1.5, 2.5]
    copy_weights(ours, twin)
    for name, value in attributes.items():
        setattr(ours, name, value)
        setattr(twin, name, value)
    x = np.random.default_rng(0).standard_normal((6, 3)) + 1
    agrees_with_torch(ours, twin, x)
    if attributes.get("num_batches_tracked", twin) is None:
        assert ours.num_batches_tracked is None


def test_statistics_tracked_without_having_any() -> None:
    ours, twin = (m.BatchNorm1d(3, track_running_stats=False) for m in (nn, torch.nn))
    ours.track_running_stats = twin.track_running_stats = True
    x = np.random.default_rng(0).standard_normal((6, 3))
    agrees_with_torch(ours, twin, x, "float32")


def test_one_of_the_statistics_alone() -> None:
    for name in ("running_mean", "running_var"):
        for train in (True, False):
            layer = nn.BatchNorm1d(3).train(train)
            setattr(layer, name, None)
            with pytest.raises(ValueError, match="running_mean and running_var must both be None"):
                layer(np.ones((4, 3), "f"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("variance overflows", lambda x: x * (1e30 if x.dtype == np.float32 else 1e160)),
        ("an infinity", lambda x: np.where(x == x[0, 0], np.inf, x)),
        ("a NaN", lambda x: np.where(x == x[0, 0], np.nan, x)),
        ("no variance", np.ones_like),
    ],
)
def test_values_at_the_ends_of_their_range(kind, change, train, dtype) -> None:
    """As torch's, in outputs, gradients and what stays in the running statistics."""
    x = change(np.random.default_rng(0).standard_normal((8, 2)).astype(dtype))
    for options in ({}, {"momentum": None}, {"affine": False}, {"eps": 1e-50}):
        ours = nn.BatchNorm1d(2, dtype=dtype, **options).train(train)
        twin = torch.nn.BatchNorm1d(2, dtype=getattr(torch, dtype), **options).train(train)
        agrees_with_torch(ours, twin, x, dtype, f"{kind} {options}")


def test_running_variance_after_overflow_is_infinite_not_nan() -> None:
    layer = nn.BatchNorm1d(1)
    layer(np.array([[1e30], [-1e30], [3e30]], "f"))
    assert layer.running_var[0] == np.inf
    assert np.isfinite(layer.running_mean[0])


def test_no_eps_and_no_variance() -> None:
    ours, twin = (m.BatchNorm1d(2, eps=0.0).eval() for m in (nn, torch.nn))
    ours.running_var[:] = 0
    copy_weights(ours, twin)
    agrees_with_torch(ours, twin, np.ones((4, 2)), "float32")


def test_an_old_state_dict_has_no_count() -> None:
    """As a file of PyTorch 0.4.0; a later one may hold the count as (1,)."""
    layer = nn.BatchNorm1d(2)
    layer.num_batches_tracked[...] = 7
    state = {"bn.weight": np.ones(2)}
    layer._upgrade_state_dict(state, "bn.")
    assert list(state) == ["bn.weight", "bn.num_batches_tracked"]
    assert state["bn.num_batches_tracked"] == 7
    given = {"num_batches_tracked": np.array(3)}
    layer._upgrade_state_dict(given, "")
    assert given["num_batches_tracked"] == 3
    for uncounted in (nn.BatchNorm1d(2, track_running_stats=False), nn.BatchNorm1d(2)):
        uncounted.num_batches_tracked = None
        state = {}
        uncounted._upgrade_state_dict(state, "")
        assert state == {}


def test_old_state_dicts_load() -> None:
    old = nn.BatchNorm1d(2).state_dict()
    old["running_mean"] = np.full(2, 5, "f")
    layer = nn.Sequential(nn.BatchNorm1d(2))
    layer.load_state_dict({f"0.{k}": v for k, v in old.items() if k != "num_batches_tracked"})
    assert layer[0].running_mean[0] == 5
    layer[0].load_state_dict({**old, "num_batches_tracked": np.array([4])})
    assert layer[0].num_batches_tracked == 4
    assert layer[0].num_batches_tracked.shape == ()


def test_frozen_parameters_cost_no_gradient(monkeypatch) -> None:
    layer = nn.BatchNorm1d(3).eval().requires_grad_(False)
    layer(np.ones((4, 3), "f"))

    def refuse(rows):
        raise AssertionError("a sum that nobody needs")

    monkeypatch.setattr(channels, "sum_rows", refuse)
    assert layer.backward(np.ones((4, 3), "f")).shape == (4, 3)
    assert layer.weight.grad is None
    assert layer.bias.grad is None


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("frozen", ["weight", "bias"])
def test_one_frozen_parameter(frozen, train) -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 6, 3))
    layers = [nn.BatchNorm1d(3, dtype="float64").train(train) for _ in range(2)]
    getattr(layers[0], frozen).requires_grad = False
    grads = []
    for layer in layers:
        layer(x)
        grads.append(layer.backward(dy))
    np.testing.assert_array_equal(*grads)
    assert getattr(layers[0], frozen).grad is None
    other = "bias" if frozen == "weight" else "weight"
    np.testing.assert_allclose(*(getattr(layer, other).grad for layer in layers), rtol=1e-12)


@pytest.mark.parametrize("name", ["weight", "bias", "running_mean"])
def test_a_deleted_member_is_named(name) -> None:
    layer = nn.BatchNorm1d(3)
    delattr(layer, name)
    with pytest.raises(AttributeError, match=name):
        layer(np.ones((4, 3), "f"))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm2d(-1), ValueError, "num_features must not be negative, got -1"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((1, 3), "f")), ValueError, "more than 1 value per"),
        (
            lambda: nn.BatchNorm1d(3, track_running_stats=False).eval()(np.zeros((1, 3), "f")),
            ValueError,
            "more than 1 value per",
        ),
        (lambda: nn.BatchNorm1d(3, eps=0)(np.zeros((4, 3), "f")), ValueError, "eps must be posit"),
        (
            lambda: nn.BatchNorm1d(3, eps=-1e-5).eval()(np.zeros((4, 3), "f")),
            ValueError,
            "eps must be at least 0, got -1e-05",
        ),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 3), "f")), ValueError, "input must be 4-d"),
        (lambda: nn.BatchNorm2d(3)(np.zeros((2, 4, 2, 2), "f")), ValueError, "num_features=3"),
        (lambda: nn.BatchNorm1d(3)(np.zeros((2, 3))), TypeError, "dtype float32, got float64"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("order", ["NCHW", "NHWC"])
def test_a_first_slice_unlike_the_others(order) -> None:
    """Its mean is far from the others', from which the variance must not suffer."""
    x = np.random.default_rng(0).standard_normal((40, 4, 64, 64)).astype("f")
    x[8:] += 1e4
    if order == "NHWC":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    layer = nn.BatchNorm2d(4, momentum=1.0)
    layer(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(layer.running_mean, exact.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, exact.var((0, 2, 3), ddof=1), rtol=1e-5)


def test_agrees_with_itself_whatever_the_block() -> None:
    """The summation's blocks, and their rest, against one long float64 sum."""
    x = np.random.default_rng(0).standard_normal((50, 2, 9, 9)).astype("f")
    layer = nn.BatchNorm2d(2, momentum=1.0)
    layer(x)
    exact = x.astype(np.float64).mean((0, 2, 3))
    Result("running_mean", "buffer", layer.running_mean, exact.astype("f")).check(
        tolerance("float32", "buffer")
    )
