"""Upsample, UpsamplingNearest2d, UpsamplingBilinear2d; F.interpolate."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from numpy_impl.nn.upsampling import MODES
from parity_tests.cases import Case, ModuleParity, relayouts
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import to_numpy, to_torch

SHAPE = (2, 3, 4, 5, 3)
CASES = [
    *[
        Case("Upsample", f"{where}, mode={mode!r}", SHAPE[: n + 2], f"{n} axes")
        for mode, numbers in MODES.items()
        if mode != "lanczos"
        for n in numbers
        for where in ("scale_factor=2", "size=7")
    ],
    *[
        Case("Upsample", f"{where}, mode={mode!r}, align_corners=True", SHAPE[: n + 2])
        for mode, n in (("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3))
        for where in ("scale_factor=2.0", "size=3")
    ],
    Case("Upsample", "scale_factor=(2.0, 3.0)", (1, 2, 3, 4)),
    Case("Upsample", "size=[3, 9], mode='bilinear', align_corners=False", (1, 2, 3, 4), "list"),
    Case("Upsample", "(6, 8), None, 'bicubic', True", (1, 2, 3, 4), "by position"),
    Case("Upsample", "scale_factor=0.5, mode='bilinear'", (1, 2, 6, 8), "halves"),
    Case("Upsample", "scale_factor=1/3, mode='bicubic'", (1, 2, 9, 7), "thirds"),
    Case("Upsample", "scale_factor=2.6, mode='linear'", (2, 3, 7), "coordinates of the factor"),
    Case("Upsample", "None, 2.6, 'linear', None, True", (2, 3, 7), "coordinates of the sizes"),
    Case("Upsample", "scale_factor=2.6, recompute_scale_factor=True", (2, 3, 7)),
    Case("Upsample", "scale_factor=2.6, mode='nearest-exact'", (2, 3, 7)),
    Case("Upsample", "size=12, mode='nearest'", (2, 3, 1), "more phases than slices are worth"),
    Case("Upsample", "size=1, mode='linear', align_corners=True", (2, 3, 5), "to one"),
    Case("Upsample", "size=1, mode='linear'", (2, 3, 5), "to one"),
    Case("Upsample", "size=(4, 5), mode='bilinear'", (2, 3, 4, 5), "the same size"),
    Case("Upsample", "size=4", (2, 3, 4), "the same size"),
    Case("Upsample", "scale_factor=2, mode='bilinear'", (0, 3, 4, 5), "empty batch"),
    Case("UpsamplingNearest2d", "scale_factor=2", (2, 3, 4, 5)),
    Case("UpsamplingNearest2d", "size=(3, 7)", (2, 3, 4, 5)),
    Case("UpsamplingBilinear2d", "scale_factor=2", (2, 3, 4, 5)),
    Case("UpsamplingBilinear2d", "(3, 7)", (2, 3, 4, 5)),
]


class TestUpsampling(ModuleParity):
    cases = CASES


ANTIALIASED = ("bilinear", "bicubic", "lanczos")


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    data=st.data(),
    mode=st.sampled_from(list(MODES)),
    antialias=st.booleans(),
    corners=st.booleans(),
    recompute=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
)
def test_any_geometry(data, mode, antialias, corners, recompute, dtype) -> None:
    n = data.draw(st.sampled_from(MODES[mode]))
    sizes = data.draw(st.tuples(*[st.integers(1, 12)] * n))
    options = {"mode": mode, "antialias": mode == "lanczos" or (antialias and mode in ANTIALIASED)}
    if mode not in ("nearest", "nearest-exact", "area"):
        options["align_corners"] = corners and mode != "lanczos"
    if data.draw(st.booleans()):
        options["size"] = outputs = data.draw(st.tuples(*[st.integers(1, 24)] * n))
    else:
        factors = st.sampled_from([0.25, 0.3, 0.5, 0.7, 1.0, 1.3, 2.0, 2.5, 2.6, 3.0])
        options["scale_factor"] = factors = data.draw(st.tuples(*[factors] * n))
        options["recompute_scale_factor"] = recompute
        outputs = tuple(int(s * f) for s, f in zip(sizes, factors, strict=True))
        assume(min(outputs) > 0)
        # torch's backward is not the transpose of its forward there
        assume(
            recompute
            or all(o != s or f == 1 for o, s, f in zip(outputs, sizes, factors, strict=True))
        )
    assume(not options["antialias"] or outputs[1] > 1)  # see below
    x = np.random.default_rng(0).standard_normal((2, 3, *sizes)).astype(dtype)
    x = data.draw(st.sampled_from([x, *relayouts(x)]))
    twin = to_torch(x).requires_grad_()
    wanted = torch.nn.functional.interpolate(twin, **options)
    found = functional.interpolate(x, **options)
    Result("output", "forward", found, to_numpy(wanted)).check(tolerance(dtype, "forward"))
    upstream = np.random.default_rng(1).standard_normal(found.shape).astype(dtype)
    wanted.backward(to_torch(upstream))
    grad = functional.interpolate_backward(upstream, x, **options)
    Result("grad", "input_grad", grad, to_numpy(twin.grad)).check(tolerance(dtype, "input_grad"))


@pytest.mark.parametrize("mode", ANTIALIASED)
def test_antialias_to_one_column(mode) -> None:
    """torch repeats the first row there; turned round, it does not."""
    x = np.random.default_rng(0).standard_normal((1, 2, 8, 4))
    found = functional.interpolate(x, (5, 1), mode=mode, antialias=True)
    turned = torch.nn.functional.interpolate(
        to_torch(x.swapaxes(2, 3)), (1, 5), mode=mode, antialias=True
    )
    np.testing.assert_allclose(found, to_numpy(turned).swapaxes(2, 3), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("mode", ["nearest", "bicubic", "linear"])
def test_a_factor_that_leaves_the_size(mode) -> None:
    """Forward is torch's, and backward its transpose, as the directional derivative has it."""
    options = {"scale_factor": 1.3, "mode": mode}
    x = np.random.default_rng(0).standard_normal((1, 2, *(3,) * MODES[mode][0]))
    found = functional.interpolate(x, **options)
    wanted = torch.nn.functional.interpolate(to_torch(x), **options)
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)
    upstream, direction = np.random.default_rng(1).standard_normal((2, *x.shape))
    grad = functional.interpolate_backward(upstream, x, **options)
    moved = functional.interpolate(direction, **options)
    np.testing.assert_allclose((grad * direction).sum(), (upstream * moved).sum(), rtol=1e-9)


