"""MaxPool1d/2d/3d and AvgPool1d/2d/3d."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from numpy_impl import nn, no_grad
from parity_tests.cases import Case, ModuleParity, Source
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_module


def ties(rng: np.random.Generator) -> np.ndarray:
    """Few distinct values: most windows have several maxima."""
    return rng.integers(0, 2, (3, 2, 8, 8)).astype(float)


def with_nan(rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal((3, 2, 8, 8))
    values[rng.random(values.shape) < 0.3] = np.nan
    return values


def with_infinities(rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal((3, 2, 8, 8))
    values[rng.random(values.shape) < 0.3] = np.inf
    values[rng.random(values.shape) < 0.6] = -np.inf
    return values


def minus_infinities(*shape: int, others: float = 0.1) -> Source:
    """Mostly minus infinity: many windows hold nothing else."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        values = np.full(shape, -np.inf)
        chosen = rng.random(shape) < others
        values[chosen] = rng.choice([np.nan, np.inf, 0, 1], chosen.sum())
        return values

    return draw


NOTHING_ELSE = minus_infinities(2, 3, 7, 8, others=0)
MINUS_INFINITY_CASES = [
    Case(name, f"{args}, return_indices=True", source, "minus infinity", kinks=True)
    for name, args, source in [
        ("MaxPool2d", "2, padding=1", NOTHING_ELSE),
        ("MaxPool2d", "2, 1, 1", NOTHING_ELSE),
        ("MaxPool2d", "(2, 3), 1, 1", minus_infinities(2, 3, 7, 8)),
        ("MaxPool2d", "3, 2, 1", minus_infinities(3, 7, 8)),
        ("MaxPool2d", "(4, 3), (3, 2), (2, 0)", minus_infinities(2, 3, 7, 8)),
        ("MaxPool2d", "(2, 3), 1, 1, (1, 2)", minus_infinities(2, 3, 7, 8)),
        ("MaxPool2d", "3, 1, 1, 3", NOTHING_ELSE),
        ("MaxPool2d", "3, 2, 1, ceil_mode=True", NOTHING_ELSE),
        ("MaxPool2d", "(4, 5), 3, 2, ceil_mode=True", minus_infinities(2, 3, 7, 8)),
        ("MaxPool2d", "2, ceil_mode=True", NOTHING_ELSE),
        ("MaxPool2d", "3", NOTHING_ELSE),
        ("MaxPool2d", "17, 17, 8", minus_infinities(2, 1, 18, 18, others=0)),
        ("MaxPool1d", "3, 2, 1", minus_infinities(2, 3, 9)),
        ("MaxPool1d", "3, 1, 1, 2", minus_infinities(3, 9)),
        ("MaxPool3d", "2, 1, 1", minus_infinities(2, 2, 3, 4, 5)),
        ("MaxPool3d", "3, 2, 1, ceil_mode=True", minus_infinities(2, 2, 3, 4, 5)),
        ("MaxPool3d", "(2, 3, 2), 1, 1, (1, 2, 3)", minus_infinities(2, 2, 4, 5, 6, others=0)),
    ]
] + [
    Case("MaxPool1d", "3, 2, 1", minus_infinities(2, 3, 9), "minus infinity", kinks=True),
    Case("MaxPool2d", "3, 2, 1", minus_infinities(2, 3, 7, 8), "minus infinity", kinks=True),
]
MAX_CASES = [
    Case("MaxPool1d", "2", (2, 3, 8)),
    Case("MaxPool1d", "3, stride=2, padding=1, dilation=2, ceil_mode=True", (3, 11), "unbatched"),
    Case("MaxPool1d", "3, stride=1, return_indices=True", (2, 3, 8)),
    Case("MaxPool2d", "2", (2, 3, 8, 8)),
    Case("MaxPool2d", "2", (2, 3, 7, 9), "a rest that no window reaches"),
    Case("MaxPool2d", "2", (3, 8, 8), "unbatched"),
    Case("MaxPool2d", "3, stride=2", (2, 3, 8, 8), "overlapping"),
    Case("MaxPool2d", "3, stride=1, padding=1", (2, 3, 6, 6)),
    Case("MaxPool2d", "(2, 3), stride=(3, 2), padding=(1, 1)", (2, 3, 8, 8)),
    Case("MaxPool2d", "2, stride=3", (2, 3, 8, 8), "gaps"),
    Case("MaxPool2d", "2, dilation=2", (2, 3, 8, 8)),
    Case("MaxPool2d", "3, stride=2, ceil_mode=True", (2, 3, 8, 8)),
    Case("MaxPool2d", "2, ceil_mode=True", (2, 3, 7, 9), "overhanging windows"),
    Case("MaxPool2d", "3, stride=2, padding=1, ceil_mode=True", (2, 3, 6, 7)),
    Case("MaxPool2d", "2, return_indices=True", (2, 3, 8, 8)),
    Case("MaxPool2d", "3, 2, 1, return_indices=True, ceil_mode=True", (2, 3, 8, 7)),
    Case("MaxPool2d", "2, return_indices=True", ties, "ties", kinks=True),
    Case("MaxPool2d", "3, 1, 1, return_indices=True", ties, "ties, overlapping", kinks=True),
    Case("MaxPool2d", "(3, 2), (1, 2), return_indices=True", with_nan, "NaN", kinks=True),
    Case("MaxPool2d", "2, return_indices=True", with_infinities, "infinities", kinks=True),
    Case("MaxPool2d", "17, 17, 8", (2, 1, 18, 18), "more kernel positions than a byte counts"),
    Case("MaxPool2d", "2", (0, 3, 8, 8), "empty batch"),
    Case("MaxPool2d", "3, 2, 1, return_indices=True", (0, 3, 8, 8), "empty batch"),
    Case("MaxPool1d", "3, 2, 1, ceil_mode=True", (0, 3, 8), "empty batch"),
    Case("MaxPool2d", "(2,), (1,), (1,), (2,)", (2, 3, 8, 9), "one int"),
    Case("MaxPool2d", "[2], padding=[1]", (2, 3, 8, 9), "lists"),
    Case("MaxPool2d", "(3, 2), stride=()", (2, 3, 8, 9), "no stride"),
    Case("MaxPool1d", "(2,), stride=[]", (2, 3, 8), "no stride"),
    Case("MaxPool3d", "(2,), (), (1,), 1, True", (2, 2, 4, 6, 4), "one int"),
    Case("MaxPool3d", "2, 1, 1", (0, 2, 4, 6, 4), "empty batch"),
    *MINUS_INFINITY_CASES,
    Case("MaxPool3d", "2", (2, 2, 4, 6, 4)),
    Case("MaxPool3d", "(1, 3, 2), 2, (0, 1, 1), return_indices=True", (2, 2, 3, 6, 5)),
]

