"""What goes wrong inside people's code, with its place there."""

import contextlib
import io
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np


class CannotDrive(Exception):
    """The code was not recognised, or does not run.

    Attributes:
        file, line, source: the place in people's code; "" and 0 if it never ran.
        reason: the text of their exception, or why no way of driving fits.
    """

    def __init__(self, reason: str, file: str = "", line: int = 0, source: str = "") -> None:
        super().__init__(f"{file}:{line}: {reason}" if file else reason)
        self.reason, self.file, self.line, self.source = reason, file, line, source


class Failed(CannotDrive):
    """People's code raised."""


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """People's code runs inside: silent, no NumPy warnings; what it raises becomes Failed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            yield
    except CannotDrive:
        raise
    except Exception as problem:
        own = __file__.rsplit("/", 1)[0]
        frames = traceback.extract_tb(problem.__traceback__)
        theirs = [
            f
            for f in frames
            if not f.filename.startswith(own) and "/site-packages/" not in f.filename
        ]
        reason = f"{type(problem).__name__}: {problem}"
        if not theirs:
            raise Failed(reason) from problem
        last = theirs[-1]
        raise Failed(reason, last.filename, last.lineno or 0, last.line or "") from problem


def array(value: Any) -> np.ndarray | None:
    """A result as an array; None if it is none."""
    for name in ("data", "value"):
        held = getattr(value, name, None)
        if not isinstance(value, np.ndarray) and isinstance(held, np.ndarray):
            value = held
    if isinstance(value, np.ndarray | float | int | np.generic):
        made = np.asarray(value)
        return made if made.dtype.kind in "fiub" else None
    return None
