"""Whether forward keeps what backward needs: torch's grad mode, with its four switches."""

import functools
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar, overload

__all__ = [
    "enable_grad",
    "grad_mode",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class _GradMode(threading.local):
    # a plain attribute, since every call of a layer reads it
    enabled = True


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether calls of the calling thread keep what backward needs; True at its start."""
    return grad_mode.enabled


class _Switch:
    """Base of the switches: the mode is ``mode`` inside, and as it was before afterwards.

    Any number of uses of one object may be open, in one thread or in several: each thread has its
    own stack of modes to return to. A decorated function uses no object at all.
    """

    def __init__(self, mode: bool) -> None:
        self.mode = mode
        self._previous: dict[int, list[bool]] = {}

    def __enter__(self) -> None:
        self._previous.setdefault(threading.get_ident(), []).append(grad_mode.enabled)
        grad_mode.enabled = self.mode

    def __exit__(self, *exc_info: object) -> None:
        # a generator may be closed by another thread, whose mode is none of its business
        if previous := self._previous.get(threading.get_ident()):
            grad_mode.enabled = previous.pop()

    def __call__(self, function: _Function) -> _Function:
        decorated: _Function = _decorated(function, self.mode, type(self).__name__)
        return decorated

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mode={self.mode})"

    def _set(self, previous: bool) -> None:
        self._previous.setdefault(threading.get_ident(), []).append(previous)
        grad_mode.enabled = self.mode


class no_grad(_Switch):
    """Calls inside keep nothing for backward; a context, or a decorator with or without ``()``.

    Not tied to ``eval()``: torch differentiates through an eval-mode BatchNorm, so do we. Per
    thread, and may be nested. A decorated generator function has the mode whenever its body runs,
    and its caller never notices.

    Raises:
        TypeError: if it decorates a class, a coroutine function, or what can't be called.

    Source: https://pytorch.org/docs/stable/generated/torch.no_grad.html
    """

    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: Callable[..., Any]) -> Any: ...
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__(False)

    def __repr__(self) -> str:
        return "no_grad()"


class enable_grad(_Switch):
    """Calls inside keep what backward needs, also within ``no_grad``; used as that is.

    Raises:
        TypeError: if it decorates a class, a coroutine function, or what can't be called.

    Source: https://pytorch.org/docs/stable/generated/torch.enable_grad.html
    """

    @overload
    def __new__(cls, function: None = None) -> Self: ...
    @overload
    def __new__(cls, function: Callable[..., Any]) -> Any: ...
    def __new__(cls, function: Callable[..., Any] | None = None) -> Any:
        return super().__new__(cls) if function is None else cls()(function)

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        super().__init__(True)

    def __repr__(self) -> str:
        return "enable_grad()"


class set_grad_enabled(_Switch):
    """Switch the mode at once; as a context until its end, as a decorator only during calls.

    Args:
        mode: whether calls keep what backward needs.

    Raises:
        TypeError: if mode is no bool, or for what ``no_grad`` can't decorate.

    Source: https://pytorch.org/docs/stable/generated/torch.set_grad_enabled.html
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(_checked(mode))
        self._thread, self._before = threading.get_ident(), grad_mode.enabled
        self._is_new = True  # the mode to return to is still that from before the constructor
        grad_mode.enabled = mode

    def __enter__(self) -> None:
        is_first = self._is_new and self._thread == threading.get_ident()
        self._is_new = self._is_new and not is_first
        self._set(self._before if is_first else grad_mode.enabled)

    def __call__(self, function: _Function) -> _Function:
        if self._is_new and self._thread == threading.get_ident():
            grad_mode.enabled = self._before
            self._is_new = False
        return super().__call__(function)


class inference_mode(_Switch):
    """``no_grad``; with ``mode=False`` it is ``enable_grad``, as in torch.

    torch saves a little more under it, by forbidding that its tensors ever enter a graph. There
    is nothing to save here, so they may.

    Args:
        mode: False enables gradients inside; a function is decorated.

    Raises:
        TypeError: if mode is neither, or for what ``no_grad`` can't decorate.

    Source: https://pytorch.org/docs/stable/generated/torch.autograd.grad_mode.inference_mode.html
    """

    @overload
    def __new__(cls, mode: bool = True) -> Self: ...
    @overload
    def __new__(cls, mode: Callable[..., Any]) -> Any: ...
    def __new__(cls, mode: bool | Callable[..., Any] = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(not _checked(mode))

    def __repr__(self) -> str:
        return f"inference_mode(mode={not self.mode})"


# bits of a function's code, as inspect has them; importing that would take a tenth of the import
_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200


def _is_made_with(function: Any, bits: int) -> bool:
    """Whether calling the function makes a generator, or a coroutine; also behind ``partial``."""
    while isinstance(function, functools.partial):
        function = function.func
    return bool(getattr(getattr(function, "__code__", None), "co_flags", 0) & bits)


def _checked(mode: bool) -> bool:
    if not isinstance(mode, bool):
        raise TypeError(f"mode must be True or False, got {mode!r}")
    return mode


def _decorated(function: Any, mode: bool, name: str) -> Any:
    """``function`` run with ``mode``; a generator whenever it is resumed."""
    if isinstance(function, type):
        raise TypeError(
            f"{name} decorates functions, got the class {function.__name__}: decorate its methods"
        )
    if _is_made_with(function, _COROUTINE | _ASYNC_GENERATOR):
        raise TypeError(
            f"{name} can't decorate {function.__qualname__}, which is async: other tasks would "
            f"run in its mode; use 'with {name}(...)' between two awaits"
        )
    if not callable(function):
        raise TypeError(f"{name} decorates functions, got {function!r}")

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return _run(mode, function, *args, **kwargs)

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        # `yield from`, but with the mode set around each resume
        resume: Callable[..., Any] = generator.send
        given: Any = None
        while True:
            try:
                value = _run(mode, resume, given)
            except StopIteration as stop:
                return stop.value
            try:
                resume, given = generator.send, (yield value)
            except GeneratorExit:
                _run(mode, generator.close)
                raise
            except BaseException as error:
                resume, given = generator.throw, error

    return generate if _is_made_with(function, _GENERATOR) else call


def _run(mode: bool, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    previous = grad_mode.enabled
    grad_mode.enabled = mode
    try:
        return function(*args, **kwargs)
    finally:
        grad_mode.enabled = previous