def spoilt(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Numbers, a tenth of them infinite or none."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape)
    for special in (np.nan, np.inf, -np.inf):
        values[rng.random(shape) < 0.03] = special
    return values


@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("size", [(15, 8), (16, 16), (4, 12), (11, 3)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_what_is_not_finite_goes_where_torch_s_does(mode, size, corners) -> None:
    """A weight of 0 reads its position nevertheless: 0 times NaN is NaN.

    (Where an edge is read twice torch adds 0 times infinity, which is NaN, to what stays infinite.)
    """
    options = (size, None, mode, corners if mode in ("bilinear", "bicubic") else None)
    x, upstream = spoilt((2, 3, 8, 8), 0), spoilt((2, 3, *size), 1)
    ours, theirs = (world.Upsample(*options) for world in (nn, torch.nn))
    for result in run_module_on(ours, theirs, x, upstream):
        is_finite = np.isfinite(result.twin)
        np.testing.assert_array_equal(np.isfinite(result.ours), is_finite)
        found, wanted = result.ours[is_finite], result.twin[is_finite]
        finite = Result(result.name, result.direction, found, wanted)
        finite.check(tolerance("float64", result.direction))


def run_module_on(ours, theirs, x: np.ndarray, upstream: np.ndarray) -> list[Result]:
    twin = to_torch(x).requires_grad_()
    wanted = theirs(twin)
    output = Result("output", "forward", ours(x), to_numpy(wanted))
    wanted.backward(to_torch(upstream))
    return [output, Result("grad", "input_grad", ours.backward(upstream), to_numpy(twin.grad))]


def test_one_node_of_the_graph() -> None:
    x = numpy_impl.tensor(np.ones((1, 2, 3), "f"), requires_grad=True)
    y = functional.interpolate(x, scale_factor=2)
    assert y.grad_fn.name == "interpolate"
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, np.full((1, 2, 3), 2))


def test_memory_order_is_kept() -> None:
    x = np.moveaxis(np.ones((2, 4, 5, 3), "f"), -1, 1)
    for mode in ("nearest", "bilinear"):
        output = functional.interpolate(x, scale_factor=2, mode=mode)
        assert np.moveaxis(output, 1, -1).flags.c_contiguous


def test_large_enough_for_slices() -> None:
    x = np.random.default_rng(0).standard_normal((4, 30, 64, 48))
    for mode, factor in (("bilinear", 2), ("nearest", 2), ("bicubic", 0.7)):
        ours, theirs = (w.Upsample(None, factor, mode) for w in (nn, torch.nn))
        for layout in (x, np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)):
            for result in run_module(ours, theirs, [layout], np.random.default_rng(1)):
                result.check(tolerance("float64", result.direction))


def test_attributes_set_afterwards_have_effect() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    ours, theirs = (world.Upsample(scale_factor=2) for world in (nn, torch.nn))
    upstream = np.ones_like(ours(x))
    wanted = ours.backward(upstream, retain_graph=True)
    for module in (ours, theirs):
        module.mode, module.scale_factor, module.size = "bilinear", None, [3, 8]
    np.testing.assert_array_equal(ours.backward(upstream), wanted)
    for result in run_module(ours, theirs, [x], np.random.default_rng(1)):
        result.check(tolerance("float64", result.direction))


X = np.zeros((2, 3, 4), "f")
up = functional.interpolate


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Upsample(2, mode="cubic"), ValueError, "Upsample: mode must be one of nearest"),
        (lambda: nn.Upsample(2, align_corners=True), ValueError, "align_corners must be None with"),
        (lambda: nn.Upsample()(X), ValueError, "exactly one of size and scale_factor must be"),
        (lambda: nn.Upsample(2, 2.0)(X), ValueError, "exactly one of size and scale_factor must"),
        (lambda: nn.Upsample(2)(X[0]), ValueError, "input must be 3-d or 4-d or 5-d"),
        (lambda: nn.Upsample(2)(X[:, :0]), ValueError, "input must not be empty but for its"),
        (lambda: nn.Upsample(2)(X.astype(int)), TypeError, "input must be float32 or float64"),
        (
            lambda: nn.Upsample(2, mode="bilinear")(X),
            ValueError,
            "must be 4-d with mode='bi",
        ),
        (lambda: nn.Upsample((2, 2))(X), ValueError, "size must be an int or a tuple of 1 ints"),
        (lambda: nn.Upsample(0)(X), ValueError, "size must be at least 1, got 0"),
        (lambda: nn.Upsample(1.5)(X), TypeError, "size must be an int"),
        (lambda: nn.Upsample(None, (1.0, 2.0))(X), ValueError, "must be a positive number or 1"),
        (lambda: nn.Upsample(None, -1.0)(X), ValueError, "must be a positive number or 1"),
        (lambda: nn.Upsample(None, 0.2)(X), ValueError, "must leave something of"),
        (lambda: up(X, 2, recompute_scale_factor=True), ValueError, "interpolate: recompute_scale"),
        (lambda: up(X, 2, antialias=True), ValueError, "antialias must be False with mode='near"),
        (lambda: up(X[None], 2, mode="lanczos"), ValueError, "'lanczos' needs antialias=True"),
        (lambda: up(X, scale_factor="2"), TypeError, "scale_factor must be a number or 1 numbers"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
