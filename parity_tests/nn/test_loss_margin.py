"""Losses with a hinge for each row: of classes, of angles, of distances."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import DTYPES, Case, LossParity
from parity_tests.nn.test_loss_elementwise import agree, signs


def classes(*shape: int):
    return lambda rng: np.asarray(rng.integers(0, 4, shape))


def labels(*shape: int):
    """Lists of classes that end at the first -1, some of which repeat."""
    return lambda rng: rng.integers(-1, shape[-1], shape)


REDUCTIONS = ("", "reduction='sum'", "reduction='none'")
WEIGHT = "weight=tensor([0.5, 2.0, 0.0, 1.5])"
THREE = [(5, 4)] * 3

CASES = [
    *[
        Case("MultiMarginLoss", args, shape, f"{len(shape)}-d", targets=[classes(*target)])
        for args in (*REDUCTIONS, "p=2", "margin=0.3", WEIGHT, f"p=2, {WEIGHT}, reduction='sum'")
        for shape, target in (((5, 4), (5,)), ((4,), ()))
    ],
    Case("MultiMarginLoss", "reduction='none'", (4,), "target (1,)", targets=[classes(1)]),
    Case("MultiMarginLoss", "reduction='none'", (0, 4), "empty", targets=[classes(0)]),
    Case("MultiMarginLoss", "reduction='none'", (), "one class", targets=[lambda rng: np.array(0)]),
    *[
        Case("MultiLabelMarginLoss", args, shape, f"{len(shape)}-d", targets=[labels(*shape)])
        for args in REDUCTIONS
        for shape in ((6, 5), (5,))
    ],
    Case("MultiLabelMarginLoss", "reduction='none'", (0, 4), "empty", targets=[labels(0, 4)]),
    Case("MultiLabelMarginLoss", "", (2, 4), "none", targets=[lambda rng: np.full((2, 4), -1)]),
    Case(
        "MultiLabelMarginLoss",
        "",
        (2, 4),
        "all",
        targets=[lambda rng: np.array([[2, 0, 3, 1]] * 2)],
    ),
    *[
        Case("CosineEmbeddingLoss", args, [(8, 3), (8, 3)], targets=[signs(8)])
        for args in (*REDUCTIONS, "margin=0.5", "margin=-0.5")
    ],
    Case("CosineEmbeddingLoss", "", [(3,), (3,)], "1-d", targets=[signs(integers=True)]),
    Case("CosineEmbeddingLoss", "", [(8, 3), (1, 3)], "broadcast", targets=[signs(8)]),
    Case("CosineEmbeddingLoss", "", [(8, 3), (8, 3)], "one target", targets=[signs(1)]),
    Case("CosineEmbeddingLoss", "", [(8, 3), (8, 3)], "neither", targets=[classes(8)]),
    Case("CosineEmbeddingLoss", "reduction='none'", [(0, 3), (0, 3)], "empty", targets=[signs(0)]),
    *[
        Case("TripletMarginLoss", args, THREE)
        for args in (
            *(*REDUCTIONS, "margin=0.3", "p=1", "p=3.0", "p=inf".replace("inf", "float('inf')")),
            *("eps=0.1", "swap=True", "swap=True, p=1, reduction='none'"),
        )
    ],
    Case("TripletMarginLoss", "reduction='none'", [(4,)] * 3, "1-d"),
    Case("TripletMarginLoss", "", [()] * 3, "0-d"),
    Case("TripletMarginLoss", "reduction='none', swap=True", [(2, 3, 4)] * 3, "3-d"),
    Case("TripletMarginLoss", "swap=True", [(5, 4), (1, 4), (5, 1)], "broadcast"),
    Case("TripletMarginLoss", "reduction='none'", [(0, 4)] * 3, "empty"),
    *[
        Case("TripletMarginWithDistanceLoss", args, THREE)
        for args in (
            *(*REDUCTIONS, "margin=0.3", "swap=True"),
            "distance_function=nn.PairwiseDistance(1.0)",
            "distance_function=nn.CosineSimilarity(), swap=True, reduction='none'",
        )
    ],
    Case("TripletMarginWithDistanceLoss", "reduction='none'", [(2, 3, 4)] * 3, "3-d"),
]


class TestMarginLoss(LossParity):
    cases = CASES


NAN, INF = np.nan, np.inf
EXTREMES = {
    "MultiMarginLoss": [
        ({"p": p}, [[1, 0, 2], [NAN, 0, 1], [0, NAN, 1], [0, INF, 1], [INF, INF, 0]], [0] * 5)
        for p in (1, 2)
    ],
    "MultiLabelMarginLoss": [
        (
            {},
            [[1, 0, 2], [NAN, 0, 1], [0, NAN, 1], [0, INF, 1], [INF, INF, 0]],
            [[0, 0, -1], [1, 2, -1], [0, -1, 1], [0, 1, 2], [0, -1, 1]],
        )
    ],
    "CosineEmbeddingLoss": [
        (
            {},
            [[0, 0], [1, 0], [1, 1], [NAN, 0], [1, 0], [1e-20, 0], [1, 1]],
            [[0, 0], [0, 1], [1, 1], [1, 0], [NAN, 0], [1, 0], [1, 1]],
            [1, -1, 0, 1, -1, -1, -1],
        )
    ],
    # the first is equal to its positive; the last have two distances that are equal
    "TripletMarginLoss": [
        (
            {"swap": swap},
            [[0, 0], [1, 0], [1, 1], [NAN, 0], [1, 0], [0, 0], [1, 2]],
            [[0, 0], [0, 1], [1, 1], [1, 0], [NAN, 0], [0, 0], [1, 2]],
            [[1, 0], [0, 1], [-5, 1], [1, 0], [1, 0], [0, 0], [2, 1]],
        )
        for swap in (False, True)
    ],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "row"), [(n, row) for n, rows in EXTREMES.items() for row in rows]
)
def test_extremes_are_torch_s(name, row, dtype) -> None:
    """Hinges that are just closed, equal distances, vectors of zeros, infinities and NaN."""
    options, *arrays = row
    arrays = [np.array(a, np.float64) for a in arrays]
    if name.startswith("Multi"):
        arrays[1] = arrays[1].astype(int)
    needs = {"MultiMarginLoss": 1, "MultiLabelMarginLoss": 1, "CosineEmbeddingLoss": 2}.get(name, 3)
    ones = np.ones(len(arrays[0]))
    agree(name, {**options, "reduction": "none"}, arrays, dtype, range(needs), ones)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_distance_may_have_parameters(swap, reduction) -> None:
    """A function of Tensors with a module in it, whose weights get their gradient."""
    rng = np.random.default_rng(0)
    arrays, weights = rng.standard_normal((3, 5, 4)), rng.standard_normal((2, 4))

    def losses(world, tensor):
        layer = world.Linear(4, 2, bias=False, dtype=tensor(weights).dtype)
        layer.weight = world.Parameter(tensor(weights))

        def distance(a, b):
            return ((layer(a) - layer(b)) ** 2).sum(-1)

        options = {"distance_function": distance, "swap": swap, "reduction": reduction}
        return world.TripletMarginWithDistanceLoss(**options), layer.weight

    ours, weight = losses(nn, numpy_impl.tensor)
    twin, twins_weight = losses(torch.nn, torch.tensor)
    leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    expected = twin(*leaves)
    loss = ours(*arrays)
    np.testing.assert_allclose(loss, expected.detach().numpy(), rtol=1e-12)
    upstream = np.asarray(rng.standard_normal(loss.shape))
    expected.backward(torch.from_numpy(upstream))
    grads = ours.backward(upstream)
    for grad, leaf in zip(grads, leaves, strict=True):
        np.testing.assert_allclose(grad, leaf.grad.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weight.grad, twins_weight.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_a_label_that_repeats_counts_twice() -> None:
    x = np.array([[0.1, 0.2, 0.4, 0.8]])
    once, twice = nn.MultiLabelMarginLoss(), nn.MultiLabelMarginLoss()
    assert twice(x, np.array([[3, 3, -1, 0]])) == 2 * once(x, np.array([[3, -1, 3, 0]]))
    np.testing.assert_allclose(twice.backward(), 2 * once.backward())


X, T = np.ones((3, 4), "f"), np.array([0, 1, 2])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.MultiMarginLoss(p=3), ValueError, "MultiMarginLoss: p must be 1 or 2, got 3"),
        (lambda: nn.MultiMarginLoss(weight=X), ValueError, r"weight must be 1-d, got shape \(3, 4"),
        (lambda: nn.MultiMarginLoss(weight=X[0, :2])(X, T), ValueError, "one value for each of 4"),
        (lambda: nn.MultiMarginLoss()(X, T + 2), ValueError, "classes 0..3, got 2 to 4"),
        (lambda: nn.MultiMarginLoss()(X, T - 1), ValueError, "classes 0..3, got -1 to 1"),
        (lambda: nn.MultiMarginLoss()(X, T[:2]), ValueError, r"target must have shape \(3,\), got"),
        (lambda: nn.MultiMarginLoss()(X[0], T), ValueError, r"must have shape \(\) or \(1,\), got"),
        (lambda: nn.MultiMarginLoss()(X, X[:, 0]), TypeError, "an array of integers, got float32"),
        (
            lambda: nn.MultiMarginLoss()(X[:, :0], T),
            ValueError,
            r"must have classes, got shape \(3",
        ),
        (lambda: nn.MultiMarginLoss()(X[None], T), ValueError, "input must be 0-d or 1-d or 2-d"),
        (lambda: nn.MultiLabelMarginLoss()(X, T), ValueError, r"must have shape \(3, 4\), got \(3"),
        (lambda: nn.MultiLabelMarginLoss()(X[0], np.full(4, 4)), ValueError, "0..3 or -1, got 4"),
        (lambda: nn.MultiLabelMarginLoss()(X[0], np.full(4, -2)), ValueError, "or -1, got -2 to"),
        (lambda: nn.CosineEmbeddingLoss()(X, X[0], T), ValueError, r"as many axes, got input1 \(3"),
        (
            lambda: nn.CosineEmbeddingLoss()(X, X, X),
            ValueError,
            "must be 2-d and target 1-d, or 1-d",
        ),
        (
            lambda: nn.CosineEmbeddingLoss()(X, X, T[:2]),
            ValueError,
            r"\(2,\) does not broadcast to",
        ),
        (
            lambda: nn.CosineEmbeddingLoss()(X, X.astype(float), T),
            TypeError,
            "array of float32, got",
        ),
        (lambda: nn.TripletMarginLoss(margin=0), ValueError, "margin must be positive, got 0"),
        (
            lambda: nn.TripletMarginLoss()(X, X, X[0]),
            ValueError,
            "all must have as many axes, got a",
        ),
        (
            lambda: nn.TripletMarginLoss()(X, X, X[:, :3]),
            ValueError,
            "these do not broadcast: anch",
        ),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=-1.0), ValueError, "positive, got -1.0"),
        (
            lambda: nn.TripletMarginWithDistanceLoss()(X, X, X[0]),
            ValueError,
            "as many axes, got an",
        ),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
