"""Sums over the rows that belong together, by an index or in runs; and columns by an index."""

import numpy as np

from numpy_impl.kernels.products import sum_along

Array = np.ndarray


def sum_by_index(rows: Array, index: Array, count: int) -> Array:
    """``np.add.at(np.zeros((count, F), rows.dtype), index, rows)`` of (M, F), twice as fast."""
    output = np.zeros((count, *rows.shape[1:]), rows.dtype)
    unique, sums = sum_equal(rows, index)
    output[unique] = sums
    return output


def sum_equal(rows: Array, index: Array) -> tuple[Array, Array]:
    """``u, [rows[index == i].sum(0) for i in u]`` for ``u = np.unique(index)``.

    Most of an index occurs once: those rows are copied, and what else there is is summed in runs.
    """
    if not index.size:
        return index, rows
    order = np.argsort(index, kind="stable")
    ordered = index[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    sums = rows[order[is_first]]
    further = order[~is_first]
    if further.size:
        places = (np.cumsum(is_first) - 1)[~is_first]
        starts = np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]]))
        sums[places[starts]] += np.add.reduceat(rows[further], starts)
    return ordered[is_first], sums


def reduce_runs(function: np.ufunc, rows: Array, sizes: Array) -> Array:
    """``[function.reduce(run) for run in np.split(rows, np.cumsum(sizes)[:-1])]``; empty ones: 0.

    Args:
        function: ``np.add`` or its like.
        rows: (M, F).
        sizes: of the runs, (B,), with sum M.
    """
    if sizes.size and sizes[0] > 0 and (sizes == sizes[0]).all():
        runs = rows.reshape(len(sizes), sizes[0], *rows.shape[1:])
        return sum_along(runs, 1) if function is np.add else function.reduce(runs, 1)
    output = np.zeros((len(sizes), *rows.shape[1:]), rows.dtype)
    full = sizes > 0
    if full.any():
        output[full] = function.reduceat(rows, (np.cumsum(sizes) - sizes)[full])
    return output


def take_columns(values: Array, index: Array) -> Array:
    """``values[:, index]`` of (C, M), several times as fast; no index is negative."""
    return np.take(values, index, axis=1, mode="clip")  # which checks none before it starts


def add_at_columns(totals: Array, index: Array, values: Array) -> None:
    """``np.add.at(totals, (slice(None), index), values)``: (C, M), and (C, K) with K indices.

    Row by row: for one axis alone is that function quick.
    """
    for total, row in zip(totals, values, strict=True):
        np.add.at(total, index, row)
