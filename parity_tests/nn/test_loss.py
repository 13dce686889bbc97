"""CrossEntropyLoss, NLLLoss, MSELoss."""

import numpy as np
import pytest
import torch

from numpy_impl import nn
from parity_tests.cases import Case, LossParity


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

MSE = [
    Case("MSELoss", args, shape, f"{len(shape)}-d", targets=[shape])
    for args in ("", "reduction='sum'", "reduction='none'")
    for shape in ((5, 4), (2, 3, 4, 5), (7,))
]

CASES = CROSS_ENTROPY + NLL + MSE


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


def test_mse_broadcasts_with_a_warning_as_torch_does() -> None:
    x, y = np.random.default_rng(0).standard_normal((2, 3, 1)), np.ones((4,))
    ours, leaf = nn.MSELoss(), torch.from_numpy(x).requires_grad_()
    with pytest.warns(UserWarning, match="they are broadcast"):
        loss = ours(x, y)
    with pytest.warns(UserWarning, match="target size"):
        twin = torch.nn.MSELoss()(leaf, torch.from_numpy(y))
    twin.backward()
    assert loss == pytest.approx(twin.item())
    np.testing.assert_allclose(ours.backward(), leaf.grad.numpy(), rtol=1e-12)


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
        (lambda: nn.CrossEntropyLoss(np.ones(3, "f"))(X, np.zeros(3, int)), ValueError, "weight"),
        (lambda: nn.MSELoss()(X, np.ones((3, 4))), TypeError, "array of float32, got float64"),
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
