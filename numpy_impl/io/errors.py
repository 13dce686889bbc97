"""What is raised for a file that can't be, or must not be, read."""

import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class FileError(pickle.UnpicklingError, RuntimeError):
    """A file of weights that is damaged, of no known format, or that asks for code to be run.

    torch raises either of the two bases, so that who handles those handles this, too.
    """


# what Python's own readers, and NumPy, raise about bytes that are not as they should be
_DAMAGE = (
    *(ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError),
    *(struct.error, zipfile.BadZipFile, zlib.error),
)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Make a FileError, which begins with the file's name, of everything that damage leads to."""
    try:
        yield
    except FileError as error:
        raise FileError(f"{name}: {error}") from None
    except _DAMAGE as error:
        raise FileError(f"{name}: damaged ({type(error).__name__}: {error})") from error


def shown(value: Any) -> str:
    """A value of a file's, for a message; a nested one by its type: its text might never end."""
    if isinstance(value, str | bytes | int | float) and len(text := f"{value!r}") <= 60:
        return text
    return f"a {type(value).__name__}"
