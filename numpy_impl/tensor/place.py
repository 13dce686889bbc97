"""Where the elements of a part lie: in an array, and in the gradient of what it was taken from."""

from typing import Any, NamedTuple

import numpy as np

from numpy_impl.types import Array


def own(array: Array) -> Array:
    """A copy in C order, which keeps what is computed from it fast."""
    return np.array(array, order="C")


def part_of(array: Array, place: tuple[Any, ...]) -> Array:
    """What lies there in ``array``: shape, dtype, bytes behind the first element, strides."""
    shape, dtype, offset, strides = place
    part: Array = np.ndarray(shape, dtype, array, offset, strides)
    return part


def overlaps(part: Array) -> bool:
    """Whether two elements lie at the same place."""
    reach = 0
    for step, n in sorted(zip(map(abs, part.strides), part.shape, strict=True)):
        if n > 1 and step <= reach:
            places = sum(
                np.arange(n).reshape(-1, *[1] * (part.ndim - axis - 1)) * part.strides[axis]
                for axis, n in enumerate(part.shape)
            )
            return len(np.unique(places)) < part.size
        reach += (n - 1) * step
    return False


class Place(NamedTuple):
    """The place of a part in its base, for the way back.

    Attributes:
        shape: of the base.
        of_part: in memory.
        of_base: in memory, unless the base is all of it.
    """

    shape: tuple[int, ...]
    of_part: tuple[Any, ...]
    of_base: tuple[Any, ...] | None

    def put(self, g: Array) -> Array:
        """From the part's gradient to the base's."""
        grad = np.zeros(self.shape, g.dtype)
        if self.of_base is None and not overlaps(part_of(grad, self.of_part)):
            part_of(grad, self.of_part)[...] = g
        else:  # an element may be there several times
            np.add.at(grad.reshape(-1), self._numbers(), g)
        return grad

    def take(self, g: Array) -> Array:
        """From the gradient of a base with new values there to theirs."""
        if self.of_base is None:
            return own(part_of(np.ascontiguousarray(g), self.of_part))
        return g.reshape(-1)[self._numbers()]

    def clear(self, g: Array) -> Array:
        """From the gradient of a base with new values there to that of the base before."""
        grad = own(g)
        if self.of_base is None:
            part_of(grad, self.of_part)[...] = 0
        else:
            grad.reshape(-1)[self._numbers()] = 0
        return grad

    def _numbers(self) -> Array:
        """The number, in C order, that each element of the part has in the base."""
        numbers = _numbers(self.of_part)
        if self.of_base is None:
            return numbers
        others = _numbers(self.of_base).reshape(-1)
        order = np.argsort(others)
        return np.asarray(order[np.searchsorted(others, numbers, sorter=order)])


def _numbers(place: tuple[Any, ...]) -> Array:
    """The number that each element at a place has in the memory."""
    shape, dtype, offset, strides = place
    numbers: Array = np.array(offset)
    for n, step in zip(shape, strides, strict=True):
        numbers = numbers[..., None] + np.arange(n) * step
    return np.asarray(numbers // dtype.itemsize)
