"""A gradient of few rows: beside torch's sparse tensors, and where no array is to be had."""

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import numpy_impl
from numpy_impl.tensor.rows import SparseRows
from torch_ref.convert import to_numpy, to_torch


def rows(index, *shape: int, dtype: str = "float64", seed: int = 0) -> SparseRows:
    values = np.random.default_rng(seed).standard_normal((len(index), *shape[1:])).astype(dtype)
    return SparseRows(np.array(index, int), values, shape)


def same(ours: SparseRows, twin: torch.Tensor) -> None:
    assert ours.is_sparse is twin.is_sparse is True
    assert ours.shape == ours.size() == tuple(twin.shape)
    assert (ours.ndim, ours.size(0), len(ours)) == (twin.ndim, twin.size(0), len(twin))
    assert str(ours.dtype) == str(twin.dtype).removeprefix("torch.")
    np.testing.assert_allclose(ours.to_dense(), twin.to_dense().numpy(), rtol=1e-6, atol=1e-6)
    ours, twin = ours.coalesce(), twin.coalesce()
    assert ours.is_coalesced()
    np.testing.assert_array_equal(ours.indices(), twin.indices().numpy())
    np.testing.assert_allclose(ours.values(), twin.values().numpy(), rtol=1e-6, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 6), max_size=20),
    st.lists(st.integers(0, 6), max_size=5),
    st.sampled_from([(), (3,), (2, 3)]),
    st.sampled_from(["float32", "float64"]),
)
def test_it_computes_as_torch_s(index, other, features, dtype) -> None:
    ours = rows(index, 7, *features, dtype=dtype)
    twin = to_torch(ours)
    more = rows(other, 7, *features, dtype=dtype, seed=1)
    array = np.ones(ours.shape, dtype)
    same(ours, twin)
    same(to_numpy(twin), twin)
    same(ours + more, twin + to_torch(more))
    same(ours - more, twin - to_torch(more))
    same(-ours, -twin)
    same(ours * 0.5, twin * 0.5)
    same(np.float32(0.5) * ours, 0.5 * twin)
    same(ours / 4, twin / 4)
    same(ours.astype(np.float32), twin.float())
    np.testing.assert_allclose(array + ours, torch.ones(ours.shape) + twin, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours + array, torch.ones(ours.shape) + twin, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(array - ours, torch.ones(ours.shape) - twin, rtol=1e-5, atol=1e-6)
    kept = array
    array -= 2 * ours
    assert array is kept
    np.testing.assert_allclose(array, torch.ones(ours.shape) - 2 * twin, rtol=1e-5, atol=1e-6)


def test_changes_in_place_leave_copies_alone() -> None:
    ours = rows([2, 0, 2], 4, 3)
    others = [ours.clone(), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), ours + ours]
    twin, kept, dense = to_torch(ours), ours, ours.to_dense()
    ours *= 2
    ours += rows([1], 4, 3)
    twin *= 2
    twin += to_torch(rows([1], 4, 3))
    assert ours is kept
    same(ours, twin)
    for other in others[:3]:
        np.testing.assert_array_equal(other.to_dense(), dense)
    ours.zero_()
    assert ours._nnz() == 0
    assert ours.is_coalesced()
    np.testing.assert_array_equal(ours.to_dense(), np.zeros((4, 3)))
    coalesced = others[0].coalesce()
    assert coalesced.coalesce() is coalesced
    assert coalesced.astype(np.float64, copy=False) is coalesced


def test_a_step_written_by_hand_moves_the_rows_alone() -> None:
    grad = rows([2, 0, 2], 4, 3)
    for change in (
        lambda p, g: p.__isub__(0.1 * g),
        lambda p, g: p.sub_(g, alpha=0.1),
        lambda p, g: p.add_(g, alpha=-0.1),
    ):
        ours = numpy_impl.tensor(np.ones((4, 3)), requires_grad=True)
        twin = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
        array = ours.data
        with numpy_impl.no_grad(), torch.no_grad():
            change(ours, grad)
            change(twin, to_torch(grad))
        assert ours.data is array
        np.testing.assert_allclose(array, twin.detach().numpy(), rtol=1e-12)
        with pytest.raises(RuntimeError, match="must not be changed in place outside no_grad"):
            change(ours, grad)
    # a Tensor of the graph gets a new array, as in every change in place
    base = numpy_impl.tensor(np.ones((4, 3)), requires_grad=True)
    moved = base * 2
    before = moved.data
    moved -= grad
    (moved**2).sum().backward()
    np.testing.assert_array_equal(before, np.full((4, 3), 2.0))
    np.testing.assert_allclose(base.grad, 4 * (2 - grad.to_dense()))


GRAD, ARRAY = rows([1, 1, 3], 5, 2), np.ones((5, 2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: np.asarray(GRAD), TypeError, "NumPy's asarray does not take a gradient of few"),
        (lambda: np.exp(GRAD), TypeError, "NumPy's exp does not take a gradient of few rows: use"),
        (lambda: np.isfinite(GRAD), TypeError, r"isfinite .* use to_dense\(\) first"),
        (lambda: GRAD * ARRAY, TypeError, "NumPy's multiply does not take"),
        (lambda: GRAD - ARRAY, TypeError, "NumPy's subtract does not take"),
        (lambda: np.ones((2, 2)) + GRAD, TypeError, "NumPy's add does not take"),
        (lambda: np.sum(GRAD), TypeError, "NumPy's add does not take"),
        (lambda: numpy_impl.tensor(GRAD), TypeError, "NumPy's asarray does not take"),
        (lambda: GRAD.reshape(-1), AttributeError, r"has no reshape: use to_dense\(\) first"),
        (lambda: GRAD.indices(), RuntimeError, r"indices\(\) needs each index once: call coalesce"),
        (lambda: GRAD.values(), RuntimeError, r"values\(\) needs each index once"),
        (lambda: GRAD + rows([0], 4, 2), ValueError, r"one shape, got \(5, 2\) and \(4, 2\)"),
        (lambda: SparseRows([0.5], ARRAY[:1], (5, 2)), TypeError, "must be integers, got float64"),
        (lambda: SparseRows([5], ARRAY[:1], (5, 2)), IndexError, r"lie in 0\.\.4, got 5\.\.5"),
        (lambda: SparseRows([-1], ARRAY[:1], (5, 2)), IndexError, r"lie in 0\.\.4, got -1\.\.-1"),
        (lambda: SparseRows([0], ARRAY[:2], (5, 2)), ValueError, r"got values \(2, 2\), indices"),
        (lambda: SparseRows([0], ARRAY[:1], (5, 3)), ValueError, r"and size \(5, 3\)"),
        (lambda: SparseRows([[0], [1]], ARRAY[:1], (5, 2)), ValueError, r"indices \(2, 1\)"),
        (lambda: SparseRows([], ARRAY[0, 0], ()), TypeError, "must be integers"),
    ],
)
def test_wrong_use(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
