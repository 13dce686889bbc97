"""Each kernel equals the plain NumPy expression that its docstring names."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import parity_tests
from numpy_impl import kernels
from numpy_impl.kernels import (
    channels,
    elementwise,
    masks,
    memory,
    products,
    resample,
    threads,
    windows,
)
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result

Array = np.ndarray
RNG = np.random.default_rng(0)
# proven elsewhere: a layer's kernel against the layer's definition in textbook.py
ELSEWHERE = {
    "attention": "nn/test_attention.py",
    "convolution": "test_textbook.py",
    "groups": "test_textbook.py",
    "depthwise": "test_textbook.py",
    "fused": "test_random.py",
    "im2col": "kernels/test_im2col.py",
    "pieces": "kernels/test_pieces.py",
    "pooling": "test_textbook.py",
    "special": "kernels/test_special.py",
    "ranges": "kernels/test_ranges.py",
    "recurrent": "kernels/test_recurrent.py",
    "segments": "kernels/test_segments.py",
}
SHAPES = [(), (0, 3), (5,), (3, 4), (2, 3, 4, 5), (700, 640)]  # the last is worked on in slices


def numbers(*shape: int) -> Array:
    values = np.asarray(RNG.standard_normal(shape))
    flat = values.reshape(-1)
    for i, special in enumerate((0.0, -0.0, np.nan, np.inf, -np.inf)):
        flat[i * 2 : i * 2 + 1] = special
    return values


@elementwise.elementwise
def _gated(x: Array, y: Array, slope: float = 2.0) -> Array:
    return x * np.tanh(y) * slope


@elementwise.elementwise
def _tanh(x: Array, out: Array | None = None) -> Array:
    return np.tanh(x, out=out)


@elementwise.curve
def _square(x: Array, y: Array, slope: Array | None, factor: float = 3.0) -> None:
    np.multiply(x * x, factor, out=y)
    if slope is not None:
        np.multiply(x, 2 * factor, out=slope)


@elementwise.gate
def _at_least(x: Array, y: Array, mask: Array | None, low: float = 0.5) -> None:
    np.maximum(x, low, out=y)
    if mask is not None:
        masks.as_mask(np.greater(x, low, out=mask))


def slopes(x: Array) -> Array:
    """One for each position along the last axis."""
    return np.linspace(-1, 2, x.shape[-1], dtype=x.dtype) if x.ndim > 1 else x.dtype.type(0.5)


def _chosen(x: Array, y: Array) -> Array:
    out = np.empty_like(x)
    masks.choose(x, y, masks.as_mask(np.asarray(x > y)), out)
    return out


def _slicewise_sum(x: Array, y: Array) -> Array:
    out = np.empty_like(x)
    threads.slicewise(lambda a, b, o: np.add(a, b, out=o), x, y, out)
    return out


# of arrays of any one shape: the kernel and the expression
ELEMENTWISE: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "elementwise.elementwise": (_gated, lambda x, y: x * np.tanh(y) * 2.0),
    "elementwise.elementwise with out": (lambda x, y: _tanh(x), lambda x, y: np.tanh(x)),
    "elementwise.curve": (lambda x, y: _square(x, 0.5)[0], lambda x, y: x * x * 0.5),
    "elementwise.curve, the slope": (lambda x, y: _square(x, 0.5)[1], lambda x, y: x * 1.0),
    "elementwise.curve without a slope": (
        lambda x, y: [_square(x, keeps=False)[i] for i in (1, 0)][1],
        lambda x, y: x * x * 3.0,
    ),
    "elementwise.gate": (lambda x, y: _at_least(x)[0], lambda x, y: np.maximum(x, 0.5)),
    "elementwise.gate, the mask": (
        lambda x, y: elementwise.where_mask(_at_least(x)[1], y, 0.5),
        lambda x, y: np.where(x > 0.5, 0.5 * y, np.zeros((), y.dtype)),
    ),
    "elementwise.times": (lambda x, y: elementwise.times(x, y), lambda x, y: x * y),
    "elementwise.positive_part": (
        lambda x, y: elementwise.positive_part(x),
        lambda x, y: np.maximum(x, 0),
    ),
    "elementwise.is_positive": (
        lambda x, y: elementwise.is_positive(x) != 0,
        lambda x, y: ~np.asarray(x <= 0),
    ),
    "elementwise.where_mask": (
        lambda x, y: elementwise.where_mask(elementwise.is_positive(x), y),
        lambda x, y: np.where(~(x <= 0), y, np.zeros((), y.dtype)),
    ),
    "elementwise.scale_negative": (
        lambda x, y: elementwise.scale_negative(y, x, -0.5),
        lambda x, y: np.where(x > 0, y, y.dtype.type(-0.5) * y),
    ),
    "elementwise.leak": (
        lambda x, y: elementwise.leak(x, 0.25),
        lambda x, y: np.where(x > 0, x, x.dtype.type(0.25) * x),
    ),
    "elementwise.leak with another slope": (
        lambda x, y: elementwise.leak(x, 3.0),
        lambda x, y: np.where(x > 0, x, x.dtype.type(3.0) * x),
    ),
    "masks.as_mask": (
        lambda x, y: masks.as_mask(np.asarray(x > y)),
        lambda x, y: -np.asarray(x > y).astype(np.int8),
    ),
    "masks.as_opposite_mask": (
        lambda x, y: masks.as_opposite_mask(np.asarray(x > y)),
        lambda x, y: -np.asarray(~(x > y)).astype(np.int8),
    ),
    "masks.select": (
        lambda x, y: masks.select(x, masks.as_mask(np.asarray(x > y))),
        lambda x, y: np.where(x > y, x, np.zeros((), x.dtype)),
    ),
    "masks.where": (
        lambda x, y: masks.where(np.asarray(x > y), x, y),
        lambda x, y: np.where(x > y, x, y),
    ),
    "masks.where of numbers": (
        lambda x, y: masks.where(np.asarray(x > y), x.dtype.type(0.3), y),
        lambda x, y: np.where(x > y, x.dtype.type(0.3), y),
    ),
    "masks.where with 0": (
        lambda x, y: masks.where(np.asarray(x > y), x),
        lambda x, y: np.where(x > y, x, np.zeros((), x.dtype)),
    ),
    "elementwise.scale_negative by slopes": (
        lambda x, y: elementwise.scale_negative(y, x, slopes(x)),
        lambda x, y: np.where(x > 0, y, slopes(x) * y),
    ),
    "masks.choose": (_chosen, lambda x, y: np.where(x > y, x, y)),
    "threads.slicewise": (_slicewise_sum, lambda x, y: x + y),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ELEMENTWISE)
@np.errstate(all="ignore")
def test_elementwise(name, shape, dtype) -> None:
    kernel, expression = ELEMENTWISE[name]
    x, y = (numbers(*shape).astype(dtype) for _ in range(2))
    before = x.copy(), y.copy()
    found, wanted = kernel(x, y), np.asarray(expression(x, y))
    assert (found.dtype, found.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal((x, y), before)
    assert not np.shares_memory(found, x)


def by_channel(values: Array, like: Array) -> Array:
    return values.reshape(1, -1, *(1,) * (like.ndim - 2))


def axes_of(x: Array) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


def unseen(view: Array, like: Array) -> Array:
    return channels.from_view(view, like.shape)


def last(x: Array) -> Array:
    """The same with channels last in memory."""
    return windows.channels_first(np.ascontiguousarray(windows.channels_last(x)))


def seen(x: Array) -> Array:
    return channels.view_of(x)


def kernel_of(name: str, x: Array, y: Array, v: Array) -> list[Array]:
    """A kernel of channels, of views; its results as arrays again."""
    a, b, function = seen(x), channels.view_like(y, seen(x)), getattr(channels, name)
    arguments = {
        "channel_sums": (a, len(v)),
        "product_sums": (a, b, v),
        "moments": (a, len(v)),
        "scale_by": (a, v),
        "scale_shift": (a, v, 2 * v, -v),
        "scale_less": (a, v, b, 2 * v, 3 * v, 4 * v),
    }
    found = function(*arguments[name])
    if name == "moments":
        mean, residual, var = found
        return [mean + residual, var]
    if name.endswith("sums"):
        return [*found] if isinstance(found, tuple) else [found]
    return [unseen(found, x)]


# of x, another array of its shape (N, C, S...), and values of its channels
CHANNELS: dict[str, Callable[[Array, Array, Array], list[Array]]] = {
    "channel_sums": lambda x, y, v: [x.sum(axes_of(x))],
    "product_sums": lambda x, y, v: [
        x.sum(axes_of(x)),
        (x * (y - by_channel(v, x))).sum(axes_of(x)),
    ],
    "moments": lambda x, y, v: [x.mean(axes_of(x)), x.var(axes_of(x))],
    "scale_by": lambda x, y, v: [x * by_channel(v, x)],
    "scale_shift": lambda x, y, v: [
        (x - by_channel(v, x)) * by_channel(2 * v, x) - by_channel(v, x)
    ],
    "scale_less": lambda x, y, v: [
        x * by_channel(v, x)
        - (y - by_channel(2 * v, x)) * by_channel(3 * v, x)
        - by_channel(4 * v, x)
    ],
}
BY_CHANNEL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "channels.view_of": (
        lambda x, y, v: [channels.view_of(x).reshape(x.shape), channels.view_of(last(x))],
        lambda x, y, v: [x, np.moveaxis(x, 1, -1).reshape(channels.view_of(last(x)).shape)],
    ),
    "channels.view_like": (
        lambda x, y, v: [
            channels.view_like(last(x), seen(y)) - 0,
            channels.view_like(x, seen(last(y))),
        ],
        lambda x, y, v: [seen(x), seen(last(x))],
    ),
    "channels.from_view": (
        lambda x, y, v: [unseen(seen(x), x), unseen(seen(last(x)), x)],
        lambda x, y, v: [x, x],
    ),
    **{
        f"channels.{kernel} {lies}": (
            lambda x, y, v, kernel=kernel, lie=lie: kernel_of(kernel, lie(x), lie(y), v),
            expression,
        )
        for kernel, expression in CHANNELS.items()
        for lies, lie in {"as it lies": lambda a: a, "channels last": last}.items()
    },
    "windows.channels_last": (
        lambda x, y, v: windows.channels_last(x),
        lambda x, y, v: np.moveaxis(x, 1, -1),
    ),
    "windows.channels_first": (
        lambda x, y, v: windows.channels_first(x),
        lambda x, y, v: np.moveaxis(x, -1, 1),
    ),
    "products.sum_rows": (
        lambda x, y, v: products.sum_rows(x.reshape(-1, len(v))),
        lambda x, y, v: x.reshape(-1, len(v)).sum(0),
    ),
    "products.sum_along": (
        lambda x, y, v: [products.sum_along(x, 0), products.sum_along(x, (0, -1), True)],
        lambda x, y, v: [x.sum(0), x.sum((0, -1), keepdims=True)],
    ),
    "products.dot_rows": (
        lambda x, y, v: products.dot_rows(y.reshape(-1), x.reshape(-1, 1)),
        lambda x, y, v: y.reshape(-1) @ x.reshape(-1, 1),
    ),
    "products.sum_products": (
        lambda x, y, v: products.sum_products(x.reshape(-1, len(v)), y.reshape(-1, len(v))),
        lambda x, y, v: x.reshape(-1, len(v)).T @ y.reshape(-1, len(v)),
    ),
    "products.matmul": (
        lambda x, y, v: products.matmul(x.reshape(-1, len(v)), np.outer(v, v)),
        lambda x, y, v: x.reshape(-1, len(v)) @ np.outer(v, v),
    ),
    "threads.sum_slices": (
        lambda x, y, v: threads.sum_slices(lambda s: [x[s].sum(0), y[s].max(0).copy()], len(x), 1),
        lambda x, y, v: [x.sum(0), y.max(0)],
    ),
    "threads.sum_each": (
        lambda x, y, v: threads.sum_each(lambda i: [x[i] + 0, y[i] * x[i]], range(len(x))),
        lambda x, y, v: [x.sum(0), (x * y).sum(0)],
    ),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 5), (19, 2, 3, 4), (40, 30, 16, 16)], ids=str)
@pytest.mark.parametrize("name", BY_CHANNEL)
def test_by_channel(name, shape, dtype) -> None:
    kernel, expression = BY_CHANNEL[name]
    x, y = (RNG.standard_normal(shape).astype(dtype) for _ in range(2))
    values = RNG.standard_normal(shape[1]).astype(dtype)
    found, wanted = kernel(x, y, values), expression(x, y, values)
    many = isinstance(wanted, list)
    for part, other in zip(found if many else [found], wanted if many else [wanted], strict=True):
        result = Result(name, "param_grad", np.asarray(part), np.asarray(other))
        result.check(tolerance(dtype, "param_grad"))


@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 2), (0, 3)), ((-1, 2), (1, -2))], ids=str)
@pytest.mark.parametrize("value", [0.0, -np.inf])
def test_padding(pads, value) -> None:
    x = RNG.standard_normal((2, 5, 6, 3))
    around = [(0, 0), *((max(0, low), max(0, high)) for low, high in pads), (0, 0)]
    rows, columns = (
        slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pads, (5, 6), strict=True)
    )
    cropped = x[:, rows, columns]
    found = windows.pad_channels_last(x, pads, value)
    np.testing.assert_array_equal(found, np.pad(cropped, around, constant_values=value))
    assert found.flags.c_contiguous
    if min(map(min, pads)) >= 0:
        np.testing.assert_array_equal(found[windows.interior(pads, x.shape[1:3])], x)


def test_a_crop_of_more_than_there_is_takes_from_the_padding() -> None:
    found = windows.pad_channels_last(np.ones((2, 3, 4, 1)), ((0, 0), (5, -6)), 0.5)
    np.testing.assert_array_equal(found, np.full((2, 3, 3, 1), 0.5))


def test_window_slices() -> None:
    padded = RNG.standard_normal((2, 9, 11, 3))
    view = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (1, 2))[:, ::3, ::2]
    for offset in np.ndindex(3, 3):
        slices = windows.window_slices(offset, (3, 2), (2, 2), view.shape[1:3])
        np.testing.assert_array_equal(padded[slices], view[..., offset[0] * 2, offset[1] * 2])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 3), (3, 6), (7, 3), (3, 7), (4, 4), (12, 1)], ids=str)
@pytest.mark.parametrize("count", [0, 1, 4, 30])
@pytest.mark.parametrize("step", [1, -1])
def test_resample(shape, count, step, dtype) -> None:
    """Any few entries, twice at one place too; and along the axis before the last, transposed."""
    rows, columns = (RNG.integers(0, n, count) for n in shape)
    values = RNG.standard_normal(count).astype(dtype)
    band = resample.Band(rows, columns, values, shape)
    matrix = np.zeros(shape, dtype)
    np.add.at(matrix, (rows, columns), values)
    x = RNG.standard_normal((2, 3, shape[0], shape[1])).astype(dtype)[..., ::step]
    found = resample.resample(x, [band.transposed, band])
    wanted = np.einsum("os,ncps,pq->ncqo", matrix, x, matrix)
    Result("resample", "forward", found, wanted).check(tolerance(dtype, "forward"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (2, 5), (0, 4), (1, 1, 1)], ids=str)
def test_aligned_memory(shape, dtype) -> None:
    found = memory.aligned_empty(shape, np.dtype(dtype))
    assert (found.shape, found.dtype, found.flags.c_contiguous) == (shape, dtype, True)
    assert not found.size or found.ctypes.data % 64 == 0


@pytest.mark.parametrize("shape", [(3,), (0, 4), (200, 1000)], ids=str)
def test_large_memory_is_aligned(shape) -> None:
    found = memory.empty(shape, np.dtype("float32"))
    like = memory.empty_like(found), memory.empty_like(found, np.float32)
    for array in (found, *like):
        assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, "float32", True)
        assert array.size < 1000 or array.ctypes.data % 64 == 0
    assert memory.empty_like(found.T, np.bool_).strides == np.empty_like(found.T, np.bool_).strides


NAMED = {
    *(name.split(" ")[0] for name in (*ELEMENTWISE, *BY_CHANNEL)),
    "memory.aligned_empty",
    "memory.empty",
    "memory.empty_like",
    "resample.resample",
    "windows.interior",
    "windows.pad_channels_last",
    "windows.window_slices",
    # test_threads.py
    "threads.cache_slices",
    "threads.for_each",
    "threads.for_each_slice",
    "threads.get_num_threads",
    "threads.once_a_thread",
    "threads.set_num_threads",
    "threads.with_one_blas_thread",
}
MODULES = [info.name for info in pkgutil.iter_modules(kernels.__path__)]


def functions_of(name: str) -> list[tuple[str, Callable[..., Any]]]:
    module = importlib.import_module(f"numpy_impl.kernels.{name}")
    return [
        (f"{name}.{key}", value)
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and key[0] != "_"
    ]


@pytest.mark.parametrize("name", [m for m in MODULES if m not in ELSEWHERE])
def test_every_kernel_is_tested_and_says_what_it_equals(name) -> None:
    for key, function in functions_of(name):
        assert key in NAMED, f"{key} has no row"
        says = "``" in (function.__doc__ or "") or key.endswith(("num_threads", "cache_slices"))
        assert says, f"{key} does not name its expression"


@pytest.mark.parametrize("name", [m for m in MODULES if m in ELSEWHERE])
def test_the_others_have_a_test_too(name) -> None:
    assert (Path(parity_tests.__file__).parent / ELSEWHERE[name]).is_file()
