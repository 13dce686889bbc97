"""Arguments of constructors and forwards, checked.

An error says which argument, its value and what is allowed; the class or function whose argument it
is puts its name before that (:func:`names_itself`, and the call of every layer).
"""

import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import numpy as np

from numpy_impl.nn.call import summary
from numpy_impl.tensor.creation import check_device

Array = np.ndarray
Ints = tuple[int, ...]
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
ARGUMENT_ERRORS = (TypeError, ValueError)
# the files of this library, and of NumPy, whose decorators stand between its functions
_NOT_THE_CALLER_S = tuple(
    f"{folder}{os.sep}" for folder in (Path(__file__).parents[1], Path(np.__file__).parent)
)
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
    value: Any,
    name: str,
    dtype: np.dtype | None = None,
    ndim: tuple[int, ...] = (),
    integers: bool = False,
) -> Array:
    """A floating-point array argument, checked.

    Args:
        value: what the caller passed.
        name: the argument's name, for the message.
        dtype: the dtype it must have, the parameters' one; None allows float32 and float64.
        ndim: the numbers of dimensions allowed; empty allows any.
        integers: whether integers and bools may be given, too, to layers that only move values.

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
            raise TypeError(f"{name} must be a NumPy array, got {summary(value)}")
        value = np.asarray(value)
    found = value.dtype
    if dtype is not None and found != dtype:
        raise TypeError(f"{name} must have the parameters' dtype {dtype}, got {found}")
    if found not in _FLOATS and not (integers and found.kind in "iub"):
        allowed = "float32, float64, an integer or bool" if integers else "float32 or float64"
        raise TypeError(f"{name} must be {allowed}, got {found}")
    if ndim and value.ndim not in ndim:
        named = [f"{n}-d" for n in ndim]
        allowed = " or ".join(named) if len(named) < 9 else f"at least {named[0]}"
        raise ValueError(f"{name} must be {allowed}, got shape {value.shape}")
    return value


def check_int(value: Any, name: str, minimum: int) -> int:
    """An int argument of at least ``minimum``, checked.

    Raises:
        TypeError: if it is no int.
        ValueError: if it is below ``minimum``.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < minimum:
        allowed = f"be at least {minimum}" if minimum else "not be negative"
        raise ValueError(f"{name} must {allowed}, got {value}")
    return int(value)


def ntuple(value: Any, n: int, name: str, minimum: int | None = 1, broadcast: bool = False) -> Ints:
    """An int or a sequence of ``n`` ints, as a tuple of ``n``; with ``broadcast`` also one of 1.

    None as ``minimum`` allows every number.

    Raises:
        TypeError: if it is neither.
        ValueError: if there are not ``n``, or one is below ``minimum``.
    """
    many = isinstance(value, tuple | list)
    values = tuple(value) if many else (value,)
    if not all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values):
        raise TypeError(f"{name} must be an int or a tuple of {n} ints, got {value!r}")
    if broadcast and len(values) == 1:
        many = False
    if many and len(values) != n:
        raise ValueError(f"{name} must be an int or a tuple of {n} ints, got {value!r}")
    if minimum is not None and min(values, default=minimum) < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value!r}")
    return tuple(int(v) for v in values) * (1 if many else n)


def cached(function: Callable[..., T]) -> Callable[..., T]:
    """``lru_cache`` for functions whose arguments may be lists.

    So a layer's attributes are checked at every call and may change, at the price of a look-up.
    """
    remembered = functools.lru_cache(maxsize=512)(function)

    def call(*arguments: Any) -> T:
        try:
            return remembered(*arguments)
        except TypeError:  # either a list, which has no hash, or the function's own error
            if not any(isinstance(a, list) for a in arguments):
                raise
        return remembered(*(tuple(a) if isinstance(a, list) else a for a in arguments))

    return call


def name_owner(error: Exception, owner: str) -> None:
    """Put the owner's name before an error's message, unless there is one already."""
    message = str(error.args[0]) if error.args else ""
    if not getattr(error, "has_owner", False) and not message.startswith(f"{owner}:"):
        error.args = (f"{owner}: {message}", *error.args[1:])
    error.has_owner = True  # type: ignore[attr-defined]


def names_itself(function: F) -> F:
    """A constructor or function whose errors begin with its class's or its own name."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ARGUMENT_ERRORS as error:
            is_constructor = function.__name__ == "__init__"
            name_owner(error, type(args[0]).__name__ if is_constructor else function.__name__)
            raise

    return call  # type: ignore[return-value]


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning that points at the caller's own line, however many of ours lie between."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_code.co_filename.startswith(_NOT_THE_CALLER_S):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
