"""Files of arrays and of nested state, as safetensors; written whole or not at all."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import UserError

Array = np.ndarray
_ARRAY = "__array__"  # marks, in the JSON part, where an array of the other part belongs


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside ``path`` and rename: whoever reads sees the old file or the new one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def save_arrays(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Arrays by name, and metadata as JSON under one key (safetensors knows strings only)."""
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_atomically(path, save(plain, {"json": json.dumps(metadata)}))


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """What :func:`save_arrays` wrote; a file from elsewhere has empty metadata.

    Raises:
        UserError: if the file is missing, or no whole safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise UserError(f"{path}: no such file (weights as safetensors were expected)")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get("json", "{}"))
            return {name: file.get_tensor(name) for name in list(file.keys())}, metadata
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path}: not a whole safetensors file of float or int arrays ({error})"
        ) from None


def save_state(path: Path, state: Any) -> None:
    """Any nesting of dicts, lists, numbers, strings and arrays."""
    arrays: dict[str, Array] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = str(len(arrays))
            arrays[name] = value
            return {_ARRAY: name}
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Mapping):
            # JSON has string keys only; an optimizer's state is keyed by int
            return {"items": [[key, plain(item)] for key, item in value.items()]}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    tree = plain(state)
    save_arrays(path, arrays, {"state": tree})


def load_state(path: Path) -> Any:
    """What :func:`save_state` wrote.

    Raises:
        UserError: if the file is missing or not one of those.
    """
    arrays, metadata = load_arrays(path)

    def nested(value: Any) -> Any:
        if isinstance(value, dict) and _ARRAY in value:
            return arrays[value[_ARRAY]]
        if isinstance(value, dict):
            return {key: nested(item) for key, item in value["items"]}
        if isinstance(value, list):
            return [nested(item) for item in value]
        return value

    if "state" not in metadata:
        raise UserError(f"{path}: holds weights, not a training state")
    return nested(metadata["state"])
