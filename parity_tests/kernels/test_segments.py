"""Sums by index and in runs beside the expressions that they equal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numpy_impl.kernels.segments import (
    add_at_columns,
    reduce_runs,
    sum_by_index,
    take_columns,
)

COUNTS = st.lists(st.integers(0, 5), max_size=9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30), st.sampled_from([(), (3,), (0,)]))
def test_sums_by_index(index, features) -> None:
    rows = np.random.default_rng(0).standard_normal((len(index), *features))
    expected = np.zeros((7, *features))
    np.add.at(expected, np.array(index, int), rows)
    found = sum_by_index(rows, np.array(index, int), 7)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(COUNTS, st.sampled_from([np.add, np.maximum]), st.sampled_from([(), (3,), (0,)]))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_runs(dtype, sizes, function, features) -> None:
    rows = np.random.default_rng(0).standard_normal((sum(sizes), *features)).astype(dtype)
    runs = np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []
    wanted = [function.reduce(run) if len(run) else np.zeros(features) for run in runs]
    found = reduce_runs(function, rows, np.array(sizes, int))
    assert found.dtype == dtype
    assert found.shape == (len(sizes), *features)
    for value, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=30), st.integers(0, 4))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns(dtype, index, rows) -> None:
    rng, chosen = np.random.default_rng(0), np.array(index, int)
    values = rng.standard_normal((rows, 7)).astype(dtype)
    found = take_columns(values, chosen)
    np.testing.assert_array_equal(found, values[:, chosen])
    assert found.dtype == dtype
    totals, shares = values.copy(), rng.standard_normal((rows, len(index))).astype(dtype)
    np.add.at(values, (slice(None), chosen), shares)
    add_at_columns(totals, chosen, shares)
    np.testing.assert_array_equal(totals, values)
