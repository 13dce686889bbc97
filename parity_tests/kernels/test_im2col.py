"""Windows as operands of GEMM: both ways, and every cut into blocks, give torch's convolution."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch.nn.functional as F

from numpy_impl.kernels import im2col
from numpy_impl.nn import functional
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result
from torch_ref.convert import to_numpy, to_torch

# input, weight, stride, padding, dilation, groups
GEOMETRIES = [
    ((3, 4, 9, 8), (2, 4, 3, 3), 1, 1, 1),
    ((3, 4, 9, 8), (2, 4, 3, 3), 1, (0, 2), 1),
    ((2, 4, 20, 9), (7, 4, 4, 2), (1, 3), (3, 0), (2, 1)),
    ((1, 5, 16, 7), (3, 5, 5, 2), 1, 0, 1),
    ((2, 4, 9, 9), (2, 4, 5, 3), 1, (4, 3), 1),
    ((2, 4, 9, 8), (2, 4, 3, 1), 1, 0, 1),
    ((2, 4, 6, 5, 7), (2, 4, 3, 2, 2), 1, 1, 1),
    ((3, 4, 7, 8, 6), (3, 4, 2, 3, 3), (1, 1, 2), (2, 1, 0), (3, 2, 1)),
]


@pytest.fixture(params=[100, 3_000, 10**9], ids=["rows", "parts of images", "all at once"])
def small_blocks(request, monkeypatch) -> int:
    monkeypatch.setattr(im2col, "_LEAST_ROWS", 1)
    monkeypatch.setattr(im2col, "_LEAST_ELEMENTS", 0)
    monkeypatch.setattr(im2col, "_LONG_SUM", 30)
    monkeypatch.setattr(im2col, "_BLOCK_BYTES", request.param)
    monkeypatch.setattr(im2col, "_KEPT_ELEMENTS", -1)
    im2col.geometry.cache_clear()
    yield request.param
    im2col.geometry.cache_clear()


GROUPED = ((3, 4, 9, 8), (6, 2, 3, 3), 1, 1, 1, 2)


@pytest.mark.parametrize(
    ("described", "way"),
    [(g, way) for g in GEOMETRIES for way in (im2col.Im2col, im2col.ByRows)]
    + [(GROUPED, im2col.Im2col)],
    ids=str,
)
def test_both_ways_in_blocks(described, way, small_blocks, monkeypatch) -> None:
    shape, filters, *steps = described
    used = []

    def only(*arguments):
        used.append(way(*arguments))
        return used[-1]

    monkeypatch.setattr("numpy_impl.kernels.convolution.geometry", only)
    rng = np.random.default_rng(0)
    n = len(shape) - 2
    x, w, b = (rng.standard_normal(size) for size in (shape, filters, filters[:1]))
    tensors = [to_torch(value).requires_grad_() for value in (x, w, b)]
    expected = getattr(F, f"conv{n}d")(*tensors, *steps)
    actual = getattr(functional, f"conv{n}d")(x, w, b, *steps)
    upstream = rng.standard_normal(actual.shape)
    expected.backward(to_torch(upstream))
    grads = getattr(functional, f"conv{n}d_backward")(upstream, x, w, b, *steps)
    Result("output", "forward", actual, to_numpy(expected)).check(tolerance("float64", "forward"))
    for name, grad, tensor in zip("xwb", grads, tensors, strict=True):
        result = Result(f"grad of {name}", "param_grad", grad, to_numpy(tensor.grad))
        result.check(tolerance("float64", "param_grad"))
    if small_blocks == 100:
        assert len(used[0].blocks) > shape[0], "no image was cut"
    if small_blocks == 10**9:
        assert len(used[0].blocks) == 1


SMALL = [*GEOMETRIES, ((2, 3, 8), (4, 3, 3), 2, 1, 1), ((1, 5, 6, 6), (2, 5, 1, 1), 1, 0, 1)]


@pytest.mark.parametrize("described", SMALL, ids=str)
def test_kept_operands_hold_nothing_of_the_call_before(described) -> None:
    shape, filters, *steps = described
    n = len(shape) - 2
    convolution, reference = getattr(functional, f"conv{n}d"), getattr(F, f"conv{n}d")
    im2col.geometry.cache_clear()
    rng = np.random.default_rng(0)
    outputs, expected = [], []
    for with_bias in (True, True, False, False, True):
        x, w, b = (rng.standard_normal(size) for size in (shape, filters, filters[:1]))
        bias = b if with_bias else None
        outputs.append(convolution(x, w, bias, *steps))
        tensors = [None if a is None else to_torch(a) for a in (x, w, bias)]
        expected.append(to_numpy(reference(*tensors, *steps)))
    for actual, wanted in zip(outputs, expected, strict=True):
        Result("output", "forward", actual, wanted).check(tolerance("float64", "forward"))
    assert not np.shares_memory(outputs[0], outputs[1])


def test_operands_are_kept_for_small_inputs_alone() -> None:
    steps = im2col.Steps((1, 1), ((1, 1), (1, 1)), (1, 1), 1)

    def is_small(batch: int, filters: int, changed: im2col.Steps = steps) -> bool:
        return im2col.geometry((batch, 14, 14, 16), 4, filters, (3, 3), changed).is_small

    assert is_small(1, 32)
    assert not is_small(128, 32)
    assert not is_small(1, 1024)  # the filters are large
    assert not is_small(1, 32, steps._replace(pads=((99, 99), (99, 99)), stride=(99, 99)))
    assert not is_small(1, 32, steps._replace(groups=2))
    assert not is_small(1, 32, steps._replace(pads=((-1, 1), (1, 1))))  # cut, not padded


def test_callers_at_the_same_time_have_operands_of_their_own() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((4, 1, 3, 8, 8))
    w, b = rng.standard_normal((5, 3, 3, 3)), rng.standard_normal(5)
    wanted = [functional.conv2d(x, w, b) for x in inputs]

    def call(number: int) -> None:
        for _ in range(300):
            np.testing.assert_array_equal(functional.conv2d(inputs[number], w, b), wanted[number])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(call, range(4)))


@pytest.mark.parametrize(
    ("shape", "filters", "kernel", "stride", "groups"),
    [
        ((128, 14, 14, 16), 32, (3, 3), (1, 1), 1),
        ((32, 32, 32, 64), 64, (3, 3), (1, 2), 1),
        ((8, 16, 16, 16, 8), 16, (3, 3, 3), (1, 1, 1), 1),
    ],
)
def test_by_rows_where_it_pays(shape, filters, kernel, stride, groups) -> None:
    n = len(kernel)
    steps = im2col.Steps(stride, ((1, 1),) * n, (1,) * n, groups)
    arguments = (shape, 4, filters, kernel, steps)
    chosen = im2col.geometry(*arguments)
    assert type(chosen) is im2col.ByRows


@pytest.mark.parametrize(
    ("shape", "filters", "kernel", "stride", "groups"),
    [
        ((1, 14, 14, 16), 32, (3, 3), (1, 1), 1),  # a single image
        ((128, 28, 28, 1), 1, (3, 3), (1, 1), 1),  # runs too short
        ((128, 14, 14, 16), 128, (3, 3), (1, 1), 1),  # many filters
        ((128, 28, 28, 16), 32, (3, 3), (2, 1), 1),  # rows that are skipped
        ((128, 7, 7, 64), 64, (3, 3), (1, 1), 1),  # few positions in an image
        ((128, 14, 14, 16), 32, (1, 3), (1, 1), 1),  # no taps
        ((128, 256, 16), 32, (3,), (1,), 1),
        ((128, 14, 14, 16), 16, (3, 3), (1, 1), 2),
    ],
)
def test_one_product_elsewhere(shape, filters, kernel, stride, groups) -> None:
    n = len(kernel)
    steps = im2col.Steps(stride, ((1, 1),) * n, (1,) * n, groups)
    arguments = (shape, 4, filters, kernel, steps)
    assert type(im2col.geometry(*arguments)) is im2col.Im2col
