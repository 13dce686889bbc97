"""Files of named arrays: NumPy's ``.npz``, and safetensors."""

import importlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np

from numpy_impl.io.errors import FileError
from numpy_impl.io.torch_names import widened
from numpy_impl.tensor.tensor import to_array
from numpy_impl.types import Array

# the dtypes of safetensors that NumPy has
# fmt: off
_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "C64": "<c8", "BOOL": "?",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}
# fmt: on
_DEFLATE = 1032  # how many bytes one compressed byte can become at most
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def _named(obj: Any, suffix: str) -> dict[str, Array]:
    """The arrays by name that such a file holds, or a TypeError."""
    if not isinstance(obj, Mapping):
        raise TypeError(f"a {suffix} file holds a dict of arrays, got a {type(obj).__name__}")
    found = {}
    for name, value in obj.items():
        array = getattr(value, "data", value) if hasattr(value, "requires_grad") else value
        if not isinstance(name, str) or not isinstance(array, np.ndarray | np.generic):
            raise TypeError(
                f"a {suffix} file holds arrays by name, got a {type(value).__name__} at {name!r}: "
                "save as .pt"
            )
        if array.dtype.kind not in "biufc":
            raise TypeError(f"a {suffix} file holds numbers, got {array.dtype} at {name!r}")
        found[name] = np.array(to_array(array), order="C")
    return found


def write_npz(obj: Any, path: Path) -> None:
    """Arrays by name, not compressed."""
    arrays = _named(obj, ".npz")
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def read_npz(file: BinaryIO, archive: zipfile.ZipFile) -> dict[str, Array]:
    """What ``np.savez`` and ``np.savez_compressed`` write, but no objects."""
    size = file.seek(0, os.SEEK_END)
    left = _DEFLATE * size
    for info in archive.infolist():  # before any is unpacked
        left -= info.file_size
        packed = info.compress_size
        if left < 0 or packed > size or info.file_size > _DEFLATE * packed:
            raise FileError(f"damaged ({info.filename} is said to have {info.file_size} bytes)")
        if info.compress_type not in _PACKED:  # the others unpack more than they say they have
            raise FileError(f"{info.filename} is compressed as np.savez never does: refused")
    return {
        info.filename.removesuffix(".npy"): _npy(archive.read(info), info.filename)
        for info in archive.infolist()
    }


def _npy(data: bytes, name: str) -> Array:
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    try:
        shape, is_fortran, dtype = read(stream)
    except (MemoryError, SyntaxError, TokenError):  # Python's parser has these for nonsense
        raise FileError(f"damaged ({name} has no header of NumPy's)") from None
    if dtype.kind not in "biufc":
        raise FileError(f"{name} has elements of {dtype}: only numbers and bools are read")
    values = np.frombuffer(data, dtype, offset=stream.tell())
    return values.reshape(shape, order="F" if is_fortran else "C").copy(order="K")


def write_safetensors(obj: Any, path: Path) -> None:
    """Arrays by name, through the library of that name."""
    arrays = _named(obj, ".safetensors")
    library = _library()
    path.write_bytes(library.numpy.save(arrays))


def read_safetensors(file: BinaryIO) -> dict[str, Array]:
    """What the library of that name wrote; bfloat16 as float32."""
    library = _library()
    found = {}
    try:
        records = library.deserialize(file.read())
    except library.SafetensorError as error:
        raise FileError(f"no whole safetensors file ({error})") from None
    for name, record in records:
        code = record["dtype"]
        if code not in _SAFETENSORS:
            raise FileError(f"{name} has elements of {code}, which NumPy does not know")
        values = np.frombuffer(record["data"], _SAFETENSORS[code])
        values = (
            widened(values) if code == "BF16" else values.astype(values.dtype.newbyteorder("="))
        )
        found[name] = values.reshape(record["shape"])
    return found


def _library() -> Any:
    try:
        # the one library beside NumPy: needed for such files alone
        importlib.import_module("safetensors.numpy")
        return importlib.import_module("safetensors")
    except ImportError:
        raise ImportError(
            "files of safetensors need its library: pip install safetensors"
        ) from None
