"""Whether forward keeps what backward needs: the twin of torch's grad mode."""

import threading
from contextlib import ContextDecorator


class _GradMode(threading.local):
    enabled = True


grad_mode = _GradMode()


def is_grad_enabled() -> bool:
    """True unless the calling thread is inside :class:`no_grad`."""
    return grad_mode.enabled


class no_grad(ContextDecorator):
    """Forward passes inside keep nothing for backward; usable as context or decorator.

    Not tied to ``eval()``: torch differentiates through an eval-mode BatchNorm, so do we.
    Per thread, and may be nested. Source: https://pytorch.org/docs/stable/generated/torch.no_grad.html
    """

    def __init__(self) -> None:
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(grad_mode.enabled)
        grad_mode.enabled = False

    def __exit__(self, *exc_info: object) -> None:
        grad_mode.enabled = self._previous.pop()
