"""SparseRows: a gradient that is zero but for a few rows."""

from collections.abc import Iterator
from typing import Any, NoReturn, Self

import numpy as np

from numpy_impl.kernels.segments import sum_equal
from numpy_impl.types import Array, DType


class SparseRows:
    r"""A large array by its few rows that are not zero: :math:`G_v = \sum_{n:\, i_n = v} y_n`.

    What ``backward()`` leaves as a table's ``grad`` with ``Embedding(sparse=True)``: as large as
    the batch, not as the table. Names and meaning are those of torch's sparse tensors, whose
    ``indices()`` and ``values()`` are arrays here.

    Args:
        indices: the numbers of the rows, (n,) or torch's (1, n); one may occur several times.
        values: the rows, (n, ...).
        size: the shape of the whole, (V, ...).
        is_coalesced: whether the indices are known to rise, each once.

    There are sums of two, products with a number, and ``array + grad`` and ``array -= grad``, also
    for Tensors in place, which touch those rows alone. All else needs :meth:`to_dense`.

    Raises:
        TypeError: if the indices are no integers.
        ValueError: if the shapes do not fit.
        IndexError: if an index is no row.

    Source: https://pytorch.org/docs/stable/sparse.html
    """

    is_sparse = True

    def __init__(
        self, indices: Any, values: Any, size: tuple[int, ...], is_coalesced: bool = False
    ) -> None:
        index, rows, shape = np.asarray(indices), np.asarray(values), tuple(size)
        if index.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, got {index.dtype}")
        index = index[0] if index.ndim == 2 and len(index) == 1 else index
        if index.ndim != 1 or not shape or rows.shape != (len(index), *shape[1:]):
            raise ValueError(
                f"values must be (n, ...) for n indices and size (V, ...), got values "
                f"{rows.shape}, indices {index.shape} and size {shape}"
            )
        if index.size and not 0 <= index.min() <= index.max() < shape[0]:
            raise IndexError(
                f"indices must lie in 0..{shape[0] - 1}, got {index.min()}..{index.max()}"
            )
        self._index, self._rows, self.shape = index.astype(np.int64, copy=False), rows, shape
        self._is_coalesced = is_coalesced or len(index) == 0

    # -- what it holds -------------------------------------------------------------------------

    def coalesce(self) -> "SparseRows":
        """The same with each index once, rising: rows of equal indices are summed."""
        if self._is_coalesced:
            return self
        index, rows = sum_equal(self._rows, self._index)
        return SparseRows(index, rows, self.shape, is_coalesced=True)

    def is_coalesced(self) -> bool:
        """Whether it is known that each index occurs once."""
        return self._is_coalesced

    def indices(self) -> Array:
        """The numbers of the rows, (1, n), rising.

        Raises:
            RuntimeError: if it is not coalesced: one may occur several times.
        """
        self._needs_coalesced("indices")
        return self._index[None]

    def values(self) -> Array:
        """The rows, (n, ...).

        Raises:
            RuntimeError: if it is not coalesced.
        """
        self._needs_coalesced("values")
        return self._rows

    # torch's names for the same, coalesced or not

    def _indices(self) -> Array:
        return self._index[None]

    def _values(self) -> Array:
        return self._rows

    def _nnz(self) -> int:
        return len(self._index)

    def _needs_coalesced(self, name: str) -> None:
        if not self._is_coalesced:
            raise RuntimeError(f"{name}() needs each index once: call coalesce() first")

    def to_dense(self) -> Array:
        """The whole array."""
        dense = np.zeros(self.shape, self.dtype)
        dense += self
        return dense

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._rows.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def size(self, dim: int | None = None) -> Any:
        """The shape of the whole, or one of its sizes."""
        return self.shape if dim is None else self.shape[dim]

    def __len__(self) -> int:
        return self.shape[0]

    # -- what it can do ------------------------------------------------------------------------

    def astype(self, dtype: DType, copy: bool = True) -> "SparseRows":
        """The same in another dtype; the same object with ``copy=False`` if that is its own."""
        if not copy and self.dtype == dtype:
            return self
        return SparseRows(self._index, self._rows.astype(dtype), self.shape, self._is_coalesced)

    def clone(self) -> "SparseRows":
        """A copy that shares nothing which may change."""
        return self.astype(self.dtype)

    def zero_(self) -> Self:
        """Forget all rows."""
        self._index, self._rows, self._is_coalesced = self._index[:0], self._rows[:0], True
        return self

    def __add__(self, other: Any) -> "SparseRows":
        if not isinstance(other, SparseRows):
            return NotImplemented
        total = self.clone()
        total += other
        return total

    def __iadd__(self, other: Any) -> Self:
        if not isinstance(other, SparseRows):
            return NotImplemented
        if other.shape != self.shape:
            raise ValueError(f"both must have one shape, got {self.shape} and {other.shape}")
        self._index = np.concatenate([self._index, other._index])
        self._rows = np.concatenate([self._rows, other._rows.astype(self.dtype, copy=False)])
        self._is_coalesced = len(self._index) == 0
        return self

    def __sub__(self, other: Any) -> "SparseRows":
        return self + -other if isinstance(other, SparseRows) else NotImplemented

    def __mul__(self, factor: Any) -> "SparseRows":
        if np.ndim(factor):
            return NotImplemented
        return SparseRows(self._index, self._rows * factor, self.shape, self._is_coalesced)

    __rmul__ = __mul__

    def __imul__(self, factor: Any) -> Self:
        if np.ndim(factor):
            return NotImplemented
        self._rows *= factor
        return self

    def __truediv__(self, divisor: Any) -> "SparseRows":
        if np.ndim(divisor):
            return NotImplemented
        return SparseRows(self._index, self._rows / divisor, self.shape, self._is_coalesced)

    def __neg__(self) -> "SparseRows":
        return SparseRows(self._index, -self._rows, self.shape, self._is_coalesced)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] = (), **kwargs: Any
    ) -> Any:
        """``array + grad``, ``array - grad``, both in place too, and ``number * grad``."""
        if method != "__call__" or kwargs or len(inputs) != 2:
            self._refuse(f"NumPy's {ufunc.__name__}")
        first, other = inputs
        if ufunc is np.multiply and isinstance(first, np.generic) and not out:
            return self * first
        if ufunc is np.add and isinstance(other, np.ndarray):
            first, other = other, first
        is_sum = ufunc in (np.add, np.subtract) and isinstance(first, np.ndarray) and other is self
        if not is_sum or first.shape != self.shape or (out and out[0] is not first):
            self._refuse(f"NumPy's {ufunc.__name__}")
        total = first if out else first.astype(np.result_type(first, self.dtype))
        grad = self.coalesce()
        total[grad._index] = ufunc(total[grad._index], grad._rows)
        return total

    def __array__(self, dtype: DType = None, copy: bool | None = None) -> NoReturn:
        self._refuse("NumPy's asarray")

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a gradient of few rows has no {name}: use to_dense() first")

    def _refuse(self, what: str) -> NoReturn:
        raise TypeError(f"{what} does not take a gradient of few rows: use to_dense() first")

    def __repr__(self) -> str:
        return (
            f"SparseRows(indices={self._index}, values={self._rows}, size={self.shape}, "
            f"is_coalesced={self._is_coalesced})"
        )


