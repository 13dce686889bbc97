"""What went wrong, in one line."""

import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from experiments.launch import LAUNCH


class Lost(Exception):
    """Another process has died, or has not been heard of for too long.

    Args:
        message: which of the two.
        others: processes of this machine that may be standing still, to be ended.
    """

    def __init__(self, message: str, others: Sequence[int] = ()) -> None:
        super().__init__(message)
        self._others = others

    def end_others(self) -> None:
        """End them, whatever they do: their launcher would give them half a minute."""
        for process in self._others:
            with contextlib.suppress(OSError):
                os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has one kind


class UserError(Exception):
    """Printed without a traceback; the program exits with 2."""


class Damaged(UserError):
    """A file is not as it was written."""


class NotFinite(Exception):
    """The loss, a gradient or a weight became infinite or NaN."""


def need(package: str, module: str, purpose: str) -> None:
    """Import ``module`` now, so that what is missing is named before hours of work, not after.

    Raises:
        UserError: if it can't be imported.
    """
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{purpose} needs {package} ({said}): pip install -r requirements.txt"
        ) from None


def out_of_memory(error: BaseException) -> bool:
    """Whether NumPy or PyTorch says so; PyTorch has no type of its own for it on the CPU."""
    return isinstance(error, MemoryError) or "allocate" in str(error)


def tell(line: str) -> None:
    """A line on stderr; nothing if nobody reads it.

    What befalls several processes one of them says: the first, whose end then ends the others.
    """
    if LAUNCH.rank:
        time.sleep(1 + 0.2 * LAUNCH.rank)
        line = f"process {LAUNCH.rank} of {LAUNCH.size}: {line}"
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        silence(sys.stderr)


def silence(stream: Any) -> None:
    """Send what ``stream`` still holds nowhere: its reader is gone, or its disk is full.

    Without it Python tries once more at its end, and prints a traceback.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
