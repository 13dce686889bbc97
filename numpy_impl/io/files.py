"""``load`` and ``save``: which of the formats it is."""

import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

from numpy_impl.io import arrays, torch_reading, torch_writing
from numpy_impl.io.errors import FileError, reading

File = str | os.PathLike[str] | BinaryIO


def save(obj: Any, f: File) -> None:
    """Write ``obj`` to a file, in the format that its suffix names.

    ``.npz`` and ``.safetensors`` hold arrays by name, so a state dict of a module. Every other name
    (``.pt``, ``.pth``), and a file object, gets PyTorch's format, which holds any nest of dicts,
    lists, tuples, sets, numbers, strings, arrays, Tensors and Parameters, an optimizer's state dict
    too; ``torch.load`` opens it, also with ``weights_only=True``.

    Arrays that share memory share it in the file. NumPy's numbers become 0-d tensors.

    Args:
        obj: what to keep.
        f: a path, or a binary file to write to.

    Raises:
        TypeError: for an object that such a file can't hold; nothing is written then.

    Source: https://pytorch.org/docs/stable/generated/torch.save.html
    """
    if not isinstance(f, str | os.PathLike):
        torch_writing.write(obj, f)
        return
    path = Path(f)
    if path.suffix == ".npz":
        arrays.write_npz(obj, path)
    elif path.suffix == ".safetensors":
        arrays.write_safetensors(obj, path)
    else:
        torch_writing.write(obj, path)


def load(
    f: File,
    map_location: Any = None,
    pickle_module: None = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
) -> Any:
    """Read what :func:`save`, ``torch.save``, safetensors or ``np.savez`` wrote.

    The contents tell the format, whatever the name. Tensors come as NumPy arrays, as in a
    ``state_dict()``; Parameters as Parameters, and tensors that require grad as Tensors. bfloat16
    is read as float32. Tensors that shared memory share it.

    Nothing that a file says is ever run: of PyTorch's, tensors, containers and numbers are read,
    and a file that asks for more is refused. The memory that is taken stays within a constant times
    the file's size, whatever it says.

    Args:
        f: a path, or a binary file that can seek.
        map_location: None or "cpu"; a GPU's tensors are read as well.
        pickle_module: must be None: pickles are read here.
        weights_only: accepted; it is never otherwise.
        mmap: accepted, without effect.

    Raises:
        FileError: if the file is damaged, of no known format, or asks for anything but data.

    Source: https://pytorch.org/docs/stable/generated/torch.load.html
    """
    if map_location is not None and str(map_location) not in ("cpu", "cpu:0"):
        raise ValueError(f"map_location must be None or 'cpu', got {map_location!r}")
    if pickle_module is not None:
        raise ValueError(f"pickle_module must be None, got {pickle_module!r}")
    if isinstance(f, str | os.PathLike):
        with open(f, "rb") as file, reading(str(f)):
            return _load(file)
    with reading(str(getattr(f, "name", "file"))):
        return _load(f)


def _load(file: BinaryIO) -> Any:
    start = file.tell()
    head = file.read(32)
    file.seek(start)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        with zipfile.ZipFile(file) as archive:
            if any(info.header_offset < 0 for info in archive.infolist()):  # an OSError on a disk
                raise FileError("damaged (it points before its start)")
            is_npz = all(name.endswith(".npy") for name in archive.namelist())
            return (arrays.read_npz if is_npz else torch_reading.read_zip)(file, archive)
    if torch_reading.LEGACY_MAGIC in head:
        return torch_reading.read_legacy(file)
    if head[8:9] == b"{":
        return arrays.read_safetensors(file)
    raise FileError("empty" if not head else "neither PyTorch's, safetensors nor NumPy's .npz")
