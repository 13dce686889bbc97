"""FILE.py:FUNCTION, the name of a network of the user's own."""

from pathlib import Path

OWN = "FILE.py:FUNCTION"


def is_own(model: str) -> bool:
    """Whether ``model`` names a function in a file."""
    file, _, function = model.rpartition(":")
    return file.endswith(".py") and function.isidentifier()


def file_of(model: str) -> Path:
    """The file of FILE.py:FUNCTION."""
    return Path(model.rpartition(":")[0])


def absolute(model: str) -> str:
    """``model`` as it is found from every folder."""
    return f"{file_of(model).resolve()}:{model.rpartition(':')[2]}" if is_own(model) else model


def short(model: str) -> str:
    """``model`` without its folder, fit for a name."""
    return f"{file_of(model).stem}-{model.rpartition(':')[2]}" if is_own(model) else model