AVG_CASES = [
    Case("AvgPool1d", "2", (2, 3, 8)),
    Case("AvgPool1d", "3, 2, 1, True, False", (3, 10), "unbatched"),
    Case("AvgPool2d", "2", (2, 3, 8, 8)),
    Case("AvgPool2d", "2", (2, 3, 7, 9), "a rest that no window reaches"),
    Case("AvgPool2d", "3, stride=1, padding=1", (2, 3, 6, 6)),
    Case("AvgPool2d", "3, 2, 1, count_include_pad=False", (2, 3, 6, 6)),
    Case("AvgPool2d", "3, 2, 1, ceil_mode=True", (2, 3, 6, 6), "overhang beyond the padding"),
    Case("AvgPool2d", "3, 2, 1, ceil_mode=True, count_include_pad=False", (2, 3, 6, 7)),
    Case("AvgPool2d", "(2, 3), divisor_override=5", (2, 3, 6, 6)),
    Case("AvgPool2d", "2, divisor_override=-3", (3, 6, 6), "unbatched"),
    Case("AvgPool2d", "2, 3", (2, 3, 8, 8), "gaps"),
    Case("AvgPool2d", "2", (0, 3, 8, 8), "empty batch"),
    Case("AvgPool1d", "3, 2, 1, True", (0, 3, 8), "empty batch"),
    Case("AvgPool3d", "2, 1, 1", (0, 2, 4, 6, 4), "empty batch"),
    Case("AvgPool1d", "[2], (), (1,)", (2, 3, 8), "one int, no stride"),
    Case("AvgPool2d", "(2,), (1,), (1,)", (2, 3, 8, 9), "one int"),
    Case("AvgPool2d", "[3, 2], stride=[], padding=[1]", (2, 3, 8, 9), "lists"),
    Case("AvgPool3d", "(2,), stride=(), padding=(1,)", (2, 2, 4, 6, 4), "one int"),
    Case("AvgPool3d", "2", (2, 2, 4, 6, 4)),
    Case("AvgPool3d", "(1, 3, 2), 2, (0, 1, 1), True, False, 7", (2, 2, 3, 6, 5)),
    Case("AvgPool3d", "3, 2, 1, True, False", (2, 2, 4, 6, 5)),
]

CASES = MAX_CASES + AVG_CASES


class TestMaxPool(ModuleParity):
    cases = MAX_CASES


class TestAvgPool(ModuleParity):
    cases = AVG_CASES


