"""LocalResponseNorm, CrossMapLRN2d, LayerNorm, GroupNorm, RMSNorm, and the norms as functions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import DTYPES, Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import copy_weights, to_numpy, to_torch


def far_from_zero(rng: np.random.Generator) -> np.ndarray:
    return 10 + rng.standard_normal((8, 6, 5, 5))  # farther torch's float32 is no measure


CASES = [
    Case("LayerNorm", "5", (4, 5)),
    Case("LayerNorm", "5", (5,), "one sample"),
    Case("LayerNorm", "5, eps=0.1", (4, 3, 5)),
    Case("LayerNorm", "[5]", (600, 5), "many samples"),
    Case("LayerNorm", "300", (1000, 300), "in slices"),
    Case("LayerNorm", "(2, 3, 5)", (4, 2, 3, 5), "three axes"),
    Case("LayerNorm", "(2, 3, 5), elementwise_affine=False", (4, 2, 3, 5)),
    Case("LayerNorm", "(2, 5), bias=False", (4, 2, 5)),
    Case("LayerNorm", "5", (0, 5), "no samples"),
    Case("LayerNorm", "0", (3, 0), "no features"),
    Case("LayerNorm", "1, eps=1.0", (3, 1), "one feature"),
    Case("LayerNorm", "5", (4, 5), train=False),
    Case("LayerNorm", "(6, 5, 5)", far_from_zero, "mean far above the deviation"),
    Case("RMSNorm", "5", (4, 5), "eps of the dtype"),
    Case("RMSNorm", "5, eps=0.1", (4, 3, 5)),
    Case("RMSNorm", "[5], 1e-3", (128, 5, 5), "many samples"),
    Case("RMSNorm", "300", (1000, 300), "in slices"),
    Case("RMSNorm", "(2, 3, 5)", (4, 2, 3, 5), "three axes"),
    Case("RMSNorm", "(2, 3, 5), elementwise_affine=False", (4, 2, 3, 5)),
    Case("RMSNorm", "5", (0, 5), "no samples"),
    Case("RMSNorm", "0", (3, 0), "no features"),
    Case("RMSNorm", "5", (5,), "one sample", train=False),
    Case("GroupNorm", "3, 6", (4, 6, 5)),
    Case("GroupNorm", "3, 6, bias=False", (4, 6, 5)),
    Case("GroupNorm", "3, 12", (4, 12), "no positions"),
    Case("GroupNorm", "1, 6, eps=0.1", (150, 6), "many samples"),
    Case("GroupNorm", "6, 6, affine=False", (4, 6, 5), "as InstanceNorm"),
    Case("GroupNorm", "1, 6", (4, 6, 2, 3), "as LayerNorm"),
    Case("GroupNorm", "2, 6", (4, 6, 2, 3, 2)),
    Case("GroupNorm", "2, 6", (4, 6, 2, 3, 2, 2), "four axes of positions"),
    Case("GroupNorm", "3, 9, affine=False", (4, 9, 2, 3)),
    Case("GroupNorm", "4, 16", (40, 16, 20, 25), "in slices"),
    Case("GroupNorm", "2, 4", (0, 4, 3), "no samples"),
    Case("GroupNorm", "2, 4", (2, 4, 0), "no positions: dw is NaN", kinks=True),
    Case("GroupNorm", "2, 4", (1, 4), "two values a group", train=False),
    Case("GroupNorm", "2, 6", far_from_zero, "mean far above the deviation"),
    Case("LocalResponseNorm", "3, alpha=1.0", (2, 5, 7)),
    Case("LocalResponseNorm", "2, alpha=1.0", (2, 5, 4, 3), "one more before than after"),
    Case("LocalResponseNorm", "1, 1.0, 0.5, 2.0", (1, 5, 3, 4, 2)),
    Case("LocalResponseNorm", "4, 2.0, 1.5, 0.5", (2, 7, 2, 3, 2, 2), "four axes"),
    Case("LocalResponseNorm", "9, alpha=1.0", (2, 3, 4), "wider than the channels"),
    Case("LocalResponseNorm", "3", (2, 5, 3, 3), train=False),
    Case("LocalResponseNorm", "3", (0, 5, 3), "no samples"),
    Case("LocalResponseNorm", "3", (2, 0, 3), "no channels"),
    # torch's gradient is that of its forward only where the window covers all channels
    Case("CrossMapLRN2d", "13, alpha=1.0", (2, 6, 3, 4)),
    Case("CrossMapLRN2d", "7, 2.0, 0.5, 2", (2, 3, 3, 4)),
    Case("CrossMapLRN2d", "3, alpha=1.0", (2, 1, 3, 4), "one channel"),
    Case("CrossMapLRN2d", "9", (0, 4, 3, 2), "no samples"),
]


class TestNorms(ModuleParity):
    cases = CASES


# -- the ends of the range -----------------------------------------------------------------------


def exact_layer_norm(x, dy, w, eps=1e-5):
    """In float64: y, dx, dw."""
    x, dy, w = (value.astype(np.float64) for value in (x, dy, w))
    std = np.sqrt(x.var(-1, keepdims=True) + eps)
    z = (x - x.mean(-1, keepdims=True)) / std
    dz = dy * w
    dx = (dz - dz.mean(-1, keepdims=True) - z * (dz * z).mean(-1, keepdims=True)) / std
    return w * z, dx, (dy * z).sum(0)


def test_float32_far_from_zero_is_as_good_as_float64() -> None:
    """Values around 10,000: torch's own LayerNorm and ours, by how far from float64."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((64, 300))).astype("f")
    dy, w = rng.standard_normal((64, 300)).astype("f"), rng.standard_normal(300).astype("f")
    wanted = exact_layer_norm(x, dy, w)
    layer = nn.LayerNorm(300, bias=False)
    layer.weight.data[:] = w
    y = layer(x)
    for found, exact in zip((y, layer.backward(dy), layer.weight.grad), wanted, strict=True):
        assert np.abs(found - exact).max() <= 2e-6 * np.abs(exact).max()
    rows = x.reshape(16, 4, 300)  # as groups of one channel
    np.testing.assert_allclose(
        nn.GroupNorm(4, 4)(rows), wanted[0].reshape(rows.shape) / w, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("an infinity", lambda x: np.where(x == x[0, 0], np.inf, x)),
        ("a NaN", lambda x: np.where(x == x[0, 0], np.nan, x)),
        ("no variance", np.ones_like),
        ("zeros", np.zeros_like),
        ("small", lambda x: x * 1e-30),
    ],
)
@pytest.mark.parametrize(
    ("name", "args", "shape"),
    [("LayerNorm", (6,), (8, 6)), ("RMSNorm", (6,), (8, 6)), ("GroupNorm", (2, 4), (3, 4, 5))],
)
def test_values_at_the_ends_of_their_range(name, args, shape, kind, change, dtype) -> None:
    x = change(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    ours = getattr(nn, name)(*args, dtype=dtype)
    twin = getattr(torch.nn, name)(*args, dtype=getattr(torch, dtype))
    for result in run_module(ours, twin, [x], np.random.default_rng(1)):
        result.check(tolerance(dtype, result.direction), kind)


@pytest.mark.parametrize("n", [2, 3, 8, 64])
def test_a_variance_that_overflows_is_never_hidden(n) -> None:
    """NaN, as torch's (whose sums for some lengths give zeros); a mean square becomes infinite."""
    x = (1e30 * np.random.default_rng(0).standard_normal((2, n))).astype("f")
    for name in ("LayerNorm", "RMSNorm"):
        ours, twin = getattr(nn, name)(n), getattr(torch.nn, name)(n)
        for result in run_module(ours, twin, [x], np.random.default_rng(1)):
            result.check(tolerance("float32", result.direction), name)


# -- CrossMapLRN2d -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11])
def test_cross_map_forward_is_torch_s(size) -> None:
    """Its window grows by channel 0; its gradient is checked where it is right, in the table."""
    x = np.random.default_rng(0).standard_normal((2, 6, 3, 2))
    ours, twin = nn.CrossMapLRN2d(size, alpha=1.0), torch.nn.CrossMapLRN2d(size, alpha=1.0)
    result = Result("output", "forward", ours(x), to_numpy(twin(to_torch(x))))
    result.check(tolerance("float64", "forward"), f"size {size}")


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_cross_map_gradient_is_that_of_its_forward(size) -> None:
    """By central differences; torch's is not, which is why it has no row in the table."""
    rng = np.random.default_rng(0)
    x, dy, direction = rng.standard_normal((3, 2, 6, 3, 2))
    layer, h = nn.CrossMapLRN2d(size, alpha=1.0), 1e-6
    slope = ((layer(x + h * direction) - layer(x - h * direction)) * dy).sum() / (2 * h)
    layer(x)
    assert (layer.backward(dy) * direction).sum() == pytest.approx(slope, rel=1e-7)


# -- any shape -----------------------------------------------------------------------------------


@st.composite
def norms(draw) -> tuple[str, tuple, tuple[int, ...]]:
    name = draw(st.sampled_from(["LayerNorm", "RMSNorm", "GroupNorm", "LocalResponseNorm"]))
    sizes = st.integers(0, 4)
    if name == "GroupNorm":
        groups, per_group = draw(st.integers(1, 3)), draw(st.integers(2, 3))
        shape = draw(sizes), groups * per_group, *draw(st.lists(sizes, max_size=3))
        return name, (groups, groups * per_group), shape
    if name == "LocalResponseNorm":
        return (
            name,
            (draw(st.integers(1, 6)), 1.0),
            tuple(draw(st.lists(sizes, min_size=3, max_size=5))),
        )
    features = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return name, (features,), (*draw(st.lists(sizes, max_size=2)), *features)


@settings(max_examples=60, deadline=None)
@given(case=norms(), order=st.sampled_from(["C", "F", "last"]), seed=st.integers(0, 99))
def test_any_shape_and_memory_order(case, order, seed) -> None:
    name, args, shape = case
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape)
    if order == "F":
        x = np.asfortranarray(x)
    elif x.ndim > 2:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    ours, twin = getattr(nn, name)(*args), getattr(torch.nn, name)(*args).double()
    ours.to(np.float64)
    for p in ours.parameters():
        p.data[...] = rng.standard_normal(p.shape)
    copy_weights(ours, twin)
    for result in run_module(ours, twin, [x], rng):
        result.check(tolerance("float64", result.direction), f"{case}")


