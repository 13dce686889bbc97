"""One run a folder at a time."""

import contextlib
import errno
import json
import os
import platform
import time
from pathlib import Path
from typing import Any

from experiments.errors import UserError
from experiments.files import parsed

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_WRITES_ITS_NAME_SECONDS = 0.5
_JUST_STARTED_SECONDS = 10.0  # an empty lock file this old belongs to nobody


class Lock:
    """A folder's lock file, which names its holder.

    The kernel's lock (flock) where there is one: it ends with its process, however that ends.
    Elsewhere the file's mere existence is the lock, and one whose process is dead counts for
    nothing.

    Raises:
        UserError: if another run holds it; says which.
        OSError: if the folder can't be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / NAME
        self._handle: int | None = self._flock() if fcntl is not None else None
        if self._handle is None:
            self._handle = self._create()
        try:
            os.ftruncate(self._handle, 0)
            os.write(self._handle, json.dumps(_me()).encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the folder back; the file goes too."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        with contextlib.suppress(OSError):  # first the file, else it might be another run's by now
            self._path.unlink()
        os.close(handle)

    def _flock(self) -> int | None:
        """The locked file; None where the file system knows no locks."""
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # the holder before us may have deleted the file between these two lines
                if os.path.samestat(os.fstat(handle), os.stat(self._path)):
                    return handle
            except BlockingIOError:
                os.close(handle)
                raise self._held(_read(self._path)) from None
            except FileNotFoundError:
                pass
            except OSError as error:
                os.close(handle)
                if error.errno not in _NO_LOCKS_HERE:
                    raise
                # ours, made just now, or the fallback's: an empty one is nobody's
                if not _read(self._path):
                    self._path.unlink(missing_ok=True)
                return None
            os.close(handle)

    def _create(self) -> int:
        while True:
            try:
                return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                holder = _read(self._path)
                if holder or self._age() < _JUST_STARTED_SECONDS:
                    here = holder.get("host") == platform.node()
                    if not here or _alive(holder.get("pid")):
                        hint = f"; if that run has ended, delete {self._path}"
                        raise self._held(holder, "" if here else hint) from None
                self._path.unlink(missing_ok=True)

    def _age(self) -> float:
        try:
            return time.time() - self._path.stat().st_mtime
        except OSError:
            return 0.0

    def _held(self, holder: dict[str, Any], hint: str = "") -> UserError:
        deadline = time.monotonic() + _WRITES_ITS_NAME_SECONDS
        while not holder and time.monotonic() < deadline:  # it was a moment faster than we
            time.sleep(0.01)
            holder = _read(self._path)
        who = ", ".join(f"{key} {value}" for key, value in holder.items()) or "just started"
        return UserError(f"{self._folder} is in use by another run ({who}){hint}")


def _me() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def _read(path: Path) -> dict[str, Any]:
    """What the holder wrote; empty if it has not yet."""
    try:
        holder = parsed(path.read_text())
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def _alive(pid: Any) -> bool:
    if not isinstance(pid, int) or os.name == "nt":  # there, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
