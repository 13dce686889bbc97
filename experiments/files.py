"""Files that are written whole or not at all, and read only if they are files."""

import contextlib
import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.errors import UserError

_NO_SYNC_HERE = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # some network file systems
_DEEPEST = 100  # of JSON: what is in our files takes a dozen
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def write_atomically(path: Path, content: bytes, before: Path | None = None) -> None:
    """Write beside ``path`` and rename: whoever reads sees the old file or the new one.

    Args:
        path: the file.
        content: what it is to hold.
        before: the old file's new name; None drops it. For a moment there is no ``path``.

    Raises:
        OSError: with ``path`` as its filename; the old file is still whole, or the new one is.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            rest = memoryview(content)
            while rest:  # a write may take less than it is given
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.chmod(temporary, 0o644)
        if before is not None and path.exists():
            os.replace(path, before)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _sync_folder(folder: Path) -> None:
    """A new name survives a power cut only once its folder is on the disk, too."""
    if os.name == "nt":  # opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_SYNC_HERE:
            raise
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, names: Iterable[str]) -> None:
    """Delete what a killed :func:`write_atomically` left of the files ``names``."""
    for name in names:
        for leftover in folder.glob(f".{name}.*"):
            with contextlib.suppress(OSError):
                leftover.unlink()


def check_regular(path: Path, expected: str) -> None:
    """Refuse what is no file: opening a named pipe would wait for ever.

    Raises:
        UserError: if it is missing or no regular file; ``expected`` says what should be there.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such file ({expected} was expected)") from None
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: can't be read ({said})") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise UserError(f"{path}: can't be read (it is {kind}, {expected} was expected)")


def parsed(text: str) -> Any:
    """What a text says in JSON.

    Raises:
        ValueError: if it is broken, or nested so deeply that even to show it may take too much.
    """
    try:
        tree = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    holders = [tree] if isinstance(tree, dict | list) else []
    for _ in range(_DEEPEST):
        values = [v.values() if isinstance(v, dict) else v for v in holders]
        holders = [v for each in values for v in each if isinstance(v, dict | list)]
    if holders:
        raise ValueError("it is nested too deeply")
    return tree


def read_json(path: Path, expected: str) -> Any:
    """A JSON file.

    Raises:
        UserError: if it is missing or broken; ``expected`` says what should be there.
    """
    check_regular(path, expected)
    try:
        return parsed(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
