"""F.grid_sample and F.affine_grid."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl.nn import functional
from parity_tests.cases import relayouts
from parity_tests.directional import check_directional
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result
from torch_ref.convert import to_numpy, to_torch

PADDING_MODES = ("zeros", "border", "reflection")


def against_torch(x: np.ndarray, grid: np.ndarray, *options) -> None:
    dtype = x.dtype.name
    twins = [to_torch(array).requires_grad_() for array in (x, grid)]
    wanted = torch.nn.functional.grid_sample(*twins, *options)
    found = functional.grid_sample(x, grid, *options)
    Result("output", "forward", found, to_numpy(wanted)).check(tolerance(dtype, "forward"))
    upstream = np.random.default_rng(1).standard_normal(found.shape).astype(dtype)
    wanted.backward(to_torch(upstream))
    grads = functional.grid_sample_backward(upstream, x, grid, *options)
    for name, grad, twin in zip(("input", "grid"), grads, twins, strict=True):
        result = Result(name, "input_grad", grad, to_numpy(twin.grad))
        result.check(tolerance(dtype, "input_grad"))


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    data=st.data(),
    mode=st.sampled_from(["bilinear", "nearest", "bicubic", "trilinear"]),
    padding_mode=st.sampled_from(PADDING_MODES),
    align_corners=st.booleans(),
    rounded=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_geometry(data, mode, padding_mode, align_corners, rounded, seed) -> None:
    """Points inside and far outside, and (rounded) on edges, centres and half-way between."""
    n = 3 if mode == "trilinear" else data.draw(st.integers(2, 2 if mode == "bicubic" else 3))
    sizes, outputs = (data.draw(st.tuples(*[st.integers(1, 5)] * n)) for _ in range(2))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((2, 3, *sizes))
    grid = 1.5 * rng.standard_normal((2, *outputs, n))
    if rounded:
        grid = np.round(2 * grid) / 2
    x = data.draw(st.sampled_from([x, *relayouts(x)]))
    mode = "bilinear" if mode == "trilinear" else mode
    against_torch(x, grid, mode, padding_mode, align_corners)


@pytest.mark.parametrize("padding_mode", PADDING_MODES)
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_float32(mode, padding_mode) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 5, 4)).astype("f")
    against_torch(x, rng.uniform(-1.4, 1.4, (2, 3, 6, 2)).astype("f"), mode, padding_mode, False)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("padding_mode", PADDING_MODES)
def test_directional_derivative(mode, padding_mode) -> None:
    rng = np.random.default_rng(0)
    x, grid = rng.standard_normal((2, 3, 9, 8)), rng.uniform(-1.2, 1.2, (2, 3, 3, 2))
    upstream = rng.standard_normal((2, 3, 3, 3))
    grads = functional.grid_sample_backward(upstream, x, grid, mode, padding_mode)
    check_directional(
        lambda: float(np.sum(upstream * functional.grid_sample(x, grid, mode, padding_mode))),
        [x, grid],
        list(grads),
        rng,
    )


def test_of_nothing() -> None:
    for shape, points in [((0, 3, 4, 5), (0, 2, 2, 2)), ((2, 3, 4, 5), (2, 0, 2, 2))]:
        against_torch(np.zeros(shape), np.zeros(points), "bilinear", "zeros", False)


def test_points_that_are_nowhere() -> None:
    """What is read at NaN is NaN, as in torch; what lies outside is 0, whatever the input holds."""
    grid = np.zeros((1, 1, 3, 2))
    grid[..., 0, 0], grid[..., 1, 0] = np.nan, 5
    against_torch(np.ones((1, 2, 3, 3)), grid, "bilinear", "zeros", False)
    output = functional.grid_sample(np.full((1, 2, 3, 3), np.inf), grid)
    np.testing.assert_array_equal(output[0, 0, 0], [np.nan, 0, np.nan])


@pytest.mark.parametrize("size", [(2, 3, 4, 5), (1, 1, 1, 6), (2, 1, 3, 1, 5)], ids=str)
@pytest.mark.parametrize("align_corners", [None, False, True])
@pytest.mark.filterwarnings("ignore:.*affine_grid:UserWarning")  # torch's, of its past
def test_affine_grid(size, align_corners) -> None:
    n = len(size) - 2
    theta = np.random.default_rng(0).standard_normal((size[0], n, n + 1))
    for dtype in ("float64", "float32"):
        matrices = theta.astype(dtype)
        twin = to_torch(matrices).requires_grad_()
        wanted = torch.nn.functional.affine_grid(twin, size, align_corners)
        found = functional.affine_grid(matrices, size, align_corners)
        Result("grid", "forward", found, to_numpy(wanted)).check(tolerance(dtype, "forward"))
        upstream = np.random.default_rng(1).standard_normal(found.shape).astype(dtype)
        wanted.backward(to_torch(upstream))
        grad = functional.affine_grid_backward(upstream, matrices, size, align_corners)
        result = Result("theta", "input_grad", grad, to_numpy(twin.grad))
        result.check(tolerance(dtype, "input_grad"))


def test_a_spatial_transformer() -> None:
    """Both as nodes of a graph: the gradient of the image's samples reaches the matrix."""
    theta, image = np.array([[[1.0, 0, 0.2], [0.1, 1, 0]]]), np.arange(16.0).reshape(1, 1, 4, 4)
    ours = [numpy_impl.tensor(array, requires_grad=True) for array in (theta, image)]
    twins = [to_torch(array).requires_grad_() for array in (theta, image)]
    for F, (matrix, x) in ((functional, ours), (torch.nn.functional, twins)):
        grid = F.affine_grid(matrix, (1, 1, 3, 3), align_corners=False)
        (F.grid_sample(x, grid, align_corners=False) ** 2).sum().backward()
    for found, wanted in zip(ours, twins, strict=True):
        np.testing.assert_allclose(found.grad, wanted.grad, rtol=1e-9)


X, GRID = np.zeros((2, 3, 4, 5)), np.zeros((2, 3, 3, 2))
sample, affine = functional.grid_sample, functional.affine_grid


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: sample(X, GRID, "linear"), ValueError, "grid_sample: mode must be one of bilin"),
        (lambda: sample(X, GRID, padding_mode="wrap"), ValueError, "padding_mode must be one of z"),
        (lambda: sample(X[0], GRID), ValueError, "input must be 4-d or 5-d"),
        (lambda: sample(X[None], GRID, "bicubic"), ValueError, "input must be 4-d"),
        (lambda: sample(X, GRID[:1]), ValueError, "grid must have shape"),
        (lambda: sample(X, GRID[..., :1]), ValueError, "grid must have shape"),
        (lambda: sample(X, GRID[0]), ValueError, "grid must have shape"),
        (lambda: sample(X, GRID.astype("f")), TypeError, "grid must have input's dtype float64"),
        (lambda: sample(X[:, :, :0], GRID), ValueError, "must have positions along each axis"),
        (lambda: affine(np.zeros((2, 2, 3)), (2, 3, 4)), ValueError, "size must have 4 or 5"),
        (lambda: affine(np.zeros((2, 2, 3)), (1, 3, 4, 5)), ValueError, "theta must have shape"),
        (lambda: affine(np.zeros((2, 2, 3)), (2, 3, 4, 0)), ValueError, "size must be at least 1"),
        (lambda: affine(np.zeros((2, 2, 3), int), (2, 3, 4, 5)), TypeError, "float32 or float64"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
