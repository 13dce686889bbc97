"""Conv1d, Conv2d, Conv3d."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_impl import nn
from numpy_impl.kernels import convolution
from numpy_impl.nn import functional
from parity_tests.cases import Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import to_numpy, to_torch

CASES = [
    Case("Conv1d", "3, 4, 3", (2, 3, 10)),
    Case("Conv1d", "3, 4, 3", (3, 10), "unbatched"),
    Case("Conv1d", "4, 6, 4, stride=2, padding=3, dilation=2, groups=2", (2, 4, 15)),
    Case("Conv1d", "3, 4, 4, padding='same'", (2, 3, 9), "even kernel, same"),
    Case("Conv1d", "3, 4, 3, padding=2, padding_mode='circular'", (2, 3, 7)),
    Case("Conv2d", "3, 4, 3", (2, 3, 8, 8)),
    Case("Conv2d", "1, 16, 3, padding=1", (3, 1, 9, 7), "one channel: the lab's first layer"),
    Case("Conv2d", "16, 32, 3, padding=1", (2, 16, 7, 7), "the lab's second layer"),
    Case("Conv2d", "3, 4, 3, bias=False", (2, 3, 8, 8), "no bias"),
    Case("Conv2d", "3, 4, 3", (3, 8, 8), "unbatched"),
    Case("Conv2d", "3, 4, 1", (2, 3, 5, 6), "1x1"),
    Case("Conv2d", "3, 4, 1, stride=2", (2, 3, 5, 6), "1x1 strided"),
    Case(
        "Conv2d", "3, 4, (2, 5), padding=(1, 3)", (2, 3, 6, 7), "not square, pad above the kernel"
    ),
    Case("Conv2d", "3, 4, 2, padding=3", (2, 3, 4, 4), "pad larger than kernel - 1"),
    Case("Conv2d", "3, 4, 3, stride=2", (2, 3, 8, 8), "last row not reached"),
    Case("Conv2d", "3, 8, 3, stride=2, padding=1", (2, 3, 8, 9), "many filters"),
    Case("Conv2d", "12, 25, 3, 2, 1, 2", (2, 12, 9, 9), "many filters, dilated"),
    Case("Conv2d", "3, 4, 3, stride=(3, 1), padding=(0, 2)", (2, 3, 10, 6)),
    Case("Conv2d", "3, 4, 2, stride=3", (2, 3, 9, 9), "gaps between windows"),
    Case("Conv2d", "3, 4, 3, dilation=2, padding=2", (2, 3, 8, 8)),
    Case("Conv2d", "3, 4, 3, dilation=(1, 3), stride=2, padding=1", (2, 3, 7, 9)),
    Case("Conv2d", "4, 6, 3, groups=2, padding=1", (2, 4, 6, 6)),
    Case("Conv2d", "12, 10, 3, groups=2, padding=1", (2, 12, 6, 6), "enough channels a group"),
    Case("Conv2d", "12, 10, 3, 2, groups=2", (2, 12, 7, 7), "enough channels a group"),
    Case("Conv2d", "4, 4, 3, groups=4, padding=1", (2, 4, 6, 6), "depthwise"),
    Case("Conv2d", "4, 4, 3, groups=4, stride=(1, 2)", (2, 4, 6, 9), "depthwise, phases"),
    Case("Conv2d", "4, 4, 4, 3, 2, 2, groups=4", (2, 4, 9, 10), "depthwise, dilated phases"),
    Case("Conv2d", "4, 4, 2, 4, 1, 2, groups=4", (2, 4, 9, 10), "depthwise, gaps"),
    Case("Conv1d", "700, 700, 3, groups=700", (2, 700, 14), "depthwise, rows in pieces"),
    Case("Conv2d", "4, 8, 3, groups=4, stride=2", (2, 4, 7, 7), "depthwise, two filters each"),
    Case("Conv2d", "3, 4, 3, padding='same'", (2, 3, 5, 6)),
    Case("Conv2d", "3, 4, (2, 4), padding='same', dilation=(3, 1)", (2, 3, 7, 6), "uneven pads"),
    Case("Conv2d", "3, 4, 3, padding='valid'", (2, 3, 5, 6)),
    Case("Conv2d", "3, 4, 3, padding=2, padding_mode='reflect'", (2, 3, 5, 6)),
    Case("Conv2d", "3, 4, 3, padding=(2, 1), padding_mode='replicate', stride=2", (2, 3, 5, 6)),
    Case("Conv2d", "3, 4, 3, padding=(3, 1), padding_mode='circular'", (2, 3, 5, 6)),
    Case("Conv2d", "2, 4, 4, padding='same', padding_mode='reflect'", (2, 2, 5, 6)),
    Case("Conv2d", "3, 4, 5", (2, 3, 5, 5), "kernel as large as the input"),
    Case("Conv2d", "3, 4, 3, padding=1", (0, 3, 5, 5), "empty batch"),
    Case("Conv2d", "4, 4, 3, groups=2", (0, 4, 6, 6), "empty batch"),
    Case("Conv2d", "4, 4, 3, groups=4", (0, 4, 6, 6), "empty batch"),
    Case("Conv2d", "4, 8, 3, 2, dilation=2, groups=4", (0, 4, 9, 9), "empty batch"),
    Case("Conv2d", "12, 10, 3, groups=2, bias=False", (0, 12, 90, 90), "empty batch, in blocks"),
    Case("Conv2d", "4, 4, 3, 1, 1, 1, 2, True, 'reflect'", (0, 4, 6, 6), "empty batch"),
    Case("Conv2d", "4, 4, 3, 2, 'valid', 1, 2, True, 'circular'", (0, 4, 6, 6), "empty batch"),
    Case("Conv2d", "4, 4, 3, padding=2", (0, 4, 0, 6), "empty batch of nothing"),
    Case("Conv1d", "4, 4, 3, padding='same', groups=2", (0, 4, 6), "empty batch"),
    Case("Conv3d", "4, 4, 2, 2, groups=2", (0, 4, 4, 5, 4), "empty batch"),
    Case("Conv2d", "3, 4, 3, stride=(2,), padding=(1,), dilation=(2,)", (2, 3, 8, 9), "one int"),
    Case("Conv2d", "3, 4, [3, 2], stride=[2], padding=[0]", (2, 3, 8, 9), "lists"),
    Case("Conv3d", "2, 3, 2, (1,), (1,), (1,)", (2, 2, 3, 4, 3), "one int"),
    Case("Conv2d", "8, 6, 3, padding=1", (4, 8, 24, 24), "large enough to go by rows"),
    Case(
        "Conv2d", "8, 6, (3, 2), stride=(1, 2), dilation=(2, 1)", (5, 8, 26, 40), "by rows, strided"
    ),
    Case("Conv3d", "4, 3, 3, padding=1", (2, 4, 10, 12, 12), "by rows"),
    Case("Conv3d", "2, 3, 2", (2, 2, 4, 5, 4)),
    Case(
        "Conv3d", "2, 4, (1, 3, 2), stride=(1, 2, 1), padding=(0, 1, 1), groups=2", (2, 2, 3, 5, 4)
    ),
    Case("Conv3d", "2, 3, 2, padding=1", (2, 3, 4, 3), "unbatched"),
    Case("Conv3d", "2, 3, 2, padding=1, padding_mode='circular'", (2, 2, 3, 4, 3)),
]


class TestConv(ModuleParity):
    cases = CASES


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sizes=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    groups=st.integers(1, 3),
    per_group=st.tuples(st.integers(1, 6), st.integers(1, 5)),
)
def test_any_geometry(sizes, kernel, stride, padding, dilation, groups, per_group) -> None:
    """The pure pair against torch.nn.functional over random geometries."""
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if any(s + 2 * p < span for s, p, span in zip(sizes, padding, spans, strict=True)):
        return
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, groups * per_group[0], *sizes))
    w = rng.standard_normal((groups * per_group[1], per_group[0], *kernel))
    b = rng.standard_normal(len(w))
    tensors = [to_torch(value).requires_grad_() for value in (x, w, b)]
    expected = F.conv2d(*tensors, stride, padding, dilation, groups)
    actual = functional.conv2d(x, w, b, stride, padding, dilation, groups)
    upstream = rng.standard_normal(actual.shape)
    expected.backward(to_torch(upstream))
    grads = functional.conv2d_backward(upstream, x, w, b, stride, padding, dilation, groups)
    Result("output", "forward", actual, to_numpy(expected)).check(tolerance("float64", "forward"))
    for name, grad, tensor in zip("xwb", grads, tensors, strict=True):
        result = Result(f"grad of {name}", "param_grad", grad, to_numpy(tensor.grad))
        result.check(tolerance("float64", "param_grad"))


CHANGES = [
    ("4, 4, 3", {"padding": 2}),
    ("4, 4, 3", {"padding": (2, 1)}),
    ("4, 4, 3", {"padding": [1]}),
    ("4, 4, 3, padding=1", {"padding": "same"}),
    ("4, 4, 3, padding='same'", {"dilation": 2}),
    ("4, 4, 3", {"stride": 2}),
    ("4, 4, 3", {"stride": [2, 1], "dilation": [2]}),
    ("2, 4, 3", {"groups": 2}),
    ("4, 4, 3, groups=4", {"groups": 4, "stride": (2,)}),
    ("4, 4, 3", {"padding_mode": "circular"}),
    ("4, 4, 3, padding=1", {"padding_mode": "circular"}),
    # torch keeps the first padding for these modes
    ("4, 4, 3, padding=1, padding_mode='reflect'", {"padding": 2}),
    ("4, 4, 3, padding='same', padding_mode='circular'", {"stride": 2}),
    ("4, 4, 3, padding=1, padding_mode='circular'", {"padding_mode": "zeros", "padding": 2}),
    ("4, 4, 3", {"kernel_size": (5, 5), "in_channels": 3}),  # the weight's shape says it
]


@pytest.mark.parametrize(("args", "changes"), CHANGES, ids=str)
def test_attributes_set_afterwards_have_effect(args, changes) -> None:
    case = Case("Conv2d", args, (2, 4, 7, 8))
    pair = case.pair("float64")
    (x,), _ = case.draw("float64")
    pair[0](x if "groups" not in changes else x[:, : pair[0].in_channels])  # nothing is left of it
    for module in pair:
        for name, value in changes.items():
            setattr(module, name, value)
    for result in run_module(*pair, [x], case.rng("upstream")):
        result.check(tolerance("float64", result.direction))


def test_a_change_does_not_reach_an_earlier_forward() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    for padding_mode in ("zeros", "circular"):
        layer = nn.Conv2d(3, 4, 3, padding=1, padding_mode=padding_mode, dtype="float64")
        upstream = np.ones_like(layer(x))
        wanted = layer.backward(upstream)
        layer(x)
        layer.padding, layer.stride, layer.padding_mode = 2, 2, "replicate"
        np.testing.assert_array_equal(layer.backward(upstream), wanted)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("stride", 0, ValueError, "Conv2d: stride must be at least 1, got 0"),
        ("stride", "2", TypeError, "stride must be an int or a tuple of 2 ints, got '2'"),
        ("stride", (), ValueError, "stride must be an int or a tuple of 2 ints"),
        ("padding", -1, ValueError, "padding must be at least 0, got -1"),
        ("padding", [1, 1, 1], ValueError, "padding must be an int or a tuple of 2 ints"),
        ("padding", "full", ValueError, "padding must be 'same', 'valid' or ints"),
        ("dilation", 1.5, TypeError, "dilation must be an int or a tuple of 2 ints"),
        ("groups", 3, ValueError, "out_channels must be divisible by groups=3, got 4"),
        ("groups", 2, ValueError, "in_channels=8 channels"),
        ("padding_mode", "mirror", ValueError, "padding_mode must be one of zeros, reflect"),
    ],
)
def test_wrong_values_set_afterwards(name, value, error, message) -> None:
    layer = nn.Conv2d(4, 4, 3)
    setattr(layer, name, value)
    with pytest.raises(error, match=message):
        layer(np.zeros((1, 4, 6, 6), "f"))


@pytest.mark.parametrize("value", [True, 1.0])
def test_no_int_is_refused_after_an_equal_int(value) -> None:
    nn.Conv2d(3, 4, 3, stride=1)(np.zeros((1, 3, 6, 6), "f"))
    with pytest.raises(TypeError, match="stride must be an int"):
        nn.Conv2d(3, 4, 3, stride=value)


def test_repr_after_changes() -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1, dilation=2)
    layer.padding, layer.dilation, layer.stride = 0, 1, 2  # torch.nn.Conv2d cannot show these
    assert repr(layer) == "Conv2d(4, 4, kernel_size=(3, 3), stride=2)"
    layer.padding, layer.dilation = 2, [1, 3]
    wanted = "Conv2d(4, 4, kernel_size=(3, 3), stride=2, padding=2, dilation=[1, 3])"
    assert repr(layer) == wanted


@pytest.mark.parametrize("groups", [1, 2, 8])
def test_input_gradient_in_pieces_of_the_same_size_for_any_groups(groups, monkeypatch) -> None:
    sizes = []
    sound = convolution.cache_slices

    def pieces(length: int, size: int) -> list[slice]:
        found = sound(length, size)
        sizes.append((found[0].stop - found[0].start) * size)
        assert size == 9 * 32 * 7 * 7, "elements of an image's windows"
        return found

    monkeypatch.setattr(convolution, "cache_slices", pieces)
    layer = nn.Conv2d(32, 128, 3, stride=2, groups=groups)
    layer.backward(np.ones_like(layer(np.ones((40, 32, 15, 15), "f"))))
    assert len(sizes) == 1
    assert 64 * 1024 < sizes[0] <= 128 * 1024


@pytest.mark.parametrize("place", ["input", "upstream"])
@pytest.mark.parametrize(
    ("args", "shape"),
    [
        ("3, 4, 3, padding=1", (2, 3, 6, 6)),
        ("3, 4, 3, stride=2", (2, 3, 7, 7)),
        ("8, 6, 3, padding=1", (4, 8, 24, 24)),
        ("4, 4, 3, 2, 1, 1, 2", (2, 4, 7, 7)),
        ("4, 4, 3, padding=1, groups=4", (2, 4, 6, 6)),
        ("3, 4, 3, padding=1, padding_mode='circular'", (2, 3, 6, 6)),
    ],
)
def test_infinities_and_nan_reach_what_they_reach_in_torch(args, shape, place) -> None:
    case = Case("Conv2d", args, shape, place)
    ours, theirs = case.pair("float64")
    rng = case.rng("infinities")
    x = rng.standard_normal(shape)
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


def test_cross_correlation_by_its_definition() -> None:
    """The equation of the docstring, term by term: no oracle but itself."""
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), dtype="float64")
    x = rng.standard_normal((2, 2, 5, 4))
    output = layer(x)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)))
    for n, f, i, j in np.ndindex(*output.shape):
        total = layer.bias.data[f]
        for c, u, v in itertools.product(range(2), range(3), range(2)):
            total += layer.weight.data[f, c, u, v] * padded[n, c, 2 * i + u, j + 2 * v]
        assert output[n, f, i, j] == pytest.approx(total, rel=1e-12)


def test_output_is_channels_last_in_memory() -> None:
    output = nn.Conv2d(3, 4, 3)(np.zeros((2, 3, 8, 8), "f"))
    assert output.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((3, 4, 0), {}, "kernel_size must be at least 1, got 0"),
        ((3, 4, (3, 3, 3)), {}, "kernel_size must be an int or a tuple of 2 ints"),
        ((3, 4, 3), {"stride": 0}, "stride must be at least 1, got 0"),
        ((3, 4, 3), {"padding": -1}, "padding must be at least 0, got -1"),
        ((3, 4, 3), {"padding": "full"}, "padding must be 'same', 'valid' or ints, got 'full'"),
        ((3, 4, 3), {"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
        ((3, 4, 3), {"groups": 2}, "in_channels must be divisible by groups=2, got 3"),
        ((3, 4, (3,)), {}, "kernel_size must be an int or a tuple of 2 ints"),
        ((3, 4, 3), {"stride": ()}, "stride must be an int or a tuple of 2 ints"),
        ((3, 4, 3), {"padding": ()}, "padding must be an int or a tuple of 2 ints"),
        (
            (3, 4, 3),
            {"padding": (1,), "padding_mode": "reflect"},
            "padding must be an int or a tuple of 2 ints",
        ),
        ((4, 3, 3), {"groups": 2}, "out_channels must be divisible by groups=2, got 3"),
        ((3, 4, 3), {"padding_mode": "mirror"}, "padding_mode must be one of zeros, reflect"),
    ],
)
def test_wrong_arguments(args, kwargs, message) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(*args, **kwargs)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 5, 8, 8), "in_channels=3 channels, got"),
        ((2, 3, 8), "in_channels=3 channels, got 2"),
        ((8, 8), "must be 3-d or 4-d"),
        ((2, 3, 2, 8), "must not be larger than the padded input"),
    ],
)
def test_wrong_input(shape, message) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Conv2d(3, 4, 3)(np.zeros(shape, "f"))


def test_padding_modes_need_enough_input() -> None:
    x = np.zeros((1, 1, 3, 3), "f")
    with pytest.raises(ValueError, match="at most 2"):
        nn.Conv2d(1, 1, 3, padding=3, padding_mode="reflect")(x)
    with pytest.raises(ValueError, match="at most 3"):
        nn.Conv2d(1, 1, 3, padding=4, padding_mode="circular")(x)


def test_needs_input_grad_skips_the_input_gradient() -> None:
    layer = nn.Conv2d(3, 4, 3).needs_input_grad_(False)
    upstream = np.ones_like(layer(np.ones((2, 3, 8, 8), "f")))
    assert layer.backward(upstream) is None
    assert layer.weight.grad is not None


def test_float32_bias_gradient_over_many_positions() -> None:
    """100,352 terms: block summation keeps float32 near torch's double accumulator."""
    layer = nn.Conv2d(1, 4, 1)
    upstream = np.random.default_rng(0).standard_normal((128, 4, 28, 28)).astype("f") + 1
    layer(np.zeros((128, 1, 28, 28), "f"))
    layer.backward(upstream)
    exact = torch.from_numpy(upstream).double().sum((0, 2, 3)).numpy()
    np.testing.assert_allclose(layer.bias.grad, exact, rtol=2e-6)
