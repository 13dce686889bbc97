"""PyTorch's files, written without PyTorch: ``torch.load`` opens them, with weights_only, too."""

import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from numpy_impl.io.torch_names import DTYPES
from numpy_impl.nn.parameter import Parameter, is_lazy
from numpy_impl.tensor.creation import device
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.types import Array

_NAMES = {np.dtype(code): name for name, (_, code) in DTYPES.items() if name != "bfloat16"}
_ALIGNMENT = 64  # of each storage in the file, as in torch's: so it can be mapped into memory


class _Pickle:
    """A pickle of protocol 2, in the instructions that ``torch.load(weights_only=True)`` reads.

    ``pickle`` itself could name torch's functions only where torch is installed.

    Attributes:
        parts: bytes, and where a tensor belongs its array.
    """

    def __init__(self) -> None:
        self.parts: list[bytes | Array] = [b"\x80\x02"]
        self._memo: dict[
            int, tuple[int, Any]
        ] = {}  # the objects, too: ids are theirs while they live
        self._tuples: set[int] = set()

    def add(self, value: Any) -> None:
        """The instructions that make a value."""
        if id(value) in self._memo:
            self.parts.append(b"j" + struct.pack("<I", self._memo[id(value)][0]))
        elif value is None:
            self.parts.append(b"N")
        elif isinstance(value, bool):
            self.parts.append(b"\x88" if value else b"\x89")
        elif type(value) is int:
            self.parts.append(_integer(value))
        elif type(value) in (float, np.float64):
            self.parts.append(b"G" + struct.pack(">d", value))
        elif type(value) in (str, np.str_):
            self.parts.append(_string(value))
        elif isinstance(value, Tensor | np.ndarray | np.generic):
            self._add_tensor(value)
        else:
            self._add_other(value)

    def _add_other(self, value: Any) -> None:
        kind = type(value)
        if kind is tuple:
            self._add_tuple(value)
        elif kind is list:
            self._remember(b"]", value)
            self._add_all(value, b"e")
        elif kind is dict:
            self._remember(b"}", value)
            self._add_all(_flat(value), b"u")
        elif kind is OrderedDict:
            self._call("collections", "OrderedDict")
            self._remember(b"", value)
            self._add_all(_flat(value), b"u")
            if hasattr(value, "_metadata"):  # of a state dict of torch's
                self.add({"_metadata": value._metadata})
                self.parts.append(b"b")
        elif kind is Counter:
            self._call("collections", "Counter", dict(value))
        elif kind is set:
            self._call("__builtin__", "set", list(value))
        elif kind is complex:
            self._call("__builtin__", "complex", value.real, value.imag)
        elif kind is bytes:
            self._call("_codecs", "encode", value.decode("latin1"), "latin1")
        elif kind is device:
            self._call("torch", "device", "cpu")
        elif isinstance(value, np.dtype) and value in _NAMES:
            self._name("torch", _NAMES[value])
        else:
            raise TypeError(
                f"obj must be made of arrays, Tensors, numbers, strings, dicts, lists and tuples; "
                f"it has a {kind.__module__}.{kind.__qualname__}"
            )

    def _add_tuple(self, value: tuple[Any, ...]) -> None:
        if id(value) in self._tuples:
            raise ValueError("obj must not have a tuple that contains itself")
        self._tuples.add(id(value))
        self.parts.append(b"(")
        for part in value:
            self.add(part)
        self.parts.append(b"t")
        self._tuples.discard(id(value))
        if value:
            self._remember(b"", value)

    def _add_all(self, values: Iterable[Any], instruction: bytes) -> None:
        self.parts.append(b"(")
        for value in values:
            self.add(value)
        self.parts.append(instruction)

    def _add_tensor(self, value: "Tensor | Array | np.generic") -> None:
        if is_lazy(value):
            raise TypeError("obj has a parameter of a lazy module, which has no values yet")
        if isinstance(value, Parameter):
            self._name("torch._utils", "_rebuild_parameter")
            self.parts.append(b"(")
            self.add(value.data)
            self.add(value.requires_grad)
            self._call("collections", "OrderedDict")
            self.parts.append(b"tR")
        else:
            requires_grad = isinstance(value, Tensor) and value.requires_grad
            array = _native(np.asarray(value.data if isinstance(value, Tensor) else value))
            self.parts += [array, b"\x88" if requires_grad else b"\x89"]
            # the rest of the call, as _tensor_call begins it
            self._call("collections", "OrderedDict")
            if _storage_name(array.dtype)[1]:
                self._name("torch", _NAMES[array.dtype])
            self.parts.append(b"tR")
        self._remember(b"", value)

    def _call(self, module: str, name: str, *args: Any) -> None:
        self._name(module, name)
        self._add_all(args, b"tR")

    def _name(self, module: str, name: str) -> None:
        self.parts.append(f"c{module}\n{name}\n".encode())

    def _remember(self, instruction: bytes, value: Any) -> None:
        index = len(self._memo)
        self._memo[id(value)] = (index, value)
        self.parts.append(instruction + b"r" + struct.pack("<I", index))


def _flat(items: dict[Any, Any]) -> Iterable[Any]:
    return (part for item in items.items() for part in item)