def test_first_of_equal_maxima_gets_the_gradient() -> None:
    pool = nn.MaxPool2d(2)
    pool(np.ones((1, 1, 2, 2), "f"))
    grad = pool.backward(np.full((1, 1, 1, 1), 5, "f"))
    np.testing.assert_array_equal(grad[0, 0], [[5, 0], [0, 0]])


def test_padding_is_never_the_maximum() -> None:
    pool = nn.MaxPool2d(2, padding=1, return_indices=True)
    values, indices = pool(np.full((1, 1, 2, 2), -np.inf, "f"))
    np.testing.assert_array_equal(values, np.full((1, 1, 2, 2), -np.inf))
    np.testing.assert_array_equal(indices[0, 0], [[0, 1], [2, 3]])
    grad = pool.backward((np.ones((1, 1, 2, 2), "f"), None))
    np.testing.assert_array_equal(grad, np.ones((1, 1, 2, 2)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    data=st.data(),
    n=st.integers(1, 3),
    ceil_mode=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    others=st.sampled_from([0, 0.05, 0.3, 1]),
)
def test_any_geometry(data, n, ceil_mode, seed, others) -> None:
    """Few values, infinite and NaN ones among them: values, indices, gradients are torch's."""

    def ints(low: int, high: int) -> tuple[int, ...]:
        return tuple(data.draw(st.tuples(*[st.integers(low, high)] * n)))

    sizes, kernel, stride, dilation = ints(2, 7), ints(1, 4), ints(1, 3), ints(1, 3)
    padding = tuple(min(p, k // 2) for p, k in zip(ints(0, 2), kernel, strict=True))
    for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        span = d * (k - 1) + 1
        assume(size + 2 * p >= span)
        # torch reads and writes outside the input for a window without an element
        starts = range(-p, size + p - span + 1 + s * ceil_mode, s)
        assume(all(any(0 <= start + i * d < size for i in range(k)) for start in starts))
    x = minus_infinities(2, 2, *sizes, others=others)(np.random.default_rng(seed))
    arguments = (kernel, stride, padding, dilation, True, ceil_mode)
    ours = getattr(nn, f"MaxPool{n}d")(*arguments)
    theirs = getattr(torch.nn, f"MaxPool{n}d")(*arguments)
    for result in run_module(ours, theirs, [x], np.random.default_rng(1)):
        result.check(tolerance("float64", result.direction))


@pytest.mark.parametrize(
    ("n", "size", "arguments"),
    [
        (1, 1, (2, 1, 1, 2)),
        (1, 4, (2, 1, 1, 5)),
        (2, 4, (2, 1, 1, 5)),
        (2, 3, (3, 10, 1, 5, False, True)),
        (3, 1, (2, 1, 1, 2)),
    ],
)
@pytest.mark.parametrize("value", [1, -np.inf])
def test_a_window_in_the_padding_alone(n, size, arguments, value) -> None:
    """torch's values and indices; its backward, which we leave, writes outside the input."""
    x = np.full((1, 1, *(size,) * n), value, "f")
    ours, theirs = (getattr(world, f"MaxPool{n}d")(*arguments) for world in (nn, torch.nn))
    ours.return_indices = theirs.return_indices = True
    output = ours(x)
    for actual, wanted in zip(output, theirs(torch.from_numpy(x)), strict=True):
        np.testing.assert_array_equal(actual, wanted.numpy())
    grad = ours.backward((np.ones_like(output[0]), None))
    np.testing.assert_array_equal(grad, np.zeros_like(x))


CHANGES = [
    ("MaxPool2d(2)", {"kernel_size": 3}),
    ("MaxPool2d(2)", {"kernel_size": [3, 2], "stride": None}),
    ("MaxPool2d(2)", {"stride": 1}),
    ("MaxPool2d(2, 1)", {"stride": ()}),
    ("MaxPool2d(2)", {"padding": (1,)}),
    ("MaxPool2d(2)", {"dilation": [3]}),
    ("MaxPool2d(2)", {"ceil_mode": True, "kernel_size": 5}),
    ("MaxPool2d(2)", {"return_indices": True}),
    ("AvgPool2d(2)", {"kernel_size": 3}),
    ("AvgPool2d(2, 1)", {"stride": None}),
    ("AvgPool2d(2)", {"stride": [3, 1]}),
    ("AvgPool2d(2)", {"ceil_mode": True, "kernel_size": 5}),
    ("AvgPool2d(2)", {"padding": 1}),
    ("AvgPool2d(2, padding=1)", {"count_include_pad": False}),
    ("AvgPool2d(2)", {"divisor_override": 5}),
    ("AvgPool1d(2)", {"kernel_size": 3, "stride": 1, "padding": 1}),
    ("MaxPool1d(2)", {"kernel_size": 3, "stride": (1,), "padding": 1}),
    ("MaxPool3d(2)", {"kernel_size": 1, "stride": 2}),
]


@pytest.mark.parametrize(("constructor", "changes"), CHANGES, ids=str)
def test_attributes_set_afterwards_have_effect(constructor, changes) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 7, 8, 5)[: 2 + int(constructor[7])])
    ours, theirs = (eval(f"nn.{constructor}", {"nn": world}) for world in (nn, torch.nn))
    ours(x)  # nothing is left of it
    for module in (ours, theirs):
        for name, value in changes.items():
            setattr(module, name, value)
    assert repr(ours) == repr(theirs)
    for result in run_module(ours, theirs, [x], rng):
        result.check(tolerance("float64", result.direction))


def test_a_change_does_not_reach_an_earlier_forward() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8))
    for pool in (nn.MaxPool2d(2), nn.AvgPool2d(2)):
        upstream = np.ones_like(pool(x))
        wanted = pool.backward(upstream)
        pool(x)
        pool.kernel_size, pool.stride, pool.return_indices = 3, 1, True
        np.testing.assert_array_equal(pool.backward(upstream), wanted)


