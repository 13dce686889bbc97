"""What a reader must not do: take too long, or too much memory, or run code that a file names."""

import codecs
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DEADLINE = 2  # seconds of computing for one file
WAITING = 30  # seconds in all: other programs may take the processor
MEMORY = 2**26  # bytes beyond those that are taken already; the files have some thousands


class Forbidden(BaseException):
    """No Exception: a reader that handles those would hide it."""


# audit events by which code runs, or leaves a trace; "open" and "compile" are looked at closer
_EVENTS = (
    *("exec", "import", "marshal.loads", "pickle.find_class", "code.__new__", "function.__new__"),
    *("cpython.run_command", "cpython.run_file", "builtins.input", "webbrowser.open"),
)
_MODULES = (
    "os",
    "subprocess",
    "shutil",
    "socket",
    "ctypes",
    "tempfile",
    "urllib",
    "pty",
    "sqlite3",
)
_HARMLESS = ("os.listdir", "os.scandir", "os.fwalk", "os.walk")
_folder: str | None = None  # while a file in it is read


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _folder is None:
        return
    if event == "open":
        path, _, flags = args
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        if writes or not str(path).startswith(_folder):
            raise Forbidden(f"opens {path!r}, flags {flags}")
    elif event == "compile":
        if args[1] != "<unknown>":  # ast.literal_eval makes a tree, which does not run
            raise Forbidden(f"compiles {args[0]!r:.100}")
    elif event in _EVENTS or (event.partition(".")[0] in _MODULES and event not in _HARMLESS):
        raise Forbidden(f"{event} {args!r:.200}")


def _late(*_: Any) -> None:
    raise Forbidden("takes too long")


def _taken() -> int:
    """Bytes of this process's address space."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


_installed = False
codecs.lookup("raw_unicode_escape")  # imports a module when a pickle first has such a text


@contextlib.contextmanager
def watching(folder: Path) -> Iterator[None]:
    """Nothing but reading of ``folder``'s files, in bounded time and memory: else Forbidden.

    Of memory only Linux keeps account: elsewhere it has no bound.
    """
    global _folder, _installed
    if not _installed:  # for good: Python has no way to take one away
        sys.addaudithook(_audit)
        _installed = True
    limits = resource.getrlimit(resource.RLIMIT_AS)
    handlers = {which: signal.signal(which, _late) for which in (signal.SIGPROF, signal.SIGALRM)}
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (_taken() + MEMORY, limits[1]))
    _folder = str(folder)
    signal.setitimer(signal.ITIMER_PROF, DEADLINE)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _folder = None
        resource.setrlimit(resource.RLIMIT_AS, limits)
        for which, handler in handlers.items():
            signal.signal(which, handler)