def is_sparse(grad: Any) -> bool:
    """Whether a gradient is one of few rows: ours, or a sparse tensor of torch's."""
    return getattr(grad, "is_sparse", False)


def as_rows(grad: Any) -> SparseRows:
    """A copy of what :func:`is_sparse` holds for."""
    index, values = np.asarray(grad._indices()), np.asarray(grad._values())
    return SparseRows(index, values, tuple(grad.shape), grad.is_coalesced()).clone()


def copied(grad: Any, dtype: DType = None) -> Any:
    """A gradient's copy, in its dtype unless another is given."""
    if isinstance(grad, SparseRows):
        return grad.astype(grad.dtype if dtype is None else dtype)
    return np.array(grad, dtype, order="K")


def dense(grad: Any) -> Array:
    """A gradient as an array."""
    return grad.to_dense() if isinstance(grad, SparseRows) else grad


def summed(grad: Any, other: Any) -> Any:
    """The sum of two gradients in an object of its own; an array if one of them is."""
    total = grad + other
    return total if isinstance(total, SparseRows) else np.asarray(total)


def rows_of(grad: SparseRows, first: Array, *others: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of the arrays that a gradient has, which stands second; then puts them back."""
    grad = grad.coalesce()
    rows = grad.indices()[0]
    arrays = [a if isinstance(a, np.ndarray) else None for a in (first, *others)]
    parts = [a if a is None else a[rows] for a in arrays]
    yield parts[0], grad.values(), *parts[1:]
    for array, part in zip(arrays, parts, strict=True):
        if array is not None:
            array[rows] = part


def zero_(grad: Any) -> None:
    """Fill a gradient with zeros."""
    grad.zero_() if isinstance(grad, SparseRows) else grad.fill(0)