@pytest.mark.parametrize(
    ("constructor", "name", "value", "error", "message"),
    [
        ("MaxPool2d(2)", "stride", 0, ValueError, "MaxPool2d: stride must be at least 1, got 0"),
        ("MaxPool2d(2)", "kernel_size", (), ValueError, "kernel_size must be an int or a tuple"),
        ("MaxPool2d(2)", "kernel_size", [2, 2, 2], ValueError, "tuple of 2 ints"),
        ("MaxPool2d(2)", "padding", 2, ValueError, "padding must be at most half of kernel_size"),
        ("MaxPool2d(2)", "dilation", "2", TypeError, "dilation must be an int"),
        ("AvgPool2d(2)", "stride", 1.5, TypeError, "AvgPool2d: stride must be an int"),
        ("AvgPool2d(2)", "divisor_override", 0, ValueError, "divisor_override must be None or"),
        ("AvgPool2d(2)", "divisor_override", True, ValueError, "divisor_override must be None or"),
    ],
)
def test_wrong_values_set_afterwards(constructor, name, value, error, message) -> None:
    pool = eval(f"nn.{constructor}", {"nn": nn})
    setattr(pool, name, value)
    with pytest.raises(error, match=message):
        pool(np.zeros((1, 1, 4, 4), "f"))


@pytest.mark.parametrize("upstream", [np.inf, np.nan])
def test_a_gradient_that_is_not_finite_stays_where_it_belongs(upstream) -> None:
    pool = nn.MaxPool2d(2)
    pool(np.arange(4, dtype="f").reshape(1, 1, 2, 2))
    grad = pool.backward(np.full((1, 1, 1, 1), upstream, "f"))
    np.testing.assert_array_equal(grad[0, 0], [[0, 0], [0, upstream]])


def test_no_grad_gives_the_same_values() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 9, 9)).astype("f")
    for pool in (nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, return_indices=True)):
        wanted = pool(x)
        with no_grad():
            got = pool(x)
        for a, b in zip(np.atleast_1d(wanted), np.atleast_1d(got), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MaxPool2d(0), "kernel_size must be at least 1, got 0"),
        (lambda: nn.MaxPool2d(3, padding=2), "padding must be at most half of kernel_size"),
        (lambda: nn.AvgPool2d(3, stride=0), "stride must be at least 1, got 0"),
        (lambda: nn.AvgPool2d(2, divisor_override=0), "divisor_override must be None or an int"),
        (lambda: nn.MaxPool2d((2, 2, 2)), "tuple of 2 ints"),
        (lambda: nn.MaxPool2d(()), "tuple of 2 ints"),
        (lambda: nn.MaxPool2d(2, padding=()), "tuple of 2 ints"),
        (
            lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True)(np.zeros((1, 1, 0, 4), "f")),
            "input sizes must be at least 1, got",
        ),
        (lambda: nn.MaxPool2d(5)(np.zeros((1, 1, 4, 8), "f")), "must not be larger than"),
        (lambda: nn.AvgPool2d(2)(np.zeros((4, 8), "f")), "input must be 3-d or 4-d"),
    ],
)
def test_wrong_use(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_average_uses_float32_throughout() -> None:
    x = np.random.default_rng(0).random((4, 3, 8, 8)).astype("f")
    expected = torch.nn.AvgPool2d(2)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(nn.AvgPool2d(2)(x), expected, rtol=3e-7)
