"""CTCLoss."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import DTYPES, Case, LossParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_loss


def log_p(*shape: int):
    def draw(rng: np.random.Generator) -> np.ndarray:
        x = rng.standard_normal(shape)
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    return draw


def targets(*shape: int, low: int = 1):
    return lambda rng: rng.integers(low, 4, shape)


def lengths(*values: int):
    return lambda rng: np.array(values)


# the gradient is the one for the logits, not the derivative: see test_the_gradient_behind_softmax
ROWS = ((12, 3, 4), [targets(3, 4), lengths(12, 9, 10), lengths(4, 2, 3)])

CASES = [
    Case("CTCLoss", args, log_p(*shape), note, targets=rest, kinks=True)
    for args in ("", "reduction='sum'", "reduction='none'", "zero_infinity=True")
    for note, (shape, rest) in (
        ("padded", ROWS),
        ("in one row", ((12, 3, 4), [targets(9), *ROWS[1][1:]])),
    )
] + [
    Case("CTCLoss", args, log_p(*shape), note, targets=rest, kinks=True)
    for args, note, shape, rest in (
        ("blank=3", "the last is blank", (12, 3, 4), [targets(9, low=0), *ROWS[1][1:]]),
        ("", "unbatched", (9, 4), [targets(3), lengths(9), lengths(3)]),
        ("reduction='none'", "unbatched", (9, 4), [targets(1, 5), lengths(9), lengths(3)]),
        ("", "no labels in one", (5, 2, 4), [targets(3), lengths(5, 4), lengths(0, 3)]),
        ("", "no labels at all", (5, 2, 4), [targets(0), lengths(5, 4), lengths(0, 0)]),
        (
            "reduction='none'",
            "no labels at all",
            (5, 2, 4),
            [targets(2, 3), lengths(5, 0), lengths(0, 0)],
        ),
        (
            "reduction='none'",
            "repeated labels",
            (9, 2, 4),
            [lambda rng: np.array([[1, 1, 1, 2], [2, 3, 3, 2]]), lengths(9, 9), lengths(4, 4)],
        ),
        ("", "just long enough", (3, 1, 4), [lambda rng: np.array([1, 1]), lengths(3), lengths(2)]),
        ("", "one time", (1, 2, 4), [targets(2, 1), lengths(1, 1), lengths(1, 1)]),
    )
]


class TestCTCLoss(LossParity):
    cases = CASES


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_that_are_too_short(zero_infinity, reduction, dtype) -> None:
    """Infinite losses with gradients of NaN, or 0 for both; no time at all: gradient 0."""
    options = {"zero_infinity": zero_infinity, "reduction": reduction}
    x = log_p(5, 3, 4)(np.random.default_rng(0)).astype(dtype)
    rest = [np.array([[1, 1, 1], [1, 2, 1], [2, 0, 0]]), np.array([4, 5, 0]), np.array([3, 3, 1])]
    check(options, x, rest, dtype)


def check(options, x, rest, dtype="float64") -> None:
    rng = np.random.default_rng(0)
    for result in run_loss(nn.CTCLoss(**options), torch.nn.CTCLoss(**options), [x], rest, rng):
        result.check(tolerance(dtype, result.direction), f"CTCLoss {options}")


@pytest.mark.parametrize("value", [-np.inf, np.nan])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [(1, 0, 3), (1, 0, 1), (0, 0, 0), (4, 1, 1), (2, 1, 2)])
def test_log_probabilities_that_are_not_finite(place, dtype, value) -> None:
    """Beside one that matters, beside one that does not, and after the end of the input."""
    x = log_p(5, 2, 4)(np.random.default_rng(0)).astype(dtype)
    x[place] = value
    rest = [np.array([[1, 1], [1, 2]]), np.array([5, 4]), np.array([2, 2])]
    check({"reduction": "none"}, x, rest, dtype)


def collapsed(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in itertools.groupby(path) if label)


@pytest.mark.parametrize("target", [(), (1,), (1, 1), (1, 2), (2, 1, 2)])
def test_the_sum_over_all_alignments(target) -> None:
    """By its definition: every path whose repeats and blanks, taken out, leave the target."""
    x = log_p(5, 3)(np.random.default_rng(0))
    paths = [p for p in itertools.product(range(3), repeat=5) if collapsed(p) == target]
    likelihood = sum(np.exp(sum(x[t, label] for t, label in enumerate(path))) for path in paths)
    loss = nn.CTCLoss(reduction="sum")(x, np.array(target, int), [5], [len(target)])
    assert loss == pytest.approx(-np.log(likelihood), rel=1e-12)


def test_the_gradient_behind_softmax() -> None:
    """For the logits it is the derivative, by differences; for the log-probabilities torch's."""
    rng = np.random.default_rng(0)
    x, (labels, *rest) = rng.standard_normal((6, 2, 4)), [targets(5)(rng), (6, 5), (3, 2)]

    def loss(values):
        return functional.ctc_loss(functional.log_softmax(values, -1), labels, *rest)

    logits = numpy_impl.tensor(x, requires_grad=True)
    loss(logits).backward()
    for place in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[place] = 1e-6
        slope = (loss(x + step) - loss(x - step)) / 2e-6
        assert logits.grad[place] == pytest.approx(slope, abs=1e-8)


