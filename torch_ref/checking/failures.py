"""What goes wrong inside people's code, with its place there."""

import contextlib
import io
import sysconfig
import textwrap
import traceback
from collections.abc import Iterator
from pathlib import Path
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

    @property
    def may_be_misled(self) -> bool:
        """Whether another way of calling it could help: not what is unwritten or not there."""
        return self.reason.split(":")[0] not in _THEIRS


_THEIRS = (
    "NotImplementedError", "NameError", "ImportError", "ModuleNotFoundError", "SyntaxError",
    "MemoryError", "RecursionError", "SystemExit",
)  # fmt: skip
_PACKAGE = str(Path(__file__).parent)
_LIBRARIES = tuple(sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib"))


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """People's code runs inside: silent, no NumPy warnings; what it raises becomes Failed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            yield
    except CannotDrive:
        raise
    except (Exception, SystemExit) as problem:
        raise failed(problem) from problem


def failed(problem: BaseException) -> Failed:
    """An exception of people's code as a sentence, with the last line that is theirs."""
    reason = textwrap.shorten(f"{type(problem).__name__}: {problem}".removesuffix(": "), 300)
    if isinstance(problem, MemoryError):
        reason = f"MemoryError: it needs more memory than it may have. {problem}".strip()
    elif isinstance(problem, SystemExit):
        reason = "SystemExit: it ends the program."
    elif isinstance(problem, EOFError):
        reason = "EOFError: it asks for input from the keyboard; a check has none."
    elif isinstance(problem, SyntaxError):
        place = (problem.filename or "", problem.lineno or 0, (problem.text or "").strip())
        return Failed(f"{type(problem).__name__}: {problem.msg}", *place)
    elif isinstance(problem, RecursionError):
        reason = "RecursionError: it calls itself without end."
    frames = [
        f
        for f in traceback.extract_tb(problem.__traceback__)
        if not f.filename.startswith((_PACKAGE, "<frozen", "<__array_function__"))
        and not f.filename.startswith(_LIBRARIES)
    ]
    if not frames:
        return Failed(reason)
    last = frames[-1]
    return Failed(reason, last.filename, last.lineno or 0, last.line or "")


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
