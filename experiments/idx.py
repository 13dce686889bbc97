"""IDX files, MNIST's format: found where people keep them, read without believing what they say."""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.errors import UserError
from experiments.files import check_regular

Array = np.ndarray
# name and dimensions
FILES = {
    "train_images": ("train-images-idx3-ubyte", 3),
    "train_labels": ("train-labels-idx1-ubyte", 1),
    "test_images": ("t10k-images-idx3-ubyte", 3),
    "test_labels": ("t10k-labels-idx1-ubyte", 1),
}
LONGEST = 16 + 60_000 * 28 * 28  # bytes of MNIST's largest file
LONGEST_OTHER = 2**30  # EMNIST's largest has half of it
_DEFLATE = 1032  # bytes that a compressed byte can become at most


class Part(NamedTuple):
    """One of a data set's four arrays, what to call it, and the MD5s that may make it known.

    ``digests`` are those of the IDX content and, of a compressed file, of the file itself.
    """

    array: Array
    path: Path | str
    digests: frozenset[str]


def find(folder: Path, name: str) -> Path | None:
    """Where ``folder`` has the file ``name``, also as Kaggle packs it: in a folder of that name.

    The compressed one first: by that most data sets' checksums are published.
    """
    spellings = (name, name.replace("-idx", ".idx"))
    files = [f"{spelling}.gz" for spelling in spellings] + list(spellings)
    for place in (folder, *(folder / spelling for spelling in spellings)):
        if found := next((place / file for file in files if (place / file).is_file()), None):
            return found
    return next((folder / file for file in files if (folder / file).exists()), None)


def holds_any(folder: Path) -> bool:
    """Whether one of the four files is there at least."""
    return any(find(folder, name) for name, _ in FILES.values())


def read_folder(folder: Path, longest: int) -> dict[str, Part]:
    """The four files of a folder; EMNIST's names too, ``emnist-letters-train-images-idx3-ubyte``.

    Raises:
        UserError: naming the first that is missing or damaged.
    """
    prefix, where = "", folder
    if not holds_any(folder):
        prefix, where = _prefix(folder)
    parts = {}
    for key, (name, ndim) in FILES.items():
        name = prefix + name.replace("t10k", "test") if prefix else name
        path = find(where, name)
        if path is None:
            raise UserError(f"{where / name}: no such file (nor {name}.gz)")
        array, digests = read(path, ndim, longest)
        parts[key] = Part(array, path, digests)
    return parts


def _prefix(folder: Path) -> tuple[str, Path]:
    """What stands before the files' names, "emnist-letters-", and their folder."""
    end = FILES["train_images"][0]
    within, wanted = (folder, "") if folder.is_dir() else (folder.parent, folder.name + "-")
    found = {path.name.split(end)[0] for path in within.glob(f"{wanted}*{end}*")} - {""}
    if wanted in found:
        found = {wanted}
    if not found and not folder.is_dir():
        raise UserError(f"{folder}: no such folder (four IDX files were expected in it)")
    if len(found) > 1:
        each = " or ".join(str(within / prefix.rstrip("-")) for prefix in sorted(found))
        raise UserError(f"{folder}: holds several data sets: take --data {each}")
    return (found.pop() if found else ""), within


def read(path: Path, ndim: int, longest: int) -> tuple[Array, frozenset[str]]:
    """The array of an IDX file, plain or gzip, and its digests.

    Never more than the header promises and one byte is unpacked.

    Raises:
        UserError: if it is none, damaged, or longer than ``longest`` bytes.
    """
    check_regular(path, "an IDX file")
    packed = path.suffix == ".gz"
    try:
        size = path.stat().st_size
        with gzip.open(path) if packed else path.open("rb") as file:
            header = file.read(4 + 4 * ndim)
            sizes = _sizes(path, header, ndim, longest)
            wanted = math.prod(sizes)
            if wanted > size * (_DEFLATE if packed else 1) + 1000:
                raise UserError(f"{path}: truncated ({size:,} bytes can't hold {wanted:,})")
            body = file.read(wanted + 1)
    except EOFError:
        raise UserError(f"{path}: truncated (the gzip stream has no end)") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{path}: no sound gzip file ({error})") from None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror})") from None
    if len(body) != wanted:
        found = len(header) + len(body)
        said = f"truncated ({found:,} bytes" if len(body) < wanted else "too long (more"
        raise UserError(f"{path}: {said}, expected {len(header) + wanted:,})")
    digests = {_md5(header, body)}
    if packed:
        with path.open("rb") as file:
            digests.add(hashlib.file_digest(file, _new_md5).hexdigest())
    return np.frombuffer(body, np.uint8).reshape(sizes), frozenset(digests)


def digests_of(array: Array) -> frozenset[str]:
    """The digest that ``array`` would have as an IDX file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return frozenset([_md5(header, np.ascontiguousarray(array, np.uint8).tobytes())])


def _new_md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


def _md5(*contents: bytes) -> str:
    digest = _new_md5()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def _sizes(path: Path, header: bytes, ndim: int, longest: int) -> tuple[int, ...]:
    """The dimensions that an IDX header names."""
    magic = bytes([0, 0, 8, ndim])
    if not header:
        raise UserError(f"{path}: empty")
    if len(header) < 4 + 4 * ndim or header[:4] != magic:
        other = {b"\0\0\x08\1": "labels", b"\0\0\x08\3": "images"}.get(header[:4])
        hint = f": it holds {other}; are files swapped?" if other else ""
        raise UserError(
            f"{path}: not an IDX file of bytes with {ndim} dimensions "
            f"(starts with {header[:4].hex()}, expected {magic.hex()}){hint}"
        )
    sizes = struct.unpack(f">{ndim}I", header[4:])
    promised = len(header) + math.prod(sizes)
    if promised > longest:
        most = f"MNIST's have at most {longest:,}; larger data of your own needs --no-checksum"
        if longest > LONGEST:
            most = f"at most {longest:,} are read"
        raise UserError(f"{path}: too long ({promised:,} bytes, {most})")
    return sizes