def test_blank_among_the_labels() -> None:
    """torch says that no label may be: the loss is the same, torch's gradient leaves out a part."""
    x = log_p(6, 2, 4)(np.random.default_rng(0))
    rest = [np.array([[1, 0, 2], [0, 0, 3]]), np.array([6, 5]), np.array([3, 3])]
    twin = torch.nn.CTCLoss(reduction="none")(*map(torch.from_numpy, [x, *rest]))
    np.testing.assert_allclose(nn.CTCLoss(reduction="none")(x, *rest), twin.numpy(), rtol=1e-12)


def test_lengths_in_any_form() -> None:
    rng = np.random.default_rng(0)
    x, labels = log_p(6, 2, 4)(rng), targets(2, 3)(rng)
    loss = nn.CTCLoss()
    expected, grad = loss(x, labels, np.array([6, 5]), np.array([3, 2])), loss.backward()
    tensors = [numpy_impl.tensor(np.array(v, np.int32)) for v in ((6, 5), (3, 2))]
    for given_lengths in [([6, 5], (3, 2)), (np.array([6, 5], np.uint8), [3, 2]), tensors]:
        assert loss(x, labels.astype(np.int32), *given_lengths) == expected
        leaf = numpy_impl.tensor(x, requires_grad=True)
        loss(leaf, numpy_impl.tensor(labels), *given_lengths).backward()
        np.testing.assert_array_equal(leaf.grad, grad)
    assert loss(x[:, 0], labels[0], 6, 3) == loss(x[:, :1], labels[:1], [6], [3])


@settings(max_examples=25, deadline=None)
@given(
    times=st.integers(1, 12),
    count=st.integers(1, 4),
    classes=st.integers(2, 4),
    in_one_row=st.booleans(),
    zero_infinity=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_sequences(times, count, classes, in_one_row, zero_infinity, seed) -> None:
    rng = np.random.default_rng(seed)
    blank = int(rng.integers(classes))
    frames, sizes = rng.integers(0, times + 1, count), rng.integers(0, 5, count)
    shape = (sizes.sum(),) if in_one_row else (count, int(sizes.max()) + 1)
    labels = rng.choice([c for c in range(classes) if c != blank], shape)
    options = {"blank": blank, "zero_infinity": zero_infinity, "reduction": "none"}
    check(options, log_p(times, count, classes)(rng), [labels, frames, sizes])


def test_float32_is_as_exact_as_it_can_be() -> None:
    """Nearer to float64 than torch's, whose logarithms of likelihoods grow with the length."""
    rng = np.random.default_rng(0)
    x, labels = log_p(80, 4, 20)(rng), rng.integers(1, 20, (4, 30))
    found = {}
    for dtype in DTYPES:
        loss = nn.CTCLoss(reduction="none")
        found[dtype] = loss(x.astype(dtype), labels, [80] * 4, [30] * 4), loss.backward()
    np.testing.assert_allclose(found["float32"][0], found["float64"][0], rtol=1e-6)
    np.testing.assert_allclose(found["float32"][1], found["float64"][1], rtol=1e-5, atol=5e-6)


X, L = np.zeros((5, 2, 3), "f"), np.array([[1, 2], [1, 1]])


@pytest.mark.parametrize(
    ("options", "arguments", "error", "message"),
    [
        ({"blank": 3}, (X, L, [5, 5], [2, 2]), ValueError, "blank must be a class, 0..2, got 3"),
        ({"blank": -1}, (X, L, [5, 5], [2, 2]), ValueError, "blank must be a class, 0..2, got -1"),
        ({}, (X[:, :0], L[:0], [], []), ValueError, r"must not be empty, got shape \(5, 0, 3\)"),
        ({}, (X[0, 0], L, [5, 5], [2, 2]), ValueError, "log_probs must be 2-d or 3-d, got"),
        ({}, (X, L, [5, 6], [2, 2]), ValueError, r"input_lengths must lie in 0..5, got \[5, 6\]"),
        ({}, (X, L, [5, 5], [2, -1]), ValueError, r"target_lengths must not be negative, got \[2"),
        ({}, (X, L, [5], [2, 2]), ValueError, r"must have one value for each of 2, got \(1,\)"),
        (
            {},
            (X, L, [5.0, 5.0], [2, 2]),
            TypeError,
            "input_lengths must hold integers, got float64",
        ),
        ({}, (X, L, [5, 5], [2, 3]), ValueError, r"or have shape \(2, 3\) or longer rows, got"),
        (
            {},
            (X, L[0], [5, 5], [2, 1]),
            ValueError,
            "as many labels as target_lengths say, 3, got 2",
        ),
        ({}, (X, L + 1, [5, 5], [2, 2]), ValueError, "targets must hold classes 0..2, got 2 to 3"),
        (
            {},
            (X, X[0], [5, 5], [2, 2]),
            TypeError,
            "targets must be an array of integers, got float",
        ),
        (
            {},
            (X, [[1, 2]] * 2, [5, 5], [2, 2]),
            TypeError,
            "must be an array of integers, got list",
        ),
    ],
)
def test_wrong_use(options, arguments, error, message) -> None:
    with pytest.raises(error, match=message):
        nn.CTCLoss(**options)(*arguments)
