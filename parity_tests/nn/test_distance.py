"""CosineSimilarity and PairwiseDistance, and pdist."""

import numpy as np
import pytest
import torch

import numpy_impl
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import Case, ModuleParity
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import to_numpy, to_torch

CASES = [
    Case("CosineSimilarity", "", [(4, 5), (4, 5)]),
    Case("CosineSimilarity", "dim=-1", [(5,), (5,)], "two vectors"),
    Case("CosineSimilarity", "0", [(4, 5, 2), (4, 5, 2)], "the first axis"),
    Case("CosineSimilarity", "2, 1e-4", [(2, 3, 4), (2, 3, 4)]),
    Case("CosineSimilarity", "-1", [(3, 1, 4), (2, 4)], "broadcast"),
    Case("CosineSimilarity", "1", [(3, 1), (3, 4)], "broadcast along the axis"),
    Case("CosineSimilarity", "1", [(0, 4), (0, 4)], "empty batch"),
    # torch's derivative there is not that of the function
    Case("CosineSimilarity", "eps=5.0", [(4, 5), (4, 5)], "eps holds up", kinks=True),
    *[
        Case("PairwiseDistance", f"p={p}", [(3, 4), (3, 4)], kinks=p == "0.0")
        for p in ("0.0", "0.5", "1.0", "1.5", "2.0", "3", "-1.0", "float('inf')", "float('-inf')")
    ],
    Case("PairwiseDistance", "", [(5,), (5,)], "two vectors"),
    Case("PairwiseDistance", "2.0, 0.5, True", [(4, 5), (4, 5)]),
    Case("PairwiseDistance", "3.0", [(3, 1, 4), (2, 4)], "broadcast"),
    Case("PairwiseDistance", "1.0, keepdim=True", [(3, 1), (3, 4)], "broadcast along the axis"),
    Case("PairwiseDistance", "", [(2, 3, 4, 5), (2, 3, 4, 5)], "many axes"),
    Case("PairwiseDistance", "", [(0, 4), (0, 4)], "empty batch"),
]


class TestDistance(ModuleParity):
    cases = CASES


ORDERS = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("inf")]
# equal rows, equal differences, zeros
TIES = np.array([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize("p", [*ORDERS, float("-inf")])
def test_where_a_distance_has_no_derivative(p) -> None:
    inputs = [TIES, TIES[[0, 2, 3, 3]]]
    rng = np.random.default_rng(0)
    ours, twin = nn.PairwiseDistance(p, eps=0.0), torch.nn.PairwiseDistance(p, eps=0.0)
    for result in run_module(ours, twin, inputs, rng):
        result.check(tolerance("float64", result.direction), str(p))


def test_the_cosine_of_zeros() -> None:
    inputs = [
        np.array([[0.0, 0.0], [1e-12, 0.0], [1.0, 2.0]]),
        np.array([[1.0, 2.0], [2, 1], [0, 0]]),
    ]
    results = run_module(
        nn.CosineSimilarity(), torch.nn.CosineSimilarity(), inputs, np.random.default_rng(0)
    )
    for result in results:
        result.check(tolerance("float64", result.direction))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("p", ORDERS)
def test_distances_of_all_pairs_with_ties(p, dtype) -> None:
    x = TIES.astype(dtype)
    ours, twin = numpy_impl.tensor(x, requires_grad=True), to_torch(x).requires_grad_()
    mine, theirs = functional.pdist(ours, p), torch.nn.functional.pdist(twin, p)
    upstream = np.random.default_rng(0).standard_normal(6).astype(dtype)
    mine.backward(upstream)
    theirs.backward(to_torch(upstream))
    for found, wanted in ((mine.data, theirs), (ours.grad, twin.grad)):
        Result(f"p={p}", "forward", found, to_numpy(wanted)).check(tolerance(dtype, "forward"))


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows(rows) -> None:
    x = np.ones((rows, 3))
    found = functional.pdist(x)
    assert found.shape == torch.nn.functional.pdist(to_torch(x)).shape
    assert functional.pdist_backward(found, x).shape == x.shape


@pytest.mark.parametrize("name", ["CosineSimilarity", "PairwiseDistance"])
def test_one_of_them_is_constant(name) -> None:
    x1, x2 = np.random.default_rng(0).standard_normal((2, 3, 4))
    layer, upstream = getattr(nn, name)(), np.ones(3)
    layer(x1, x2)
    wanted = layer.backward(upstream)[1]
    leaf = numpy_impl.tensor(x2, requires_grad=True)
    layer(x1, leaf).backward(upstream)
    np.testing.assert_array_equal(leaf.grad, wanted)


A = np.ones((2, 3))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.CosineSimilarity(2)(A, A), ValueError, r"dim must lie within -2\.\.1, got 2"),
        (
            lambda: nn.CosineSimilarity()(A, A[:, :2]),
            ValueError,
            "CosineSimilarity: x2 .* does not",
        ),
        (lambda: nn.CosineSimilarity()(A, A.astype("f")), TypeError, "x2 must have x1's dtype"),
        (lambda: nn.CosineSimilarity()(A, A.astype(int)), TypeError, "x2 must be float32 or"),
        (lambda: nn.PairwiseDistance("2"), ValueError, "p must be a number, got '2'"),
        (lambda: nn.PairwiseDistance()(A, A[:, :2]), ValueError, "x2 .* does not broadcast"),
        (lambda: nn.PairwiseDistance()(A[0, 0], A[0, 0]), ValueError, "must have an axis"),
        (lambda: functional.pdist(A[0]), ValueError, "pdist: input must be 2-d, got shape"),
        (lambda: functional.pdist(A, -1), ValueError, "p must be a number that is not negative"),
        (lambda: functional.pdist(A, float("nan")), ValueError, "p must be a number that is"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
