"""Losses with one value for each element: of differences, of likelihoods, of two classes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl import nn
from parity_tests.cases import DTYPES, Case, LossParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, Tolerance
from torch_ref.convert import to_numpy, to_torch


def signs(*shape: int, integers: bool = False):
    kind = np.int64 if integers else np.float64
    return lambda rng: np.asarray(rng.choice([-1, 1], shape)).astype(kind)


def uniform(*shape: int, low: float = 0.05, high: float = 0.95):
    return lambda rng: np.asarray(rng.uniform(low, high, shape))


def counts(*shape: int):
    return lambda rng: np.asarray(rng.poisson(2.0, shape))


def log_p(*shape: int):
    return lambda rng: np.log(rng.dirichlet(np.ones(shape[-1]), shape[:-1]))


def small(*shape: int):
    """Differences on both sides of every threshold."""
    return lambda rng: np.asarray(rng.standard_normal(shape) * 3)


REDUCTIONS = ("", "reduction='sum'", "reduction='none'")


def table(name, options, inputs, targets, note="") -> list[Case]:
    """Every reduction, once; and the options, reduced by the mean."""
    found = [Case(name, args, inputs, note, targets=targets) for args in REDUCTIONS]
    return found + [Case(name, args, inputs, note, targets=targets) for args in options]


def shapes(name, draw, target) -> list[Case]:
    """Other ranks, and nothing."""
    return [
        Case(name, "reduction='sum'", draw(*shape), f"{len(shape)}-d", targets=[target(*shape)])
        for shape in ((), (3,), (2, 3, 2, 2))
    ] + [Case(name, "reduction='none'", draw(0, 4), "empty", targets=[target(0, 4)])]


def normal(*shape: int) -> tuple[int, ...]:
    return shape


WEIGHT = "weight=tensor([0.5, 2.0, 0.0, -1.5])"
COLUMN = "weight=tensor([[0.5], [2.0], [0.25]])"

CASES = [
    *table("L1Loss", (), (3, 4), [(3, 4)]),
    *shapes("L1Loss", normal, normal),
    *table("MSELoss", (), (3, 4), [(3, 4)]),
    *shapes("MSELoss", normal, normal),
    *table("SmoothL1Loss", ("beta=0.5", "beta=2", "beta=0"), small(3, 4), [(3, 4)]),
    *shapes("SmoothL1Loss", normal, normal),
    *table("HuberLoss", ("delta=0.5", "delta=2"), small(3, 4), [(3, 4)]),
    *shapes("HuberLoss", normal, normal),
    *table("PoissonNLLLoss", (), (3, 4), [counts(3, 4)], "counts"),
    Case(
        "PoissonNLLLoss",
        "full=True",
        (3, 4),
        "counts",
        targets=[counts(3, 4)],
        # torch takes logarithms of integers in float32
        exceptions={("float64", "forward"): Tolerance(rtol=1e-7, atol=0)},
    ),
    *table(
        "PoissonNLLLoss",
        ("full=True", "log_input=False", "log_input=False, full=True, eps=0.1"),
        uniform(3, 4, high=5),
        [uniform(3, 4, high=5)],
    ),
    *shapes("PoissonNLLLoss", normal, uniform),
    *[
        Case("GaussianNLLLoss", args, (3, 4), f"var {shape}", targets=[(3, 4), uniform(*shape)])
        for args in (*REDUCTIONS, "full=True")
        for shape in ((3, 4), (3, 1), (3,), (1, 4))
        if shape == (3, 4) or not args
    ],
    Case(
        "GaussianNLLLoss",
        "eps=0.5",
        (3, 4),
        "the derivative of variances below eps is not that of the loss, which stays",
        targets=[(3, 4), uniform(3, 4)],
        kinks=True,
    ),
    Case("GaussianNLLLoss", "", (4,), "one number", targets=[(4,), uniform()]),
    Case("GaussianNLLLoss", "", (3, 4), "broadcast target", targets=[(1, 4), uniform(3, 4)]),
    *[
        Case("KLDivLoss", f"reduction='{r}'{more}", log_p(3, 4), note, targets=[target(3, 4)])
        for r in ("sum", "none", "batchmean")
        for more, note, target in (("", "", uniform), (", log_target=True", "", log_p))
    ],
    Case("KLDivLoss", "reduction='batchmean'", log_p(4), "1-d", targets=[uniform(4)]),
    Case("KLDivLoss", "reduction='batchmean'", (), "0-d", targets=[uniform()]),
    Case("KLDivLoss", "reduction='sum'", log_p(3, 4), "broadcast", targets=[uniform(4)]),
    *table("BCELoss", (WEIGHT, COLUMN), uniform(3, 4), [uniform(3, 4)]),
    *[
        Case("BCELoss", f"{WEIGHT}, reduction='{r}'", uniform(3, 4), targets=[uniform(3, 4)])
        for r in ("sum", "none")
    ],
    *shapes("BCELoss", uniform, uniform),
    *table(
        "BCEWithLogitsLoss",
        (
            WEIGHT,
            f"{COLUMN}, pos_weight=tensor([0.5, 2.0, 0.0, 1.5])",
            "pos_weight=tensor([0.5, 2.0, 0.0, 1.5]), reduction='none'",
            "pos_weight=tensor(2.0)",
        ),
        (3, 4),
        [uniform(3, 4)],
    ),
    *shapes("BCEWithLogitsLoss", normal, uniform),
    *table("SoftMarginLoss", (), (3, 4), [signs(3, 4)]),
    *shapes("SoftMarginLoss", normal, signs),
    Case("SoftMarginLoss", "", (3, 4), "integers", targets=[signs(3, 4, integers=True)]),
    Case("SoftMarginLoss", "", (3, 4), "broadcast target", targets=[signs(4)]),
    *table("MultiLabelSoftMarginLoss", (WEIGHT,), (3, 4), [uniform(3, 4)]),
    *table("MultiLabelSoftMarginLoss", (), (2, 3, 4), [uniform(2, 3, 4)], "3-d"),
    Case("MultiLabelSoftMarginLoss", WEIGHT, (4,), "1-d", targets=[uniform(4)]),
    Case("MultiLabelSoftMarginLoss", "", (3, 4), "integers", targets=[counts(3, 4)]),
    Case("MultiLabelSoftMarginLoss", "reduction='none'", (0, 4), "empty", targets=[uniform(0, 4)]),
    *table("HingeEmbeddingLoss", ("margin=0.3",), (3, 4), [signs(3, 4)]),
    *shapes("HingeEmbeddingLoss", normal, signs),
    Case("HingeEmbeddingLoss", "", (3, 4), "integers", targets=[signs(3, 4, integers=True)]),
    Case("HingeEmbeddingLoss", "", (3, 4), "neither", targets=[counts(3, 4)]),
    Case("HingeEmbeddingLoss", "reduction='none'", (4,), "broadcast", targets=[signs(3, 4)]),
    *table("MarginRankingLoss", ("margin=0.7",), [(3, 4), (3, 4)], [signs(3, 4)]),
    Case("MarginRankingLoss", "", [(), ()], "0-d", targets=[signs()]),
    Case(
        "MarginRankingLoss",
        "reduction='none'",
        [(3, 4), (1, 4)],
        "broadcast",
        targets=[signs(3, 1, integers=True)],
    ),
    Case("MarginRankingLoss", "reduction='none'", [(0, 4), (0, 4)], "empty", targets=[(0, 4)]),
]


class TestElementwiseLoss(LossParity):
    cases = CASES


def agree(name, options, arrays, dtype="float64", needs=None, upstream=None) -> None:
    """Loss and gradients of Tensors, all those that ``needs`` names."""
    needs = range(len(arrays)) if needs is None else needs
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    ours = [numpy_impl.tensor(a, requires_grad=i in needs) for i, a in enumerate(arrays)]
    theirs = [to_torch(a).requires_grad_(i in needs) for i, a in enumerate(arrays)]
    loss, twin = getattr(nn, name)(**options)(*ours), getattr(torch.nn, name)(**options)(*theirs)
    results = [Result("loss", "forward", loss.data, to_numpy(twin))]
    if upstream is None:
        upstream = np.asarray(np.random.default_rng(1).standard_normal(twin.shape))
    loss.backward(upstream.astype(dtype))
    twin.backward(to_torch(upstream.astype(dtype)))
    results += [
        Result(f"grad of input {i}", "input_grad", ours[i].grad, to_numpy(theirs[i].grad))
        for i in needs
    ]
    for result in results:
        result.check(tolerance(dtype, result.direction), f"{name} {options} {dtype}")


NAN, INF = np.nan, np.inf
# inputs, and the options; gradients for all floating-point inputs that torch gives one for
EXTREMES = {
    "L1Loss": [({}, [NAN, INF, -INF, 0, 1], [0, 0, 0, 0, NAN])],
    "MSELoss": [({}, [NAN, INF, -INF, 1e30, 0], [0, INF, 1, -1e30, NAN])],
    "SmoothL1Loss": [
        ({"beta": beta}, [NAN, INF, -INF, 0, 1, -1, 1e-30, 3e38], [0] * 8)
        for beta in (0.0, 1.0, 1e-3)
    ],
    "HuberLoss": [({"delta": delta}, [NAN, INF, -INF, 0, 2, -2], [0] * 6) for delta in (2.0, 0.1)],
    "PoissonNLLLoss": [
        ({"full": True}, [0, 1, 1000, -INF, NAN, 1, -1000], [0, 0.5, 0, 1, 0, 2, 1]),
        (
            {"full": True, "log_input": False, "eps": 0.0},
            [0, 1, 1000, 0, NAN, 1, -1],
            [0, 0.5, 0, 1, 0, 2, 1],
        ),
    ],
    "GaussianNLLLoss": [
        ({}, [0, 1, 1000, 0, NAN, 1], [0, 0.5, 0, 1, 0, 2], [0, 0, 1, 1e-6, 1, INF]),
        ({"eps": 0.0, "full": True}, [0, 1], [0, 0.5], [0, 0]),
    ],
    "KLDivLoss": [
        ({}, [0, 1, -INF, -INF, NAN, 1], [0, 0.5, 0, 1, 0, -1]),
        ({"log_target": True}, [0, 1, -INF, -INF, NAN, -INF], [0, 0.5, 0, 1, 0, -INF]),
    ],
    "BCELoss": [({}, [0, 1, 0, 1, 1e-30, 0.5], [0, 1, 1, 0, 0.5, 1])],
    "BCEWithLogitsLoss": [
        ({}, [1000, -1000, 1000, -1000, INF, -INF, NAN, INF], [0, 1, 1, 0, 0, 0, 0, 1])
    ],
    "SoftMarginLoss": [({}, [1000, -1000, 1000, -1000, NAN, 0], [1, 1, -1, -1, 1, 0])],
    "HingeEmbeddingLoss": [({}, [1000, 1, NAN, INF, 0.5, 1, NAN], [1, -1, -1, -1, 0, 0, 1])],
    "MarginRankingLoss": [({}, [0, 1, 1, NAN, INF], [0, 0, 0, 0, INF], [1, 1, -1, 1, 1])],
    "MultiLabelSoftMarginLoss": [
        ({}, [[1000, -1000], [INF, 0], [-INF, 0], [NAN, 0]], [[1, 0]] * 4),
        ({}, [[1000, -1000], [-1000, 1000]], [[0, 1], [0.5, 0.5]]),
    ],
}
CONSTANT_TARGET = ("SoftMarginLoss", "HingeEmbeddingLoss")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "row"), [(n, row) for n, rows in EXTREMES.items() for row in rows]
)
def test_extremes_are_torch_s(name, row, dtype) -> None:
    """Finite where torch is finite, NaN where it is NaN; the edges of hinges and of parabolas."""
    options, *arrays = row
    arrays = [np.array(a, np.float64) for a in arrays]
    needs = [0] if name in CONSTANT_TARGET else range(len(arrays))
    agree(
        name,
        {**options, "reduction": "none"},
        arrays,
        dtype,
        needs,
        np.ones(()) + np.zeros(arrays[0].shape[:1]),
    )
    finite = [np.isfinite(a).reshape(len(a), -1).all(1) for a in arrays]
    rows = np.logical_and.reduce(finite)
    agree(name, {**options, "reduction": "sum"}, [a[rows] for a in arrays], dtype, needs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(EXTREMES))
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides", "ignore:KLDivLoss. reduction")
def test_the_mean_of_nothing(name, dtype) -> None:
    count = 3 if name in ("GaussianNLLLoss", "MarginRankingLoss") else 2
    needs = [0] if name in CONSTANT_TARGET else range(count)
    agree(name, {}, [np.zeros((0, 4))] * count, dtype, needs)


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss"])
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 1), (4,)), ((4,), (3, 4)), ((), ())])
@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.filterwarnings("ignore:.*they are broadcast", "ignore:Using a target size")
def test_gradients_for_input_and_target_of_any_shapes(name, shapes, reduction) -> None:
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.standard_normal(shape)) for shape in shapes]
    for needs in ([0, 1], [0], [1]):
        agree(name, {"reduction": reduction}, arrays, needs=needs)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(
        [
            "PoissonNLLLoss",
            "KLDivLoss",
            "MarginRankingLoss",
            "HingeEmbeddingLoss",
            "GaussianNLLLoss",
        ]
    ),
    shape=st.lists(st.integers(0, 3), max_size=4),
    data=st.data(),
)
def test_any_shapes_that_broadcast(name, shape, data) -> None:
    rng = np.random.default_rng(0)
    count = 3 if name == "MarginRankingLoss" else 2
    shapes = [shape]
    for _ in range(count - 1):
        drops = data.draw(st.integers(0, 0 if count == 3 else len(shape)))
        ones = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
        shapes.append([1 if one else n for n, one in zip(shape, ones, strict=True)][drops:])
    arrays = [rng.uniform(0.1, 2, s) for s in shapes]
    if name == "GaussianNLLLoss":
        arrays.append(rng.uniform(0.1, 2, shape))
    needs = [0] if name == "HingeEmbeddingLoss" else range(len(arrays))
    reduction = data.draw(st.sampled_from(["none", "sum"]))
    agree(name, {"reduction": reduction}, arrays, needs=needs)


def test_a_variance_may_be_a_number() -> None:
    x, y = np.array([1.0, 2.0]), np.array([0.5, 3.0])
    loss = nn.GaussianNLLLoss()
    assert loss(x, y, 0.5) == nn.GaussianNLLLoss()(x, y, np.full(2, 0.5))
    grad, none = loss.backward()
    np.testing.assert_allclose(grad, (x - y) / 0.5 / 2)
    assert none is None
    tensor = numpy_impl.tensor(x, requires_grad=True)
    loss(tensor, numpy_impl.tensor(y), 0.5).backward()
    np.testing.assert_array_equal(tensor.grad, grad)


def test_targets_are_constants_where_torch_s_are() -> None:
    x, y = (numpy_impl.tensor([1.0, -1.0], requires_grad=True) for _ in range(2))
    nn.HingeEmbeddingLoss()(x, y).backward()
    assert y.grad is None
    with pytest.raises(RuntimeError, match="target is a constant here: it has no derivative"):
        nn.SoftMarginLoss()(x, y).backward()


def test_large_arrays_are_worked_on_in_pieces() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 600, 700))
    for name in ("MSELoss", "BCELoss", "BCEWithLogitsLoss"):
        for reduction in ("sum", "none"):
            whole, rows = (getattr(nn, name)(reduction=reduction) for _ in range(2))
            whole(x, y)
            rows(x[7:9], y[7:9])
            np.testing.assert_array_equal(whole.backward()[7:9], rows.backward())


X = np.full((3, 4), 0.5, "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.HuberLoss(delta=0), ValueError, "HuberLoss: delta must be positive, got 0"),
        (lambda: nn.HuberLoss(delta="1"), TypeError, "delta must be a number, got '1'"),
        (lambda: nn.SmoothL1Loss(beta=-1), ValueError, "beta must not be negative, got -1"),
        (lambda: nn.L1Loss(reduction="batchmean"), ValueError, "must be one of mean, sum, none"),
        (lambda: nn.KLDivLoss(reduction="avg"), ValueError, "mean, sum, none, batchmean, got 'avg"),
        (lambda: nn.L1Loss()(X, X.astype(float)), TypeError, "target must be an array of float32"),
        (lambda: nn.BCELoss()(X, X[0]), ValueError, r"shapes must be equal, got target \(4,\)"),
        (lambda: nn.BCELoss()(X * 3, X), ValueError, "input must hold values between 0 and 1, got"),
        (lambda: nn.BCELoss()(X * np.float32(NAN), X), ValueError, "between 0 and 1, got nan"),
        (lambda: nn.BCELoss()(X, -X), ValueError, "target must hold values between 0 and 1, got"),
        (
            lambda: nn.BCELoss()(X, X.astype(int)),
            TypeError,
            "target must be an array of float32, g",
        ),
        (lambda: nn.BCELoss(X[:, :3])(X, X), ValueError, r"weight \(3, 3\) does not broadcast to"),
        (
            lambda: nn.BCELoss(np.ones(4))(X, X),
            TypeError,
            "must have weight's dtype float64, got f",
        ),
        (lambda: nn.BCEWithLogitsLoss(None, pos_weight=X[0, :3])(X, X), ValueError, "pos_weight"),
        (lambda: nn.SoftMarginLoss()(X[0], X), ValueError, "must broadcast to input's shape"),
        (lambda: nn.HingeEmbeddingLoss()(X, X[:, :3]), ValueError, "these do not broadcast: targ"),
        (
            lambda: nn.MarginRankingLoss()(X, X, X[0]),
            ValueError,
            r"as many axes, got input1 \(3, 4",
        ),
        (
            lambda: nn.MultiLabelSoftMarginLoss()(X[0, 0], X[0]),
            ValueError,
            "must have a class axis",
        ),
        (lambda: nn.GaussianNLLLoss()(X, X, -X), ValueError, "var must not be negative, got -0.5"),
        (
            lambda: nn.GaussianNLLLoss()(X, X, X[0]),
            ValueError,
            r"var must have input's shape \(3, 4",
        ),
        (lambda: nn.GaussianNLLLoss()(X, X, X[:1, :1]), ValueError, "with one axis of size 1"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
