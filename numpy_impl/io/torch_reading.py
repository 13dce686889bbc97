"""PyTorch's own files, read without PyTorch: the zip archives, and the form before version 1.6."""

import io
import os
import re
import zipfile
from typing import Any, BinaryIO

from numpy_impl.io.errors import FileError, shown
from numpy_impl.io.torch_names import NAMES, Storage, StorageType, counts, take_state
from numpy_impl.io.unpickling import unpickle

# the pickle of a number that begins each file of the older form, in protocol 2 and later ones
LEGACY_MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
_LEGACY_PROTOCOL = 1001


class _Storages:
    """The storages of a file, each made when a tensor first names it.

    Args:
        limit: how many bytes they may have together: no more than the file.
    """

    def __init__(self, limit: int) -> None:
        self.left = limit
        self.known: dict[str, Storage] = {}

    def __call__(self, persistent_id: Any) -> Storage:
        if type(persistent_id) is not tuple or len(persistent_id) not in (5, 6):
            raise FileError(f"refers to {shown(persistent_id)}, which is no storage: refused")
        tag, kind, key, _, numel, *view = persistent_id
        if tag != "storage" or not isinstance(kind, StorageType) or type(key) is not str:
            raise FileError(f"refers to {shown(persistent_id)}, which is no storage: refused")
        counts((numel,), "a storage's size")
        if view and view[0] is not None:
            raise FileError("has storages inside others, as only PyTorch before 0.4 wrote them")
        if key in self.known:
            storage = self.known[key]
            if storage.kind.dtype != kind.dtype or len(storage.array) != numel:
                raise FileError(f"damaged (storage {shown(key)} is of two kinds)")
            return storage
        self.left -= numel * kind.dtype.itemsize
        if self.left < 0:
            raise FileError(f"damaged (storage {shown(key)} is said to be larger than the file)")
        self.known[key] = storage = Storage(kind, numel)
        self.read(key, storage)
        return storage

    def read(self, key: str, storage: Storage) -> None:
        """Fill it, if the file has its values already."""


class _ZipStorages(_Storages):
    def __init__(self, limit: int, records: "_Records") -> None:
        super().__init__(limit)
        self.records = records
        order = records.read("byteorder") if records.has("byteorder") else b"little"
        if order not in (b"little", b"big"):
            raise FileError(f"damaged (byteorder must be little or big, got {shown(order)})")
        self.is_little_endian = order == b"little"

    def read(self, key: str, storage: Storage) -> None:
        data = self.records.read(f"data/{key}", storage.nbytes)
        storage.fill(data, self.is_little_endian)


class _Records:
    """The records of a zip file below its one folder, as torch writes them: not compressed."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.zip, self.size = archive, size
        pickles = [n for n in self.zip.namelist() if re.fullmatch(r"[^/]+/data\.pkl", n)]
        if len(pickles) != 1:
            raise FileError("a zip archive, but no file of torch.save: it has no data.pkl")
        self.folder = pickles[0].removesuffix("data.pkl")
        if self.has("constants.pkl"):
            raise FileError("a TorchScript program, which only PyTorch can run: save a state_dict")

    def has(self, name: str) -> bool:
        return self.folder + name in self.zip.NameToInfo

    def read(self, name: str, size: int | None = None) -> bytes:
        """A record, of that size; a size that the file can't hold is not even tried."""
        if not self.has(name):
            raise FileError(f"damaged (it has no {name})")
        info = self.zip.getinfo(self.folder + name)
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise FileError(f"{name} is compressed, which torch.save never does: refused")
        if info.file_size > self.size or (size is not None and info.file_size != size):
            raise FileError(f"damaged ({name} is said to have {info.file_size} bytes)")
        if info.CRC == 0:
            info.CRC = None  # type: ignore[assignment]  # torch.save can be told to compute none
        data = self.zip.read(info)
        if len(data) != info.file_size:
            raise FileError(f"damaged ({name} is cut off)")
        return data


def read_zip(file: BinaryIO, archive: zipfile.ZipFile) -> Any:
    """What ``torch.save`` wrote since 1.6."""
    size = file.seek(0, os.SEEK_END)
    records = _Records(archive, size)
    storages = _ZipStorages(size, records)
    return unpickle(io.BytesIO(records.read("data.pkl")), NAMES, storages, take_state)


def read_legacy(file: BinaryIO) -> Any:
    """What ``torch.save`` wrote before: five pickles, and then the storages' bytes."""
    data = file.read()
    stream = io.BytesIO(data)

    def plain() -> Any:
        return unpickle(stream, {}, None, take_state)

    plain()  # the magic number
    if (protocol := plain()) != _LEGACY_PROTOCOL:
        raise FileError(f"of protocol {shown(protocol)}, only {_LEGACY_PROTOCOL} is known")
    info = plain()
    is_little_endian = not isinstance(info, dict) or info.get("little_endian") is not False
    storages = _Storages(len(data))
    start = stream.tell()
    unpickle(stream, NAMES, storages, take_state)  # says which storages there are, of what size
    keys = plain()
    if type(keys) is not list or any(type(key) is not str for key in keys):
        raise FileError("damaged (its list of storages is none)")
    if len(keys) != len(storages.known) or set(keys) != storages.known.keys():
        raise FileError("damaged (its list of storages is another than its tensors name)")
    for key in keys:
        storage = storages.known[key]
        numel, values = stream.read(8), stream.read(storage.nbytes)
        wanted = len(storage.array).to_bytes(8, "little" if is_little_endian else "big")
        if numel != wanted or len(values) != storage.nbytes:
            raise FileError(f"damaged (storage {shown(key)} is cut off)")
        storage.fill(values, is_little_endian)
    stream.seek(start)
    return unpickle(stream, NAMES, storages, take_state)
