"""CrossEntropyLoss, NLLLoss."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import DTYPES, Case, LossParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import run_loss
from torch_ref.convert import to_torch


def classes(*shape: int, ignored: int | None = None):
    def draw(rng: np.random.Generator) -> np.ndarray:
        target = np.asarray(rng.integers(0, 4, shape))
        if ignored is not None:
            target = np.where(rng.random(shape) < 0.4, ignored, target)
        return target

    return draw


def everything_ignored(rng: np.random.Generator) -> np.ndarray:
    return np.full(5, -100)


def probabilities(*shape: int):
    def draw(rng: np.random.Generator) -> np.ndarray:
        values = rng.random(shape)
        return values / values.sum(0 if len(shape) == 1 else 1, keepdims=True)

    return draw


def huge(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((5, 4)) * 1e4


WEIGHT = "weight=tensor([0.5, 2.0, 0.0, 1.5])"
ROWS = ((5, 4), [classes(5)])
IMAGE = ((2, 4, 3, 2), [classes(2, 3, 2)])
# of class 1: a single row of class 2 has weight 0 in all, which has a test of its own
SINGLE = ((4,), [lambda rng: np.asarray(1)])
IGNORED = ((9, 4), [classes(9, ignored=-100)])
SOFT = ((5, 4), [probabilities(5, 4)])

CROSS_ENTROPY = [
    Case("CrossEntropyLoss", args, inputs, note, targets=targets)
    for args in (
        "",
        "reduction='sum'",
        "reduction='none'",
        WEIGHT,
        "label_smoothing=0.1",
        f"{WEIGHT}, label_smoothing=0.3",
        f"{WEIGHT}, label_smoothing=0.3, reduction='none'",
        f"{WEIGHT}, label_smoothing=0.3, reduction='sum'",
    )
    for note, (inputs, targets) in (
        ("rows", ROWS),
        ("extra dimensions", IMAGE),
        ("one row", SINGLE),
        ("ignored", IGNORED),
        ("probabilities", SOFT),
        ("probabilities, extra dimensions", ((2, 4, 3), [probabilities(2, 4, 3)])),
        ("probabilities, one row", ((4,), [probabilities(4)])),
    )
] + [
    Case("CrossEntropyLoss", "ignore_index=2", (5, 4), targets=[classes(5)]),
    Case("CrossEntropyLoss", "", huge, "huge logits", targets=[classes(5)], kinks=True),
    Case("CrossEntropyLoss", "label_smoothing=1.0", (5, 4), "all smooth", targets=[classes(5)]),
    Case("CrossEntropyLoss", "reduction='sum'", (0, 4), "empty", targets=[classes(0)]),
]

NLL = [
    Case("NLLLoss", args, inputs, note, targets=targets)
    for args in ("", "reduction='sum'", "reduction='none'", WEIGHT, f"{WEIGHT}, reduction='none'")
    for note, (inputs, targets) in (
        ("rows", ROWS),
        ("extra dimensions", IMAGE),
        ("one row", SINGLE),
        ("ignored", IGNORED),
    )
] + [Case("NLLLoss", "ignore_index=2", (5, 4), targets=[classes(5)])]

CASES = CROSS_ENTROPY + NLL


class TestLoss(LossParity):
    cases = CASES


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "NLLLoss"])
def test_nothing_but_ignored_rows(name) -> None:
    """torch: the mean over nothing is NaN, its gradient 0."""
    x = np.random.default_rng(0).standard_normal((5, 4))
    target = np.full(5, -100)
    ours, leaf = getattr(nn, name)(), torch.from_numpy(x).requires_grad_()
    twin = getattr(torch.nn, name)()(leaf, torch.from_numpy(target))
    twin.backward()
    assert np.isnan(ours(x, target))
    assert torch.isnan(twin)
    np.testing.assert_array_equal(ours.backward(), leaf.grad.numpy())


@pytest.mark.parametrize("target", [[2], [2, 2], [2, -100], [-100, 2], [2, 1, -100]])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "options"),
    [("CrossEntropyLoss", {}), ("CrossEntropyLoss", {"label_smoothing": 0.3}), ("NLLLoss", {})],
)
def test_rows_that_count_but_weigh_nothing(name, options, dtype, target) -> None:
    """torch: where the weights add up to 0, NaN for the rows that count and 0 for the ignored."""
    x = np.random.default_rng(0).standard_normal((len(target), 4)).astype(dtype)
    weight, index = np.array([0.5, 2.0, 0.0, 1.5], dtype), np.array(target)
    ours, leaf = getattr(nn, name)(weight, **options), torch.from_numpy(x).requires_grad_()
    twin = getattr(torch.nn, name)(torch.from_numpy(weight), **options)
    loss = twin(leaf, torch.from_numpy(index))
    loss.backward()
    np.testing.assert_allclose(ours(x, index), loss.item(), rtol=1e-5)
    np.testing.assert_allclose(ours.backward(), leaf.grad.numpy(), rtol=1e-5, atol=1e-7)


LOGITS = {
    "finite": [[0.0, 1.0, 2.0], [1.0, 2.0, 4.0]],
    "NaN": [[np.nan, 0.0, 0.0], [1.0, 2.0, 3.0]],
    "infinity": [[0.0, np.inf, 0.0], [1.0, 2.0, 3.0]],
    "minus infinity": [[0.0, -np.inf, 0.0], [1.0, 2.0, 3.0]],
}
INDICES = [[0, 1], [1, 1], [1, 0], [1, -100], [-100, -100]]
PROBABILITIES = [[0.5, 0.0, 0.5], [0.0, 0.0, 1.0]]


def agrees_with_torch(name, options, x, target, dtype, case) -> None:
    """Loss and gradient, with arrays among the options as tensors for the twin."""

    def typed(value):
        return np.array(value, dtype) if isinstance(value, list) else value

    ours = {key: typed(value) for key, value in options.items()}
    twins = {key: to_torch(v) if isinstance(v, np.ndarray) else v for key, v in ours.items()}
    target = np.array(target)
    target = target.astype(dtype) if target.dtype.kind == "f" else target
    for result in run_loss(
        getattr(nn, name)(**ours),
        getattr(torch.nn, name)(**twins),
        [np.array(x, dtype)],
        [target],
        np.random.default_rng(0),
    ):
        result.check(tolerance(dtype, result.direction), f"{name} {options} {dtype} {case}")


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weight", [None, [0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CrossEntropyLoss", {}),
        ("CrossEntropyLoss", {"label_smoothing": 0.1}),
        ("CrossEntropyLoss", {"label_smoothing": 1.0}),
        ("NLLLoss", {}),
    ],
)
def test_nothing_is_hidden_by_a_weight_of_0(name, options, weight, reduction) -> None:
    """0 * NaN, 0 * inf, weights that cancel to 0: NaN and infinities where torch has them."""
    options = {**options, "weight": weight, "reduction": reduction}
    targets = INDICES if name == "NLLLoss" else [*INDICES, PROBABILITIES]
    for kind, x in LOGITS.items():
        for target in targets:
            for dtype in DTYPES:
                agrees_with_torch(name, options, x, target, dtype, f"{kind} {target}")


def test_a_weight_of_0_does_not_hide_a_nan() -> None:
    loss = nn.CrossEntropyLoss(np.array([0.0, 1.0, 1.0]))
    assert np.isnan(loss(np.array(LOGITS["NaN"]), np.array([0, 1])))
    ignoring = nn.CrossEntropyLoss(ignore_index=0)  # an ignored row does, as in torch
    assert ignoring(np.array(LOGITS["NaN"]), np.array([0, 1])) == pytest.approx(1.4076059644)


def test_weights_that_cancel_make_an_infinite_mean() -> None:
    loss, x = nn.NLLLoss(np.array([1.0, -1.0, 0.0])), np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 4.0]])
    assert loss(x, np.array([0, 1])) == np.inf
    np.testing.assert_array_equal(loss.backward(), [[-np.inf, 0, 0], [0, np.inf, 0]])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(0, 3), (0, 0), (0, 3, 2), (2, 3, 0), (2, 0, 0), (0, 3, 2, 2)])
def test_nothing_to_sum(shape, reduction) -> None:
    rows, classes = (shape[0], *shape[2:]), shape[1]
    for options in ({}, {"weight": [1.0] * classes}, {"label_smoothing": 0.1}):
        options = {**options, "reduction": reduction}
        x, target = np.zeros(shape), np.zeros(rows, np.int64)
        for dtype in DTYPES:
            agrees_with_torch("CrossEntropyLoss", options, x, target, dtype, shape)
            if "label_smoothing" not in options:
                agrees_with_torch("NLLLoss", options, x, target, dtype, shape)
            if classes:
                agrees_with_torch("CrossEntropyLoss", options, x, x, dtype, shape)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.3}, {"weight": [0.5, 2.0, 1.5]}])
@pytest.mark.parametrize("shape", [(2, 3), (3,), (2, 3, 2, 2)])
def test_target_probabilities_have_a_gradient(shape, options, reduction) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape), rng.random(shape)
    weight = np.array(options["weight"]) if "weight" in options else None
    ours = [numpy_impl.tensor(a, requires_grad=True) for a in (x, y)]
    theirs = [torch.from_numpy(a).requires_grad_() for a in (x, y)]
    options = {**options, "reduction": reduction, "weight": weight}
    loss = nn.CrossEntropyLoss(**options)(*ours)
    options["weight"] = None if weight is None else torch.from_numpy(weight)
    twin = torch.nn.CrossEntropyLoss(**options)(*theirs)
    upstream = np.asarray(rng.standard_normal(twin.shape))
    loss.backward(upstream)
    twin.backward(torch.from_numpy(upstream))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_class_of_probability_0_and_target_0() -> None:
    x = np.array([[0.0, -np.inf, 1.0]])
    expected = torch.nn.CrossEntropyLoss()(torch.from_numpy(x), torch.tensor([2])).item()
    assert nn.CrossEntropyLoss()(x, np.array([2])) == pytest.approx(expected)


def test_the_loss_is_an_array() -> None:
    loss = nn.CrossEntropyLoss()(np.ones((2, 3), "f"), np.array([0, 1]))
    assert isinstance(loss, np.ndarray)
    assert loss.shape == ()
    assert loss.dtype == np.float32
    assert f"{loss:.3f}" == "1.099"


def test_small_integer_targets_will_do() -> None:
    x = np.random.default_rng(0).standard_normal((5, 4))
    target = np.array([0, 1, 2, 3, 0])
    assert nn.NLLLoss()(x, target.astype(np.uint8)) == nn.NLLLoss()(x, target)


def test_small_integers_beside_more_classes_than_they_can_count() -> None:
    x = np.random.default_rng(0).standard_normal((2, 300))
    loss = nn.NLLLoss()
    assert loss(x, np.array([200, 3], np.uint8)) == loss(x, np.array([200, 3]))
    with pytest.raises(ValueError, match="got -56 at position 0"):
        loss(x, np.array([200, 3]).astype(np.int8))


@pytest.mark.parametrize("flags", [(True, True), (False, None), (None, False), (True, None)])
def test_deprecated_flags_mean_what_torch_means(flags) -> None:
    with pytest.warns(UserWarning, match="deprecated"):
        ours = nn.MSELoss(*flags)
    with pytest.warns(UserWarning, match="deprecated"):
        twin = torch.nn.MSELoss(*flags)
    assert ours.reduction == twin.reduction


X = np.ones((3, 4), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "reduction must be one of mean, sum"),
        (lambda: nn.CrossEntropyLoss(label_smoothing=2), ValueError, "label_smoothing must lie"),
        (lambda: nn.CrossEntropyLoss()(X, np.array([0, 4, 1])), ValueError, "got 4 at position 1"),
        (lambda: nn.NLLLoss()(X, np.array([0, -1, 1])), ValueError, "got -1 at position 1"),
        (lambda: nn.NLLLoss()(X, np.array([0, 1])), ValueError, r"must have shape \(3,\)"),
        (lambda: nn.NLLLoss()(X, X), TypeError, "must be an array of integers, got float32"),
        (lambda: nn.CrossEntropyLoss()(X, [0, 1, 2]), TypeError, "integers, got list"),
        (lambda: nn.CrossEntropyLoss()(X, np.ones((3, 5), "f")), ValueError, "probabilities must"),
        (lambda: nn.CrossEntropyLoss(ignore_index=1)(X, X), ValueError, "ignore_index must be neg"),
        (lambda: nn.CrossEntropyLoss(np.ones(3, "f"))(X, np.zeros(3, int)), ValueError, "weight"),
        (
            lambda: nn.MSELoss()(X, np.ones((3, 4))),
            TypeError,
            "array of float32 or integers, got float64",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()


def test_wrong_upstream_is_refused() -> None:
    loss = nn.MSELoss(reduction="none")
    loss(X, X)
    with pytest.raises(ValueError, match="must have the output's shape"):
        loss.backward(np.ones(3))
