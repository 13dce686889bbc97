"""Weighted sums of a few positions along axes: matrices with a narrow band, their transposes."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.threads import slicewise

Array = np.ndarray
# where a position has more outputs than this, one gather is quicker than a slice for each of them
_MOST_PHASES = 8
_ALL = slice(None)


def _at(axis: int, where: slice | Array) -> tuple[Any, ...]:
    """The index of ``where`` along an axis counted from the end."""
    return (..., where, *(_ALL,) * (-axis - 1))


class _Term(NamedTuple):
    """``total[inside] += weights * input[columns]`` along the axis; None: all weights are 1."""

    inside: slice
    columns: slice | Array
    weights: Array | None


class Band:
    """A matrix (outputs, inputs) with few entries a row, each given by row, column and value.

    Entries at the same place add up. One of 0 reads its position nevertheless: 0 times NaN is NaN.
    """

    def __init__(self, rows: Array, columns: Array, values: Array, shape: tuple[int, int]) -> None:
        self.shape = shape
        places, which = np.unique((rows * shape[1] + columns).reshape(-1), return_inverse=True)
        sums = np.bincount(which.reshape(-1), values.reshape(-1))
        self._values = sums.astype(values.dtype)
        self._rows, self._columns = np.divmod(places, shape[1])

    @cached_property
    def transposed(self) -> "Band":
        """The way back."""
        return Band(self._columns, self._rows, self._values, self.shape[::-1])

    @cached_property
    def is_identity(self) -> bool:
        diagonal, (outputs, inputs) = np.arange(self.shape[0]), self.shape
        places = self._rows, self._columns
        is_diagonal = all(np.array_equal(place, diagonal) for place in places)
        return outputs == inputs and is_diagonal and bool((self._values == 1).all())

    @cached_property
    def _phases(self) -> list[tuple[slice, list[_Term]]]:
        """Which rows, and the terms of their sum: the ones for all of these rows first."""
        outputs, inputs = self.shape
        if not outputs % inputs and outputs // inputs <= _MOST_PHASES:
            phases, step = outputs // inputs, 1
        elif not inputs % outputs:
            phases, step = 1, inputs // outputs
        else:
            return [(_ALL, self._gathers())]
        return [(slice(p, None, phases), self._slices(p, phases, step)) for p in range(phases)]

    def _slices(self, phase: int, phases: int, step: int) -> list[_Term]:
        """Row i * phases + phase reads from near column i * step: both are slices."""
        chosen = self._rows % phases == phase
        place, values = self._rows[chosen] // phases, self._values[chosen]
        offset = self._columns[chosen] - place * step
        terms = []
        for o in np.unique(offset):
            here = place[offset == o]
            first, end = int(here[0]), int(here[-1]) + 1
            weights = np.zeros(end - first, values.dtype)
            weights[here - first] = values[offset == o]
            is_all = end - first == self.shape[0] // phases
            columns = slice(first * step + int(o), (end - 1) * step + int(o) + 1, step)
            inside = _ALL if is_all else slice(first, end)
            terms.append(_Term(inside, columns, None if (weights == 1).all() else weights))
        return sorted(terms, key=lambda term: term.inside != _ALL)

    def _gathers(self) -> list[_Term]:
        """The first entries of all rows, the second ones, ...; column ``inputs`` holds 0."""
        starts = np.searchsorted(self._rows, self._rows)
        number = np.arange(len(self._rows)) - starts
        terms = []
        for k in range(int(number.max(initial=-1)) + 1):
            columns, weights = np.full(self.shape[0], self.shape[1]), np.ones(self.shape[0])
            weights = weights.astype(self._values.dtype)
            rows = self._rows[number == k]
            columns[rows], weights[rows] = self._columns[number == k], self._values[number == k]
            terms.append(_Term(_ALL, columns, None if (weights == 1).all() else weights))
        return terms

    @cached_property
    def _reads_zero(self) -> bool:
        """Whether a gather reads the column behind the input."""
        terms = (term for _, terms in self._phases for term in terms)
        return any(self.shape[1] in t.columns for t in terms if not isinstance(t.columns, slice))

    def apply(self, input: Array, axis: int, output: Array) -> None:
        """``output[...] = matrix @ input`` along the axis.

        Args:
            input: (..., inputs, ...).
            axis: counted from the end: negative.
            output: (..., outputs, ...), to be filled.
        """
        if self._reads_zero:
            zero = np.zeros_like(input[_at(axis, slice(0, 1))])
            input = np.concatenate((input, zero), axis)
        for rows, terms in self._phases:
            target = output[_at(axis, rows)]
            total = None
            for inside, columns, weights in terms:
                if isinstance(columns, slice):
                    part = input[_at(axis, columns)]
                else:
                    part = np.take(input, columns, axis)
                if weights is not None:
                    part = part * weights.reshape(-1, *(1,) * (-axis - 1))
                if total is None:
                    if inside == _ALL and (weights is not None or len(terms) == 1):
                        total = part
                        continue
                    total = np.zeros_like(target)
                total[_at(axis, inside)] += part
            target[...] = 0 if total is None else total


@silently
def resample(input: Array, bands: Sequence[Band]) -> Array:
    """``matrix @ input`` along each of the last axes, one after the other: (N, C, S...).

    For one axis that is ``np.einsum("os,...s->...o", matrix, input)``.
    """
    sizes = [band.shape[0] for band in bands]
    output = np.empty_like(input, shape=(*input.shape[: -len(bands)], *sizes))
    # what shrinks first, what grows last; the last axis before the others
    axes = [axis for axis in range(-1, -len(bands) - 1, -1) if not bands[axis].is_identity]
    axes.sort(key=lambda axis: bands[axis].shape[0] / bands[axis].shape[1])

    def run(target: Array, part: Array) -> None:
        for axis in axes[:-1]:
            shape = list(part.shape)
            shape[axis] = bands[axis].shape[0]
            between = np.empty_like(part, shape=tuple(shape))
            bands[axis].apply(part, axis, between)
            part = between
        if axes:
            bands[axes[-1]].apply(part, axes[-1], target)
        else:
            target[...] = part

    if input.flags.c_contiguous and output.size:
        # more, and smaller, pieces to work on
        run_over = (a.reshape(-1, *a.shape[-len(bands) :]) for a in (output, input))
        slicewise(run, *run_over)
    else:
        slicewise(run, output, input)
    return output