# -- functions -----------------------------------------------------------------------------------

F = functional
NORMS = {
    "batch_norm, training": ("batch_norm", (6, 3, 4), 3, {"training": True, "momentum": 0.3}),
    "batch_norm, evaluation": ("batch_norm", (6, 3, 4), 3, {"eps": 0.1}),
    "instance_norm": ("instance_norm", (6, 3, 4), 3, {"momentum": 0.3}),
    "instance_norm, given": ("instance_norm", (6, 3, 4), 3, {"use_input_stats": False}),
    "group_norm": ("group_norm", (6, 4, 5), 4, {"num_groups": 2}),
    "layer_norm": ("layer_norm", (6, 3, 4), (3, 4), {"normalized_shape": (3, 4), "eps": 0.1}),
    "rms_norm": ("rms_norm", (6, 3, 4), (3, 4), {"normalized_shape": (3, 4)}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kind", "given_ones"),
    [
        (kind, given_ones)
        for kind in NORMS
        for given_ones in ("all", "weight", "bias", "none")
        # torch has no backward of group_norm for a bias alone ("tensor does not have a device")
        if (kind, given_ones) != ("group_norm", "bias")
    ],
)
def test_parameters_are_inputs_of_the_graph(kind, dtype, given_ones) -> None:
    """And running statistics are moved in place, on Tensors and arrays alike; not by backward."""
    name, shape, of_parameter, options = NORMS[kind]
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(dtype)
    names = [n for n in ("weight", "bias") if given_ones in ("all", n)]
    if name == "rms_norm":
        names = [n for n in names if n == "weight"]
    values = {n: np.asarray(rng.standard_normal(of_parameter)).astype(dtype) for n in names}
    running = {}
    if name in ("batch_norm", "instance_norm"):
        for n in ("running_mean", "running_var"):
            running[n] = np.abs(rng.standard_normal(of_parameter)).astype(dtype) + 1
    ours = [numpy_impl.tensor(v, requires_grad=True) for v in (x, *values.values())]
    theirs = [to_torch(v).requires_grad_() for v in (x, *values.values())]
    moved = [{n: v.copy() for n, v in running.items()} for _ in range(2)]
    twin_moved = {n: to_torch(v.copy()) for n, v in running.items()}
    wrapped = {n: numpy_impl.from_numpy(v) for n, v in moved[0].items()}
    y = getattr(F, name)(ours[0], **wrapped, **dict(zip(names, ours[1:], strict=True)), **options)
    twin = getattr(torch.nn.functional, name)(
        theirs[0], **twin_moved, **dict(zip(names, theirs[1:], strict=True)), **options
    )
    dy = rng.standard_normal(shape).astype(dtype)
    y.backward(dy)
    twin.backward(to_torch(dy))
    results = [Result("output", "forward", y.data, to_numpy(twin))]
    results += [
        Result(n, "param_grad", a.grad, to_numpy(b.grad))
        for n, a, b in zip(["input", *names], ours, theirs, strict=True)
    ]
    results += [Result(n, "buffer", moved[0][n], to_numpy(v)) for n, v in twin_moved.items()]
    plain = getattr(F, name)(x, **moved[1], **values, **options)
    results += [Result(n, "buffer", moved[1][n], to_numpy(v)) for n, v in twin_moved.items()]
    np.testing.assert_array_equal(plain, y.data)
    before = {n: v.copy() for n, v in running.items()}
    grads = getattr(F, f"{name}_backward")(dy, x, **running, **values, **options)
    found = [g for g in (grads if isinstance(grads, tuple) else (grads,)) if g is not None]
    results += [
        Result(n, "param_grad", a, to_numpy(b.grad))
        for n, a, b in zip(["input", *names], found, theirs, strict=True)
    ]
    for n, value in before.items():
        np.testing.assert_array_equal(running[n], value)
    for result in results:
        result.check(tolerance(dtype, result.direction), f"{kind} {result.name}")


def test_a_frozen_parameter_costs_no_gradient() -> None:
    x = np.random.default_rng(0).standard_normal((6, 5))
    for frozen in ("weight", "bias", "input"):
        layer = nn.LayerNorm(5, dtype="float64")
        if frozen == "input":
            layer.needs_input_grad_(False)
        else:
            getattr(layer, frozen).requires_grad = False
        layer(x)
        dx = layer.backward(x**2)
        grads = {"input": dx, "weight": layer.weight.grad, "bias": layer.bias.grad}
        assert [n for n, grad in grads.items() if grad is None] == [frozen]


X = np.zeros((2, 4, 3), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.LayerNorm(-5), ValueError, "LayerNorm: normalized_shape must not be negat"),
        (lambda: nn.LayerNorm(2.5), TypeError, "normalized_shape must be an int, got 2.5"),
        (lambda: nn.LayerNorm([])(X), ValueError, "normalized_shape must have at least one axis"),
        (lambda: nn.LayerNorm((4, 5))(X), ValueError, r"normalized_shape=\(4, 5\), got shape \(2"),
        (lambda: nn.LayerNorm((5, 2, 4, 3))(X), ValueError, "last axes must be normalized_shape"),
        (lambda: nn.LayerNorm(3)(X.astype(float)), TypeError, "dtype float32, got float64"),
        (lambda: nn.LayerNorm(3, dtype=int), TypeError, "dtype must be float32 or float64"),
        (lambda: nn.RMSNorm(4)(X), ValueError, r"RMSNorm: input's last axes must be normalized_s"),
        (lambda: nn.GroupNorm(0, 4), ValueError, "num_groups must be at least 1, got 0"),
        (
            lambda: nn.GroupNorm(3, 4),
            ValueError,
            r"num_channels \(4\) must be divisible by num_groups \(3\)",
        ),
        (lambda: nn.GroupNorm(2, 6)(X), ValueError, "num_channels=6 channels, got shape"),
        (lambda: nn.GroupNorm(3, 3, affine=False)(X), ValueError, "must divide the input's 4"),
        (lambda: nn.GroupNorm(1, 4)(X[0, :, 0]), ValueError, "must have at least 2 axes"),
        (lambda: nn.GroupNorm(4, 4)(X[:1, :, 0]), ValueError, "more than 1 value per group"),
        (lambda: nn.LocalResponseNorm(0), ValueError, "size must be at least 1, got 0"),
        (lambda: nn.LocalResponseNorm(2)(X[0]), ValueError, "input must be at least 3-d"),
        (lambda: nn.CrossMapLRN2d(2)(X), ValueError, "input must be 4-d, got shape"),
        (lambda: nn.CrossMapLRN2d(2)(X[:, :0, None]), ValueError, "at least one channel"),
        (lambda: F.batch_norm(X, None, None), ValueError, "batch_norm: running_mean and running_v"),
        (lambda: F.batch_norm(X, X[0, :, 0], None), ValueError, "must both be None, or neither"),
        (lambda: F.batch_norm(X, None, None, X[0, 0], training=True), ValueError, r"ght must have"),
        (lambda: F.batch_norm(X[0, 0], None, None), ValueError, "input must be 2-d or 3-d or 4-d"),
        (lambda: F.instance_norm(X, use_input_stats=False), ValueError, "must not be None in eval"),
        (lambda: F.instance_norm(X[:, :, :1]), ValueError, "more than 1 position"),
        (lambda: F.layer_norm(X, (3,), X[0, :, 0]), ValueError, r"weight must have shape \(3,\)"),
        (lambda: F.layer_norm(X, (3,), np.zeros(3)), TypeError, "layer_norm: weight must have"),
        (lambda: F.rms_norm(X, (4,)), ValueError, "rms_norm: input's last axes must be norm"),
        (lambda: F.group_norm(X, 3), ValueError, "group_norm: num_groups must divide the input's"),
        (lambda: F.group_norm(X, 2, bias=X[0, 0]), ValueError, r"bias must have shape \(4,\), got"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normalize_into_an_array_or_a_tensor(dtype) -> None:
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    expected = to_torch(np.empty((3, 4), dtype))
    torch.nn.functional.normalize(to_torch(x), dim=0, out=expected)
    for out in (np.empty((3, 4), dtype), numpy_impl.tensor(np.empty((3, 4), dtype))):
        assert functional.normalize(x, dim=0, out=out) is out
        found = out if isinstance(out, np.ndarray) else out.data
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
    empty = numpy_impl.empty(0)
    assert functional.normalize(numpy_impl.tensor(x), out=empty).shape == (3, 4)
    expected = functional.normalize(x)
    np.testing.assert_array_equal(functional.normalize(x, out=x), expected)
    np.testing.assert_array_equal(x, expected)


def test_normalize_into_what_does_not_fit() -> None:
    x, leaf = np.ones((2, 3), "f"), numpy_impl.ones(2, 3, requires_grad=True)
    for input, out in ((leaf, np.empty((2, 3), "f")), (x, leaf)):
        with pytest.raises(RuntimeError, match="out has no gradient"):
            functional.normalize(input, out=out)
        with numpy_impl.no_grad():
            assert functional.normalize(input, out=out) is out
    with pytest.raises(ValueError, match=r"out must be .* of shape \(2, 3\), got array of shape"):
        functional.normalize(x, out=np.empty(3, "f"))
    with pytest.raises(ValueError, match="got list"):
        functional.normalize(x, out=[])
    with pytest.raises(RuntimeError, match="out must hold values of float32, got int64"):
        functional.normalize(x, out=np.empty((2, 3), int))
