"""Files of arrays and of nested state, as safetensors; written whole or not at all."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import Damaged, UserError
from experiments.files import check_regular, parsed, write_atomically

Array = np.ndarray
_ARRAY = "__array__"  # marks, in the JSON part, where an array of the other part belongs


def save_arrays(
    path: Path,
    arrays: Mapping[str, Array],
    metadata: Mapping[str, Any],
    before: Path | None = None,
) -> None:
    """Arrays by name, and metadata as JSON under one key (safetensors knows strings only).

    Args:
        path: the file.
        arrays: float or int arrays.
        metadata: plain values.
        before: the name under which an older file is kept.
    """
    from safetensors.numpy import save

    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps({**metadata, "checksum": _checksum(plain, metadata)})
    write_atomically(path, save(plain, {"json": text}), before)


def load_arrays(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """What :func:`save_arrays` wrote; a file from elsewhere has empty metadata.

    Raises:
        UserError: if the file is missing; Damaged if it is not whole, or not as it was written.
    """
    arrays, metadata, _ = _load(path)
    return arrays, metadata


def _load(path: Path) -> tuple[dict[str, Array], dict[str, Any], bool]:
    """Arrays and metadata, and whether a checksum vouches for them."""
    from safetensors import SafetensorError, safe_open

    check_regular(path, "weights as safetensors")
    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get("json", "{}")
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
    except OSError as error:  # of the system, which says nothing of the file's contents
        raise UserError(f"{path}: can't be read ({error.strerror or error})") from None
    except (SafetensorError, ValueError, TypeError) as error:
        raise Damaged(
            f"{path}: not a whole safetensors file of float or int arrays ({error})"
        ) from None
    try:
        metadata = parsed(text)
    except ValueError as error:
        raise Damaged(f"{path}: its metadata are not valid JSON ({error})") from None
    if not isinstance(metadata, dict):
        raise Damaged(f"{path}: its metadata must be a JSON object, got {text[:60]}")
    written = metadata.pop("checksum", None)
    if written is not None and written != _checksum(arrays, metadata):
        raise Damaged(f"{path}: damaged (its contents do not have the checksum that it records)")
    return arrays, metadata, written is not None


def save_state(
    path: Path, state: Any, run: Mapping[str, Any] | None = None, before: Path | None = None
) -> None:
    """Any nesting of dicts, lists, numbers, strings and arrays.

    Args:
        path: the file.
        state: what to keep.
        run: plain values that say which run it belongs to.
        before: the name under which an older file is kept.
    """
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
    save_arrays(path, arrays, {"state": tree, "run": dict(run or {})}, before)


def load_state(path: Path, run: Mapping[str, Any] | None = None) -> Any:
    """What :func:`save_state` wrote.

    Args:
        path: the file.
        run: what ``save_state`` must have been given; None takes the state of any run.

    Raises:
        UserError: if the file is missing, not one of those, or of another run; Damaged if it is
            not as it was written.
    """
    arrays, metadata, vouched = _load(path)

    def nested(value: Any) -> Any:
        if isinstance(value, dict) and _ARRAY in value:
            return arrays[value[_ARRAY]]
        if isinstance(value, dict):
            return {key: nested(item) for key, item in value["items"]}
        if isinstance(value, list):
            return [nested(item) for item in value]
        return value

    if not vouched:
        raise Damaged(f"{path}: damaged (it records no checksum)")
    if "state" not in metadata:
        raise UserError(f"{path}: holds weights, not a training state")
    if run is not None:
        _check_run(path, metadata.get("run"), run)
    try:
        return nested(metadata["state"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: not a training state as train.py writes it") from None


def _check_run(path: Path, found: Any, wanted: Mapping[str, Any]) -> None:
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path}: does not say which run it is of (an older version wrote it?)")
    for key in sorted(wanted.keys() | found.keys()):
        if found.get(key) != wanted.get(key):
            raise UserError(
                f"{path}: is of another run: its {key} is {found.get(key)!r}, "
                f"this run's is {wanted.get(key)!r}"
            )


def _checksum(arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> str:
    """Of everything in a file: safetensors itself would not notice a changed bit."""
    digest = hashlib.blake2b(json.dumps(metadata).encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()