def _integer(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    size = value.bit_length() // 8 + 1
    if size > 255:
        raise ValueError("obj has an integer of more than 255 bytes, which torch can't load")
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def _string(value: str) -> bytes:
    encoded = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _storage_name(dtype: np.dtype[Any]) -> tuple[str, str]:
    """The name of torch's storage of that dtype; and of the dtype, if the storage does not tell."""
    name = _NAMES[dtype]
    return (DTYPES[name][0], "") if DTYPES[name][0] else ("UntypedStorage", name)


class _Block:
    """Memory that arrays of one dtype share, from the first one's first byte to the last's last."""

    def __init__(self, array: Array) -> None:
        self.first = array
        self.start, self.end = np.lib.array_utils.byte_bounds(array)
        self.is_shared = False

    def take(self, array: Array) -> bool:
        """Hold this array, too, if it lies in the same memory."""
        start, end = np.lib.array_utils.byte_bounds(array)
        itemsize = array.itemsize
        if start >= self.end or array.dtype != self.first.dtype or (start - self.start) % itemsize:
            return False
        self.end, self.is_shared = max(end, self.end), True
        return True

    def values(self) -> Array:
        size = (self.end - self.start) // self.first.itemsize
        return np.lib.stride_tricks.as_strided(self.first, (size,), (self.first.itemsize,))


def _native(array: Array) -> Array:
    """The array, or a copy if torch has no tensor of its strides or byte order."""
    sizes = zip(array.shape, array.strides, strict=True)
    fits = all(n < 2 or (step >= 0 and step % array.itemsize == 0) for n, step in sizes)
    array = array if fits else np.array(array, order="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if array.dtype not in _NAMES:
        raise TypeError(f"obj has an array of {array.dtype}, of which torch has no tensors")
    return array


def _blocks(arrays: list[Array]) -> tuple[list[Array], list[int], list[_Block]]:
    """The arrays as they can be written, the number of each one's block, and the blocks.

    Arrays that share memory share it in the file, and nothing else is in it: neither what else
    their base has, nor the gaps of an array that shares with none.
    """
    bounds = [np.lib.array_utils.byte_bounds(array) for array in arrays]
    numbers, blocks = [0] * len(arrays), list[_Block]()
    # empty ones last: they lie in no other's memory
    order = sorted((not a.size, a.dtype.str, *bounds[i], i) for i, a in enumerate(arrays))
    for *_, i in order:
        if not (blocks and arrays[i].size and blocks[-1].take(arrays[i])):
            blocks.append(_Block(arrays[i]))
        numbers[i] = len(blocks) - 1
    for i, number in enumerate(numbers):
        block = blocks[number]
        if not block.is_shared and block.values().size > arrays[i].size:
            arrays[i] = np.array(arrays[i], order="C")
            blocks[number] = _Block(arrays[i])
    return arrays, numbers, blocks


def _sizes(values: Iterable[int]) -> bytes:
    return b"(" + b"".join(map(_integer, values)) + b"t"


def _tensor_call(array: Array, number: int, block: _Block) -> bytes:
    """The beginning of a call that rebuilds the array from its storage."""
    storage, new_dtype = _storage_name(array.dtype)
    module = "torch.storage" if new_dtype else "torch"
    start, _ = np.lib.array_utils.byte_bounds(array)
    size = block.values().nbytes // (1 if new_dtype else array.itemsize)
    strides = (
        step // array.itemsize if n > 1 else 1
        for n, step in zip(array.shape, array.strides, strict=True)
    )
    return b"".join(
        (
            f"ctorch._utils\n_rebuild_tensor_v{3 if new_dtype else 2}\n(".encode(),
            b"(" + _string("storage"),
            f"c{module}\n{storage}\n".encode(),
            _string(str(number)) + _string("cpu") + _integer(size) + b"tQ",
            _integer((start - block.start) // array.itemsize),
            _sizes(array.shape) + _sizes(strides),
        )
    )


def write(obj: Any, target: BinaryIO | Path) -> None:
    """Write ``obj`` as ``torch.save`` does; nothing is opened before all of it could be pickled."""
    pickle = _Pickle()
    pickle.add(obj)
    found = [part for part in pickle.parts if isinstance(part, np.ndarray)]
    arrays, numbers, blocks = _blocks(found)
    calls = (
        _tensor_call(array, number, blocks[number])
        for array, number in zip(arrays, numbers, strict=True)
    )
    parts = (part if isinstance(part, bytes) else next(calls) for part in pickle.parts)
    records: dict[str, Any] = {
        "data.pkl": b"".join(parts) + b".",
        "byteorder": b"little",
        **{f"data/{i}": block.values().view(np.uint8) for i, block in enumerate(blocks)},
        "version": b"3\n",
    }
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, record in records.items():
            _write_record(archive, f"archive/{name}", memoryview(record))


def _write_record(archive: zipfile.ZipFile, name: str, data: memoryview) -> None:
    info = zipfile.ZipInfo(name)  # without a date: equal weights make equal files
    info.file_size = data.nbytes
    assert archive.fp is not None
    header = 30 + len(name) + 4
    padding = -(archive.fp.tell() + header) % _ALIGNMENT
    info.extra = struct.pack("<2sH", b"FB", padding) + bytes(padding)
    with archive.open(info, "w") as file:
        file.write(data)
