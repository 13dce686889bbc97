"""Files that are written whole or not at all, and read only if they are files."""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.errors import UserError

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path`` and rename: whoever reads sees the old file or the new one.

    Raises:
        OSError: with ``path`` as its filename; the old file is still whole.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


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


def read_json(path: Path, expected: str) -> Any:
    """A JSON file.

    Raises:
        UserError: if it is missing or broken; ``expected`` says what should be there.
    """
    check_regular(path, expected)
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
