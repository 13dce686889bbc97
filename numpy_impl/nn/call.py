"""A call of a module, with what it keeps for backward; and the structures that go in and out.

What a call keeps is a :class:`Call`, so that a module may be called any number of times before any
backward. Calls within the forward of another layer belong to that one's call, and while its
backward runs they are their modules' last calls: in that thread only (``current_call``).
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from numpy_impl.tensor.tensor import Tensor, to_array

Array = np.ndarray


class Call:
    """What one call of a module keeps for backward.

    Attributes:
        output: shape and dtype of what forward returned, in its structure.
        saved: what the layer handed to ``save_for_backward``.
        needs: for each array input whether it needs a gradient; None: as the module says.
        within: the last call of each module that a layer's forward called with arrays.
        attributes: those of a layer that may keep what it needs on itself.
        inputs: the Tensors of a module that is made of calls, whose ``output`` has Tensors, too.
        previous: the call before, within one forward of a layer that calls this one several times.
        is_running: whether a backward goes through it just now.
    """

    output: Any = None
    saved: tuple[Any, ...] = ()
    needs: tuple[bool, ...] | None = None
    within: "dict[Any, Call]" = {}  # noqa: RUF012 (never changed)
    attributes: dict[str, Any] | None = None
    inputs: Any = None
    previous: "Call | None" = None
    is_running = False


class Within(threading.local):
    """While a layer's forward or backward runs in the graph or within another layer's:

    the last call of each module in it, the layer itself, and whether its backward keeps the graph.
    And the modules whose calls with arrays, made of calls, are under way.
    """

    calls: "dict[Any, Call | None] | None" = None
    owner: Any = None
    retains = False
    roots: tuple[Any, ...] = ()


within = Within()
# one entry for each of them that runs now, in any thread; empty nearly always
running: list[None] = []
# the key, in place of its module, of what super().forward(...) did
SUPER = "super"
_ARRAY = np.ndarray


class Spec(NamedTuple):
    """What the gradient of an output must look like."""

    shape: tuple[int, ...]
    dtype: np.dtype


_new_tuple: Any = tuple.__new__

# -- structures of inputs and outputs --------------------------------------------------------------


def describe(output: Any) -> Any:
    """Shape and dtype of each array in ``output``, None for arrays that are not floating-point."""
    if type(output) is _ARRAY and output.dtype.kind == "f":
        return _new_tuple(Spec, (output.shape, output.dtype))  # half the time of Spec(...)
    if isinstance(output, tuple | list):
        return tuple(describe(part) for part in output)
    if isinstance(output, dict):
        return {key: describe(part) for key, part in output.items()}
    output = to_array(output)
    if not isinstance(output, np.ndarray | np.generic) or output.dtype.kind != "f":
        return None
    return Spec(output.shape, output.dtype)


def leaves(value: Any) -> Iterator[Any]:
    """The arrays, Tensors and Nones within tuples, lists and dicts."""
    if value is None or isinstance(value, Tensor | np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from leaves(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """The same structure with each array and Tensor replaced."""
    if isinstance(value, Tensor | np.ndarray):
        return function(value)
    if isinstance(value, tuple | list):
        parts = [mapped(part, function) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: mapped(part, function) for key, part in value.items()}
    return function(np.asarray(value)) if isinstance(value, np.generic) else value


def keep(self: Any, call: Call | None) -> None:
    """Make ``call`` the module's last; within a layer's forward that layer's call has it."""
    calls = within.calls
    if calls is None:
        self.__dict__["_call"] = call
    elif call is not None:
        key = SUPER if within.owner is self else self
        call.previous = calls.get(key)
        calls[key] = call


def current_call(self: Any) -> Call | None:
    """The call that the module's backward goes through."""
    calls = within.calls
    return self.__dict__["_call"] if calls is None else calls.get(self)


def set_call(self: Any, call: Call | None) -> None:
    """Make ``call`` the one that :func:`current_call` gives."""
    calls = within.calls
    if calls is None:
        self.__dict__["_call"] = call
    else:
        calls[self] = call


def no_forward(self: Any) -> str:
    """The message for a backward that has nothing to go back through."""
    return (
        f"{type(self).__name__}.backward was called without a forward to go back through: call the "
        "module first, outside no_grad(); each backward needs a forward of its own, unless the one "
        "before it had retain_graph=True"
    )


def check_grad(grad: Any, output: Any, name: str) -> Any:
    """An upstream gradient, checked against what forward returned, in its dtype.

    Args:
        grad: an array, or a structure of them; None within it stands for zeros.
        output: what :func:`describe` said of the output.
        name: of the layer and the argument, for messages.

    Raises:
        TypeError: if it is no array (or tuple, or dict, of arrays).
        ValueError: if a shape differs from the output's.
    """
    if isinstance(output, tuple) and not isinstance(output, Spec):
        if grad is None and name.endswith("]"):
            grad = (None,) * len(output)
        if not isinstance(grad, tuple | list) or len(grad) != len(output):
            raise TypeError(
                f"{name} must be a tuple of {len(output)}, as forward returned, got {summary(grad)}"
            )
        return tuple(
            check_grad(g, o, f"{name}[{i}]")
            for i, (g, o) in enumerate(zip(grad, output, strict=True))
        )
    if isinstance(output, dict):
        if not isinstance(grad, dict) or not grad.keys() <= output.keys():
            raise TypeError(
                f"{name} must be a dict with the keys {list(output)}, got {summary(grad)}"
            )
        return {k: check_grad(grad.get(k), o, f"{name}[{k!r}]") for k, o in output.items()}
    grad = to_array(grad)
    if output is None or (grad is None and name.endswith("]")):
        return None if output is None else np.zeros(output.shape, output.dtype)
    if not isinstance(grad, np.ndarray | np.generic):
        raise TypeError(f"{name} must be a NumPy array, got {summary(grad)}")
    if grad.shape != output.shape:
        raise ValueError(f"{name} must have the output's shape {output.shape}, got {grad.shape}")
    return np.asarray(grad, output.dtype)


def summary(value: Any) -> str:
    """``value`` for an error message: never a page of numbers."""
    if isinstance(value, np.ndarray | Tensor):
        kind = "Tensor" if isinstance(value, Tensor) else "array"
        return f"{kind} of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple):
        return f"tuple of {len(value)}"
    if value is None or isinstance(value, int | float | str):
        return repr(value)
    return type(value).__name__
