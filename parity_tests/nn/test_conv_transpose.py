"""ConvTranspose1d, ConvTranspose2d, ConvTranspose3d."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import to_numpy, to_torch

CASES = [
    Case("ConvTranspose1d", "3, 4, 3", (2, 3, 8)),
    Case("ConvTranspose1d", "3, 4, 3", (3, 8), "unbatched"),
    Case("ConvTranspose1d", "4, 6, 4, 3, 2, 2, 2, False, 2", (2, 4, 5), "by position"),
    Case("ConvTranspose1d", "4, 4, 3, groups=4, padding=1", (2, 4, 6), "depthwise"),
    Case("ConvTranspose1d", "3, 4, 3, output_padding=2, dilation=3", (2, 3, 5), "beyond stride"),
    Case("ConvTranspose1d", "2, 3, 1, 1, 2, 6, dilation=7", (2, 2, 2), "padding and no window"),
    Case("ConvTranspose1d", "2, 2, 2, 2, 3, 6, 2, dilation=7", (2, 2, 1), "phases of no window"),
    Case("ConvTranspose2d", "3, 4, 3", (2, 3, 5, 6)),
    Case("ConvTranspose2d", "3, 4, 3", (3, 5, 6), "unbatched"),
    Case("ConvTranspose2d", "3, 4, 3, bias=False", (2, 3, 5, 6), "no bias"),
    Case("ConvTranspose2d", "3, 4, 4, 2, 1", (2, 3, 5, 5), "doubles the size: the DCGAN's layers"),
    Case("ConvTranspose2d", "9, 3, 4, 2, 1", (2, 9, 5, 5), "few channels: its last layer"),
    Case("ConvTranspose2d", "9, 3, 3, 2, 1, 3, dilation=4", (2, 9, 3, 3), "few channels, beyond"),
    Case("ConvTranspose2d", "3, 4, 2, 2", (2, 3, 4, 5), "windows side by side: the U-Net's"),
    Case("ConvTranspose2d", "3, 4, 2, 3, output_padding=2", (2, 3, 4, 5), "gaps between windows"),
    Case("ConvTranspose2d", "3, 4, 1", (2, 3, 4, 5), "1x1"),
    Case("ConvTranspose2d", "3, 4, 1, 2, output_padding=1", (2, 3, 4, 5), "1x1 strided"),
    Case("ConvTranspose2d", "3, 4, 3, 2, 1, (1, 0)", (2, 3, 4, 4), "a row more"),
    Case("ConvTranspose2d", "3, 4, (2, 3), (1, 2), (0, 1)", (2, 3, 4, 4)),
    Case("ConvTranspose2d", "3, 4, 3, padding=2", (2, 3, 5, 6), "padding as wide as the kernel"),
    Case("ConvTranspose2d", "3, 4, 3, padding=3", (2, 3, 6, 7), "padding wider than the kernel"),
    Case("ConvTranspose2d", "3, 4, 3, 2, 4", (2, 3, 5, 5), "wider, strided"),
    Case("ConvTranspose2d", "3, 4, 2, dilation=3, padding=1", (2, 3, 4, 5)),
    Case("ConvTranspose2d", "3, 4, 3, 2, dilation=(1, 4), output_padding=(1, 3)", (2, 3, 4, 3)),
    Case("ConvTranspose2d", "4, 6, 3, groups=2, padding=1", (2, 4, 5, 5)),
    Case("ConvTranspose2d", "4, 6, 3, 2, groups=2", (2, 4, 4, 5)),
    Case("ConvTranspose2d", "12, 10, 3, 2, 1, groups=2", (2, 12, 4, 5), "enough channels"),
    Case("ConvTranspose2d", "4, 4, 3, groups=4, padding=1", (2, 4, 5, 5), "depthwise"),
    Case("ConvTranspose2d", "4, 4, 2, 3, 0, 2, groups=4", (2, 4, 4, 5), "depthwise, gaps"),
    Case("ConvTranspose2d", "4, 4, 3, 2, 3, 4, 4, True, 5", (2, 4, 5, 5), "depthwise, beyond"),
    Case("ConvTranspose2d", "4, 4, 3, 2, 1, 1, groups=4", (2, 4, 4, 5), "depthwise, strided"),
    Case("ConvTranspose2d", "4, 8, 3, 2, groups=4", (2, 4, 4, 5), "depthwise, two filters each"),
    Case("ConvTranspose2d", "3, 4, 3", (0, 3, 5, 5), "empty batch"),
    Case("ConvTranspose2d", "4, 4, 3, 2, groups=2", (0, 4, 5, 5), "empty batch"),
    Case("ConvTranspose2d", "4, 4, 3, 2, groups=4", (0, 4, 5, 5), "empty batch"),
    Case("ConvTranspose2d", "3, 4, [3, 2], [2], [0], [1]", (2, 3, 4, 4), "lists"),
    Case("ConvTranspose2d", "8, 6, 3, padding=1", (4, 8, 24, 24), "large enough to go by rows"),
    Case("ConvTranspose3d", "2, 3, 2", (2, 2, 3, 4, 3)),
    Case("ConvTranspose3d", "2, 3, 2, padding=1", (2, 3, 4, 3), "unbatched"),
    Case("ConvTranspose3d", "2, 4, (1, 3, 2), (1, 2, 1), (0, 1, 1), (0, 1, 0), 2", (2, 2, 3, 4, 3)),
]


class TestConvTranspose(ModuleParity):
    cases = CASES


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    inputs=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    output_padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 6), st.integers(1, 5)),
)
def test_any_geometry(
    inputs, kernel, stride, padding, output_padding, dilation, groups, per_group
) -> None:
    """The pure pair against torch.nn.functional over random geometries."""
    extra = tuple(
        min(e, max(s, d) - 1) for e, s, d in zip(output_padding, stride, dilation, strict=True)
    )
    geometry = zip(inputs, kernel, stride, padding, extra, dilation, strict=True)
    if min((i - 1) * s - 2 * p + d * (k - 1) + e for i, k, s, p, e, d in geometry) < 0:
        return
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, groups * per_group[0], *inputs))
    w = rng.standard_normal((groups * per_group[0], per_group[1], *kernel))
    b = rng.standard_normal(groups * per_group[1])
    options = (stride, padding, extra, groups, dilation)
    tensors = [to_torch(value).requires_grad_() for value in (x, w, b)]
    expected = F.conv_transpose2d(*tensors, *options)
    actual = functional.conv_transpose2d(x, w, b, *options)
    upstream = rng.standard_normal(actual.shape)
    expected.backward(to_torch(upstream))
    grads = functional.conv_transpose2d_backward(upstream, x, w, b, *options)
    Result("output", "forward", actual, to_numpy(expected)).check(tolerance("float64", "forward"))
    for name, grad, tensor in zip("xwb", grads, tensors, strict=True):
        result = Result(f"grad of {name}", "param_grad", grad, to_numpy(tensor.grad))
        result.check(tolerance("float64", "param_grad"))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "args", "shape", "output_size"),
    [
        ("ConvTranspose1d", "3, 4, 3, 2, 1", (2, 3, 4), (8,)),
        ("ConvTranspose2d", "3, 4, 3, 2, 1", (2, 3, 4, 4), (7, 8)),
        ("ConvTranspose2d", "3, 4, 3, 2, 1", (2, 3, 4, 4), [2, 4, 8, 7]),
        ("ConvTranspose2d", "3, 4, 3, 2, 1, 1", (3, 4, 4), (7, 7)),
        ("ConvTranspose2d", "3, 4, 3, 2, 1", (3, 4, 4), (4, 8, 7)),
        ("ConvTranspose2d", "3, 4, 3, dilation=3", (2, 3, 4, 4), (10, 10)),
        ("ConvTranspose3d", "2, 3, 2, 3", (1, 2, 2, 2, 2), (5, 6, 7)),
    ],
    ids=str,
)
def test_output_size(name, args, shape, output_size, dtype) -> None:
    case = Case(name, args, shape)
    ours, theirs = case.pair(dtype)
    (x,), _ = case.draw(dtype)
    expected = theirs(to_torch(x), output_size=output_size)
    for call in (lambda: ours(x, output_size), lambda: ours(x, output_size=output_size)):
        assert call().shape == tuple(expected.shape)
    upstream = case.rng("upstream").standard_normal(tuple(expected.shape)).astype(dtype)
    expected.backward(to_torch(upstream))
    tensor = numpy_impl.tensor(x, requires_grad=True)
    output = ours(tensor, output_size=output_size)
    output.backward(upstream)
    results = [
        Result("output", "forward", output.data, to_numpy(expected)),
        Result("weight", "param_grad", ours.weight.grad, to_numpy(theirs.weight.grad)),
    ]
    for result in results:
        result.check(tolerance(dtype, result.direction))
    np.testing.assert_array_equal(tensor.grad, (ours(x, output_size), ours.backward(upstream))[1])


def test_the_way_back_of_conv() -> None:
    """<conv(x), y> = <x, conv_transpose(y)>: what makes it the transposed map."""
    rng = np.random.default_rng(0)
    conv = nn.Conv2d(3, 4, 3, 2, 1, bias=False, dtype="float64")
    back = nn.ConvTranspose2d(4, 3, 3, 2, 1, bias=False, dtype="float64")
    back.weight.data[...] = conv.weight.data
    x, y = rng.standard_normal((2, 3, 8, 7)), rng.standard_normal((2, 4, 4, 4))
    left, right = np.sum(conv(x) * y), np.sum(x * back(y, (8, 7)))
    assert left == pytest.approx(right, rel=1e-12)


CHANGES = [
    {"stride": 1, "output_padding": 0},
    {"padding": 0},
    {"padding": [2]},
    {"output_padding": (0, 1)},
    {"dilation": 3},
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_attributes_set_afterwards_have_effect(changes) -> None:
    case = Case("ConvTranspose2d", "4, 4, 3, 2, 1, 1", (2, 4, 5, 4), str(changes))
    pair = case.pair("float64")
    (x,), _ = case.draw("float64")
    pair[0](x)  # nothing is left of it
    for module in pair:
        for name, value in changes.items():
            # torch.nn's own forward asks for tuples
            value = (value,) * 2 if isinstance(value, int) else value
            setattr(module, name, tuple(value) * (2 // len(value)))
    for result in run_module(*pair, [x], case.rng("upstream")):
        result.check(tolerance("float64", result.direction))


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "message"),
    [
        ((3, 4, 0), {}, ValueError, "ConvTranspose2d: kernel_size must be at least 1, got 0"),
        ((3, 4, 3), {"stride": 0}, ValueError, "stride must be at least 1, got 0"),
        ((3, 4, 3), {"padding": -1}, ValueError, "padding must be at least 0, got -1"),
        ((3, 4, 3), {"padding": "same"}, TypeError, "padding must be an int or a tuple"),
        ((3, 4, 3), {"padding_mode": "reflect"}, ValueError, "padding_mode must be 'zeros', got"),
        ((3, 4, 3), {"output_padding": -1}, ValueError, "output_padding must be at least 0, got"),
        ((3, 4, 3), {"output_padding": 1}, ValueError, r"must be smaller than stride \(1, 1\) or"),
        ((3, 4, 3, 2), {"output_padding": (1, 2)}, ValueError, r"got \(1, 2\)"),
        ((3, 4, 3), {"groups": 2}, ValueError, "in_channels must be divisible by groups=2, got 3"),
        ((4, 3, 3), {"groups": 2}, ValueError, "out_channels must be divisible by groups=2, got"),
        ((0, 3, 3), {}, ValueError, "in_channels must be at least 1, got 0"),
        ((4, 3, 3), {"dilation": 1.5}, TypeError, "dilation must be an int or a tuple of 2 ints"),
    ],
)
def test_wrong_arguments(args, kwargs, error, message) -> None:
    with pytest.raises(error, match=message):
        nn.ConvTranspose2d(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "shape", "output_size", "message"),
    [
        ((3, 4, 3), (2, 5, 8, 8), None, "ConvTranspose2d: input must have in_channels=3 channels"),
        ((3, 4, 3), (8, 8), None, "must be 3-d or 4-d"),
        ((3, 4, 3), (2, 3, 0, 8), None, "input must have positions along every axis"),
        ((3, 4, 3, 1, 3), (2, 3, 4, 5), None, r"padding must leave an output, got .*\(0, 1\)"),
        ((3, 4, 3, 1, 4), (2, 3, 4, 4), None, r"padding must leave an output, got .*\(-2, -2\)"),
        ((3, 4, 3, 2, 1), (2, 3, 4, 4), (7, 9), r"from \(7, 7\) to \(8, 8\) .*, got \(7, 9\)"),
        ((3, 4, 3, 2, 1), (2, 3, 4, 4), (6, 7), r"from \(7, 7\) to \(8, 8\) .*, got \(6, 7\)"),
        ((3, 4, 3, 2, 1), (2, 3, 4, 4), (7,), r"output_size must have 2 elements, .*, got \(7,\)"),
        ((3, 4, 3, 2, 1), (3, 4, 4), (1, 1, 4, 7, 7), "output_size must have 2 elements"),
    ],
)
def test_wrong_input(args, shape, output_size, message) -> None:
    with pytest.raises(ValueError, match=message):
        nn.ConvTranspose2d(*args)(np.zeros(shape, "f"), output_size)


def test_a_mode_set_afterwards_is_refused() -> None:
    layer = nn.ConvTranspose1d(3, 4, 3)
    layer.padding_mode = "circular"
    with pytest.raises(ValueError, match="padding_mode must be 'zeros', got 'circular'"):
        layer(np.zeros((2, 3, 5), "f"))


@pytest.mark.parametrize("place", ["input", "upstream"])
@pytest.mark.parametrize("args", ["3, 4, 3", "3, 4, 3, 2, 1", "3, 3, 3, 2, groups=3"])
def test_infinities_and_nan_reach_what_they_reach_in_torch(args, place) -> None:
    case = Case("ConvTranspose2d", args, (2, 3, 5, 6), place)
    ours, theirs = case.pair("float64")
    rng = case.rng("infinities")
    x = rng.standard_normal((2, 3, 5, 6))
    upstream = rng.standard_normal(theirs(torch.from_numpy(x)).shape)
    chosen = x if place == "input" else upstream
    chosen.flat[rng.choice(chosen.size, 3, replace=False)] = [np.inf, -np.inf, np.nan]
    tensor = to_torch(x).requires_grad_()
    expected = theirs(tensor)
    expected.backward(to_torch(upstream))
    with np.errstate(invalid="ignore"):
        actual = [ours(x), ours.backward(upstream), ours.weight.grad, ours.bias.grad]
    wanted = [expected, tensor.grad, theirs.weight.grad, theirs.bias.grad]
    assert not all(np.isfinite(array).all() for array in actual)
    for ours_, theirs_ in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(ours_, to_numpy(theirs_), rtol=1e-9, atol=1e-11)
