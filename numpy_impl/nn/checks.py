"""Arguments of constructors and forwards, checked."""

from typing import Any

import numpy as np

from numpy_impl.nn.call import summary
from numpy_impl.tensor.creation import check_device

Array = np.ndarray
_FLOAT32 = np.dtype(np.float32)
_FLOATS = (_FLOAT32, np.dtype(np.float64))


def float_dtype(dtype: Any, device: Any = None) -> np.dtype:
    """``dtype=`` of a constructor, normalised: None is float32.

    Raises:
        TypeError: unless it is float32 or float64, as dtype, scalar type or name.
        RuntimeError: if ``device`` is not the CPU.
    """
    check_device(device)
    try:
        resolved = np.dtype(np.float32 if dtype is None else dtype)
    except TypeError:
        resolved = None
    if resolved not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype!r}")
    return resolved


def check_array(
    value: Any, name: str, owner: str, dtype: np.dtype | None = None, ndim: tuple[int, ...] = ()
) -> Array:
    """A floating-point array argument, checked.

    Args:
        value: what the caller passed.
        name: the argument's name, for the message.
        owner: the function or class whose argument it is.
        dtype: the dtype it must have, the parameters' one; None allows float32 and float64.
        ndim: the numbers of dimensions allowed; empty allows any.

    Raises:
        TypeError: if it is no floating-point array, or of another dtype (nothing is promoted).
        ValueError: if its number of dimensions is not allowed.
    """
    # every layer of every forward comes here: the usual answer first
    if (
        type(value) is np.ndarray
        and value.dtype is (dtype or _FLOAT32)
        and (not ndim or value.ndim in ndim)
    ):
        return value
    if type(value) is not np.ndarray:
        if not isinstance(value, np.ndarray | np.generic):
            raise TypeError(f"{owner}: {name} must be a NumPy array, got {summary(value)}")
        value = np.asarray(value)
    found = value.dtype
    if dtype is not None and found != dtype:
        raise TypeError(f"{owner}: {name} must have the parameters' dtype {dtype}, got {found}")
    if found not in _FLOATS:
        raise TypeError(f"{owner}: {name} must be float32 or float64, got {found}")
    if ndim and value.ndim not in ndim:
        allowed = " or ".join(f"{n}-d" for n in ndim)
        raise ValueError(f"{owner}: {name} must be {allowed}, got shape {value.shape}")
    return value
