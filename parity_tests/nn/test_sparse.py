"""Embedding and EmbeddingBag."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
import torch_ref
from numpy_impl import nn
from numpy_impl.nn import functional
from parity_tests.cases import DTYPES, Case, ModuleParity, manual_seed
from parity_tests.tolerances import tolerance
from torch_ref.compare import Result, run_module
from torch_ref.convert import copy_weights, to_numpy, to_torch


def indices(*shape, high=6):
    return lambda rng: rng.integers(0, high, shape)


def fixed(*values):
    return lambda rng: np.array(values)


def weights(*shape):
    return lambda rng: rng.standard_normal(shape)


# the renormalised rows are scaled anew for each step: not what backward differentiates
RENORMALIZED = {"kinks": True}
# dy / count adds up in another way than the mean of dy: no derivative of the function
SCALED = {"kinks": True}
PADDED = {"kinks": True}  # the padding's row has no gradient, by convention
BAGS = fixed(0, 2, 2, 5)  # the second is empty
ENDS = fixed(0, 2, 2, 5, 8)
TWICE = fixed(5, 0, 3, 2, 0, 3, 2, 5)
CASES = [
    Case("Embedding", "6, 3", indices(4, 3)),
    Case("Embedding", "6, 3", indices(), "a single index"),
    Case("Embedding", "6, 3", indices(5), "a row of them"),
    Case("Embedding", "6, 3", indices(2, 1, 3, 2), "many axes"),
    Case("Embedding", "6, 3", indices(0, 3), "empty batch"),
    Case("Embedding", "6, 1", fixed(2, 2, 2, 2), "one row, used often"),
    Case("Embedding", "6, 3", lambda r: r.integers(0, 6, 9).astype(np.int32), "int32"),
    Case("Embedding", "200, 4", indices(700, high=200), "long sums"),
    Case("Embedding", "6, 3, padding_idx=2", indices(9), **PADDED),
    Case("Embedding", "6, 3, padding_idx=-6", indices(9), "the first row", **PADDED),
    Case("Embedding", "6, 3, scale_grad_by_freq=True", indices(9), **SCALED),
    Case("Embedding", "6, 3, 1, scale_grad_by_freq=True", indices(9), **SCALED),
    Case("Embedding", "6, 3, max_norm=1.0", indices(9), **RENORMALIZED),
    Case("Embedding", "6, 3, max_norm=1.5, norm_type=1.0", indices(9), **RENORMALIZED),
    Case("Embedding", "6, 3, max_norm=0.5, norm_type=float('inf')", indices(9), **RENORMALIZED),
    Case("Embedding", "6, 3, max_norm=0.5, norm_type=3.5", indices(9), **RENORMALIZED),
    *[
        Case("EmbeddingBag", f"6, 3, {options}", inputs, note, **kinks)
        for mode in ("sum", "mean", "max")
        for options, inputs, note, kinks in (
            (f"mode={mode!r}", indices(4, 3), "", {}),
            (f"mode={mode!r}", indices(1, 1), "a bag of one", {}),
            (f"mode={mode!r}", indices(0, 3), "no bags", {}),
            (f"mode={mode!r}", [indices(8), BAGS], "offsets", {}),
            (f"mode={mode!r}", [fixed(1, 1, 1), fixed(0, 3)], "the last is empty, ties", {}),
            (f"mode={mode!r}, include_last_offset=True", [indices(8), ENDS], "", {}),
            (f"mode={mode!r}, padding_idx=1", indices(5, 4, high=3), "", PADDED),
            (f"mode={mode!r}, padding_idx=1", [indices(8, high=3), BAGS], "offsets", PADDED),
            (f"mode={mode!r}, padding_idx=-5", fixed([1, 1], [1, 2]), "only padding", PADDED),
            (f"mode={mode!r}, max_norm=1.0", [indices(8), BAGS], "", RENORMALIZED),
        )
    ],
    Case("EmbeddingBag", "6, 3", [indices(8), BAGS], "the default is the mean"),
    # (each index twice: torch divides by another index's number of uses)
    Case("EmbeddingBag", "6, 3, scale_grad_by_freq=True", [TWICE, BAGS], **SCALED),
    Case("EmbeddingBag", "6, 3, 1, 2, True, 'sum'", [TWICE, BAGS, weights(8)], **SCALED),
    Case("EmbeddingBag", "6, 3, None, 2, True, padding_idx=0", [TWICE, BAGS], **SCALED),
    Case("EmbeddingBag", "6, 3, mode='sum'", [indices(8), BAGS, weights(8)], "factors"),
    Case(
        "EmbeddingBag",
        "6, 3, mode='sum', padding_idx=2",
        [indices(8, high=3), BAGS, weights(8)],
        "factors",
        **PADDED,
    ),
]


class TestSparse(ModuleParity):
    cases = CASES

    def test_same_seed_same_weights(self, case: Case, dtype: str) -> None:
        """Normal values: to the last digits, as parity_tests/test_random.py finds."""
        manual_seed(3)
        ours, twin = case.build(nn, dtype), case.build(torch_ref.nn, dtype)
        np.testing.assert_array_max_ulp(ours.weight.data, to_numpy(twin.weight), 4)


def test_the_gradient_is_divided_by_the_number_of_uses() -> None:
    index, upstream = np.array([0, 1, 1, 1, 2, 2]), np.array([[1.0], [10.0], [100.0]])
    layer = nn.EmbeddingBag(4, 1, scale_grad_by_freq=True, mode="sum", dtype="float64")
    layer(index, np.array([0, 2, 3]))
    layer.backward(upstream)
    np.testing.assert_allclose(layer.weight.grad[:, 0], [1, 111 / 3, 200 / 2, 0])


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(["sum", "mean", "max"]),
    sizes=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    padding=st.sampled_from([None, 0, -1]),
    features=st.integers(1, 4),
    has_factors=st.booleans(),
    seed=st.integers(0, 999),
)
def test_bags_of_any_size(mode, sizes, padding, features, has_factors, seed) -> None:
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(0, 4, sum(sizes)), np.cumsum([0, *sizes[:-1]])]
    if has_factors and mode == "sum":
        inputs.append(rng.standard_normal(sum(sizes)))
    ours = nn.EmbeddingBag(4, features, mode=mode, padding_idx=padding, dtype="float64")
    twin = torch_ref.nn.EmbeddingBag(4, features, mode=mode, padding_idx=padding).double()
    copy_weights(ours, twin)
    for result in run_module(ours, twin, inputs, rng):
        result.check(tolerance("float64", result.direction))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("padding_idx", [None, 1])
def test_factors_of_bags_that_are_rows(padding_idx, dtype) -> None:
    rng = np.random.default_rng(0)
    index, factors = rng.integers(0, 4, (3, 5)), rng.standard_normal((3, 5)).astype(dtype)
    ours = nn.EmbeddingBag(4, 2, mode="sum", padding_idx=padding_idx, dtype=dtype)
    twin = torch.nn.EmbeddingBag(4, 2, mode="sum", padding_idx=padding_idx)
    twin.to(getattr(torch, dtype)).load_state_dict(
        {"weight": torch.from_numpy(ours.weight.data.copy())}
    )
    leaf = to_torch(factors).requires_grad_()
    expected = twin(torch.from_numpy(index), per_sample_weights=leaf)
    upstream = rng.standard_normal((3, 2)).astype(dtype)
    expected.backward(torch.from_numpy(upstream))
    tensor = numpy_impl.tensor(factors, requires_grad=True)
    calls = [lambda: ours(index, None, factors), lambda: ours(index, per_sample_weights=factors)]
    for call in calls:
        np.testing.assert_allclose(call(), to_numpy(expected), rtol=1e-5, atol=1e-6)
        none, grad = ours.backward(upstream)
        assert none is None
        Result("factors", "input_grad", grad, to_numpy(leaf.grad)).check(
            tolerance(dtype, "input_grad")
        )
    for call in (
        lambda: ours(index, None, tensor),
        lambda: ours(numpy_impl.tensor(index), per_sample_weights=tensor),
        lambda: functional.embedding_bag(
            index, ours.weight, mode="sum", per_sample_weights=tensor, padding_idx=padding_idx
        ),
    ):
        ours.zero_grad()
        tensor.grad = None
        call().backward(upstream)
        for mine, theirs in ((tensor.grad, leaf.grad), (ours.weight.grad, twin.weight.grad)):
            Result("grad", "input_grad", mine, to_numpy(theirs)).check(
                tolerance(dtype, "input_grad")
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
def test_the_rows_that_are_used_are_renormalised_in_the_table(name, norm_type, dtype) -> None:
    table = (np.random.default_rng(0).standard_normal((6, 3)) * 3).astype(dtype)
    table[4] = 0.1
    index = np.array([[0, 4, 2, 0]])
    options = {"max_norm": 1.0, "norm_type": norm_type}
    ours = getattr(nn, name).from_pretrained(table.copy(), **options)
    twin = getattr(torch.nn, name).from_pretrained(to_torch(table), **options)
    kept = ours.weight.data
    first = ours(index)
    twin(torch.from_numpy(index))
    assert ours.weight.data is kept
    changed = (ours.weight.data != table).any(1)
    np.testing.assert_array_equal(changed, [True, False, True, False, False, False])
    np.testing.assert_allclose(ours.weight.data, twin.weight.detach().numpy(), rtol=1e-6)
    np.testing.assert_array_equal(ours(index), first)  # within the limit now: kept
    given = table.copy()
    if name == "Embedding":
        found = functional.embedding(index, given, None, 1.0, norm_type)
    else:
        found = functional.embedding_bag(index, given, None, 1.0, norm_type)
    np.testing.assert_array_equal(found, first)
    np.testing.assert_array_equal(given, ours.weight.data)


def test_renormalising_what_is_not_finite() -> None:
    table = np.array([[np.inf, 1], [np.nan, 1], [3, 4]])
    twin = to_torch(table)
    index = np.array([0, 1, 2])
    functional.embedding(index, table, max_norm=1.0)
    torch.nn.functional.embedding(torch.from_numpy(index), twin, max_norm=1.0)
    np.testing.assert_allclose(table, twin.numpy(), rtol=1e-12)


def test_the_padding_starts_as_zeros_and_gets_no_gradient() -> None:
    layer = nn.Embedding(5, 3, padding_idx=-2)
    assert layer.padding_idx == 3
    assert not layer.weight.data[3].any()
    layer(np.array([3, 1, 3]))
    layer.backward(np.full((3, 3), np.inf, "f"))
    assert not layer.weight.grad[3].any()
    assert np.isinf(layer.weight.grad[1]).all()
    layer.weight.data[3] = 1
    layer.reset_parameters()
    assert not layer.weight.data[3].any()


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_from_pretrained_keeps_the_table(name) -> None:
    table = np.random.default_rng(0).standard_normal((4, 3))
    layer = getattr(nn, name).from_pretrained(table)
    assert layer.weight.data is table
    assert not layer.weight.requires_grad
    layer(np.array([[0, 1]]))
    layer.backward(np.ones((1, 2, 3) if name == "Embedding" else (1, 3)))
    assert layer.weight.grad is None
    assert getattr(nn, name).from_pretrained(table, freeze=False).weight.requires_grad
    with pytest.raises(ValueError, match="embeddings must be 2-d"):
        getattr(nn, name).from_pretrained(table[0])


def test_the_gradient_goes_to_a_weight_that_was_computed() -> None:
    """As with tied and transposed tables."""
    base = np.random.default_rng(0).standard_normal((3, 4))
    ours, twin = numpy_impl.tensor(base, requires_grad=True), to_torch(base).requires_grad_()
    index = np.array([0, 3, 3])
    (functional.embedding(index, ours.T * 2) ** 2).sum().backward()
    (torch.nn.functional.embedding(torch.from_numpy(index), twin.T * 2) ** 2).sum().backward()
    np.testing.assert_allclose(ours.grad, twin.grad.numpy(), rtol=1e-12)


def test_the_maximum_of_a_bag_with_nan_is_nan() -> None:
    table = np.array([[1, np.nan], [3, 2], [np.nan, 5]])
    layer = nn.EmbeddingBag.from_pretrained(table, freeze=False, mode="max")
    assert np.isnan(layer(np.array([[0, 1, 2]]))).all()
    layer.backward(np.ones((1, 2)))
    np.testing.assert_array_equal(layer.weight.grad, [[0, 1], [0, 0], [1, 0]])


LOOKS = [
    "Embedding(5, 2, padding_idx=-1, max_norm=1, norm_type=1, scale_grad_by_freq=True)",
    "Embedding(5, 2, max_norm=1.5, sparse=True)",
    "EmbeddingBag(5, 2, padding_idx=-1, max_norm=1, sparse=True, include_last_offset=True)",
    "EmbeddingBag(5, 2, max_norm=1.5, norm_type=1, scale_grad_by_freq=True, mode='sum')",
]


@pytest.mark.parametrize("text", LOOKS)
def test_looks_are_torch_s(text) -> None:
    assert repr(eval(f"nn.{text}")) == repr(eval(f"torch.nn.{text}"))


IDX, W = np.array([0, 1, 2]), np.zeros((4, 2), "f")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.Embedding(-1, 3), ValueError, "Embedding: num_embeddings must not be negative"),
        (lambda: nn.Embedding(3, 1.5), TypeError, "embedding_dim must be an int, got 1.5"),
        (lambda: nn.Embedding(3, 2, 3), ValueError, r"padding_idx must lie within -3\.\.2, got 3"),
        (lambda: nn.Embedding(3, 2, -4), ValueError, "padding_idx must"),
        (lambda: nn.Embedding(3, 2, _weight=W), ValueError, r"_weight must have shape \(3, 2\)"),
        (lambda: nn.Embedding(4, 2)(W), TypeError, "input must be an array of integers, got float"),
        (lambda: nn.Embedding(4, 2)(IDX > 0), TypeError, "array of integers, got bool"),
        (lambda: nn.Embedding(4, 2)([1]), TypeError, "array of integers, got list"),
        (lambda: nn.Embedding(2, 2)(IDX), IndexError, r"hold indices 0\.\.1, got 2"),
        (lambda: nn.Embedding(2, 2)(IDX - 1), IndexError, r"hold indices 0\.\.1, got -1"),
        (lambda: nn.Embedding(0, 2)(IDX), IndexError, "hold indices"),
        (lambda: functional.embedding(IDX, W[0]), ValueError, "embeddings must be 2-d"),
        (lambda: nn.EmbeddingBag(4, 2, mode="min"), ValueError, "sum, mean, max, got 'min'"),
        (lambda: nn.EmbeddingBag(4, 2, mode="max", sparse=True), ValueError, "mode 'max' has"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX), ValueError, "offsets must be given"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX[None], IDX), ValueError, "offsets must be None"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX[None, None]), ValueError, "input must be 1-d or 2-d"),
        (lambda: nn.EmbeddingBag(4, 2)(np.zeros((2, 0), int)), ValueError, "in each bag"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX, IDX + 1), ValueError, "offsets must start with 0"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX, IDX * 2), ValueError, "offsets must start with 0"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX, np.array([0, 2, 1])), ValueError, "and stay below"),
        (lambda: nn.EmbeddingBag(4, 2)(IDX, IDX[None]), ValueError, "offsets must be 1-d"),
        (
            lambda: nn.EmbeddingBag(4, 2)(IDX, IDX.astype("f")),
            TypeError,
            "offsets must be an array of",
        ),
        (
            lambda: nn.EmbeddingBag(4, 2)(IDX, IDX, W[:3, 0]),
            ValueError,
            "mode 'sum' alone, got 'mean'",
        ),
        (
            lambda: nn.EmbeddingBag(4, 2, mode="sum")(IDX, IDX, W),
            ValueError,
            r"must have input's shape \(3,\), got \(4, 2\)",
        ),
        (
            lambda: nn.EmbeddingBag(4, 2, mode="sum")(IDX, IDX, np.ones(3)),
            TypeError,
            "per_sample_weights must have the parameters' dtype float32",
        ),
        (
            lambda: nn.EmbeddingBag(4, 2, include_last_offset=True)(IDX, IDX[:0]),
            ValueError,
            "with at least one",
        ),
        (
            lambda: nn.EmbeddingBag(4, 2, include_last_offset=True)(IDX, IDX),
            ValueError,
            "and end with input's length 3",
        ),
        (lambda: nn.EmbeddingBag(4, 2)(IDX, IDX[:0]), ValueError, "offsets must start with 0"),
    ],
)
def test_wrong_use(make, error, message) -> None:
    with pytest.raises(error, match=message):
        make()
