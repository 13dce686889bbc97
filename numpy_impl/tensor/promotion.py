"""torch's dtype of a result, and IEEE's results without NumPy's warnings."""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from numpy_impl.tensor.tensor import to_array
from numpy_impl.types import Array, DType

_Function = TypeVar("_Function", bound=Callable[..., Any])
_KINDS = "biuf"  # a later kind wins: bool, int, float
_ALIASES = (("axis", "dim"), ("keepdims", "keepdim"))

# a decorator: what overflows or is undefined becomes inf or NaN silently, as in torch
quiet = np.errstate(all="ignore")


def along_axes(function: _Function) -> _Function:
    """A quiet function of ``dim`` and ``keepdim`` that takes ``axis`` and ``keepdims``, too."""
    silent = quiet(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for alias, name in _ALIASES if kwargs else ():
            if alias in kwargs:
                kwargs[name] = kwargs.pop(alias)
        return silent(*args, **kwargs)

    return call  # type: ignore[return-value]


def _rank(dtype: np.dtype[Any]) -> int:
    if dtype.kind not in _KINDS:
        raise TypeError(f"a Tensor can't hold {dtype}: bool, integers and floats only")
    return _KINDS.index("i" if dtype.kind == "u" else dtype.kind)


def result_type(*operands: Any) -> np.dtype[Any]:
    """torch's dtype of a result: arrays decide; 0-d ones and numbers only by a higher kind.

    A float array with an integer one keeps its precision.
    """
    groups: list[list[np.dtype[Any]]] = [[], [], []]
    for operand in operands:
        value = to_array(operand)
        if isinstance(value, np.ndarray):
            groups[0 if value.ndim else 1].append(value.dtype)
        elif isinstance(value, bool | np.bool_):
            groups[2].append(np.dtype(np.bool_))
        elif isinstance(value, int | np.integer):
            groups[2].append(np.dtype(np.int64))
        elif isinstance(value, float | np.floating):
            groups[2].append(np.dtype(np.float32))
        else:
            raise TypeError(f"needs Tensors, arrays or numbers, got {type(value).__name__}")
    best: np.dtype[Any] | None = None
    for group in groups:
        if not group:
            continue
        highest = max(map(_rank, group))
        found = np.result_type(*(dtype for dtype in group if _rank(dtype) == highest))
        if best is None or highest > _rank(best):
            best = found
    assert best is not None
    return best


def operands(*values: Any) -> list[Any]:
    """The values as arrays (numbers may stay) of one dtype, torch's."""
    arrays = [to_array(value) for value in values]
    kinds = {a.dtype if isinstance(a, np.ndarray) else type(a) for a in arrays}
    dtypes = [kind for kind in kinds if isinstance(kind, np.dtype)]
    if len(dtypes) == 1 and dtypes[0].kind == "f" and kinds <= {dtypes[0], int, float}:
        return arrays  # NumPy promotes Python's numbers as torch does
    dtype = result_type(*arrays)
    # a number that an integer dtype can't hold wraps, as in torch
    return [np.asarray(a).astype(dtype, copy=False) for a in arrays]


def of_one_dtype(name: str, *values: Any) -> list[Array]:
    """The values as arrays, which must have one dtype: products of matrices don't promote."""
    arrays = [to_array(value) for value in values]
    for array in arrays:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"{name} needs Tensors or arrays, got {type(array).__name__}")
    if len({array.dtype for array in arrays}) > 1:
        dtypes = ", ".join(str(array.dtype) for array in arrays)
        raise RuntimeError(f"{name} needs Tensors of one dtype, got {dtypes}")
    return arrays


def as_float(value: Any) -> Array:
    """The array of ``value``; integers become float32, as in torch."""
    array = np.asarray(to_array(value))
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def needs_float(value: Any, name: str, dtype: DType = None) -> Array:
    """The array of ``value``, which must be a floating-point one unless ``dtype`` makes it so."""
    array = np.asarray(to_array(value))
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} needs a floating-point Tensor, got {array.dtype}: use .float()")
    return array


def needs_numbers(value: Any, name: str) -> Array:
    """The array of ``value``, which must not be one of bools."""
    array = np.asarray(to_array(value))
    if array.dtype == np.bool_:
        raise TypeError(f"{name} needs numbers, got a Tensor of bool")
    return array


__all__ = [
    "along_axes",
    "as_float",
    "needs_float",
    "needs_numbers",
    "of_one_dtype",
    "operands",
    "quiet",
    "result_type",
]
