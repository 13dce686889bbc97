"""What the names in torch's files stand for: tensors, their storages, and a few containers."""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from numpy_impl.io.errors import FileError, shown
from numpy_impl.io.unpickling import COPIES, Function, check_key
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.creation import device
from numpy_impl.tensor.tensor import Tensor
from numpy_impl.types import Array

# torch's dtypes: the name of their storages (those that have one), and the dtype in the file
DTYPES = {
    "float32": ("FloatStorage", "f4"),
    "float64": ("DoubleStorage", "f8"),
    "float16": ("HalfStorage", "f2"),
    "bfloat16": ("BFloat16Storage", "u2"),
    "int64": ("LongStorage", "i8"),
    "int32": ("IntStorage", "i4"),
    "int16": ("ShortStorage", "i2"),
    "int8": ("CharStorage", "i1"),
    "uint8": ("ByteStorage", "u1"),
    "bool": ("BoolStorage", "?"),
    "complex64": ("ComplexFloatStorage", "c8"),
    "complex128": ("ComplexDoubleStorage", "c16"),
    "uint16": ("", "u2"),
    "uint32": ("", "u4"),
    "uint64": ("", "u8"),
}
_MAX_DIMS = 64  # NumPy's own limit


def widened(bits: Array) -> Array:
    """bfloat16 as float32: its sixteen bits are a float32's upper ones."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


class StorageType:
    """A kind of storage, by the dtype of its elements; None for one of bytes."""

    def __init__(self, dtype: str | None) -> None:
        self.dtype = np.dtype(DTYPES[dtype][1] if dtype else "u1")
        self.is_typed = dtype is not None
        self.is_bfloat16 = dtype == "bfloat16"


class Storage:
    """Memory that tensors share: ``array`` is one-dimensional, and its end is theirs.

    Args:
        kind: what its elements are.
        numel: how many.

    Attributes:
        left: bytes that copies of it may still take.
    """

    def __init__(self, kind: StorageType, numel: int) -> None:
        self.kind = kind
        self.nbytes = numel * kind.dtype.itemsize
        self.left = COPIES * self.nbytes
        self.array = np.empty(numel, np.float32 if kind.is_bfloat16 else kind.dtype)

    def fill(self, data: bytes | memoryview, is_little_endian: bool) -> None:
        """Take the values from the file's bytes."""
        if not (is_little_endian or self.kind.is_typed):
            raise FileError("has bytes of a big-endian machine, whose order can't be known")
        dtype = self.kind.dtype.newbyteorder("<" if is_little_endian else ">")
        values = np.frombuffer(data, np.uint8 if dtype == np.bool_ else dtype)
        self.array[:] = widened(values) if self.kind.is_bfloat16 else values


def counts(values: Any, what: str) -> tuple[int, ...]:
    """The values as sizes, which can't be negative."""
    if type(values) is not tuple or any(type(v) is not int or not 0 <= v < 2**63 for v in values):
        raise FileError(f"damaged ({what} is no tuple of integers from 0 to 2^63)")
    return values


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any = False,
    backward_hooks: Any = None,
    metadata: Any = None,
    dtype: Any = None,
) -> Any:
    if not isinstance(storage, Storage):
        raise FileError(f"damaged (a tensor without a storage: {shown(storage)})")
    counts((offset,), "a tensor's offset")
    counts(size, "a tensor's size")
    counts(stride, "a tensor's stride")
    if len(size) != len(stride) or len(size) > _MAX_DIMS:
        raise FileError(f"damaged (a tensor of size {size}, stride {stride})")
    whole = storage.array if dtype is None else storage.array.view(dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    is_empty = math.prod(size) == 0
    if not is_empty and last >= len(whole):
        raise FileError(
            f"damaged (a tensor of size {size}, stride {stride}, offset {offset} needs "
            f"{last + 1} elements, its storage has {len(whole)})"
        )
    itemsize = whole.itemsize
    array: Array = np.ndarray(  # which checks once more that it stays inside
        size,
        whole.dtype,
        whole,
        0 if is_empty else offset * itemsize,
        [
            0 if n == 1 or is_empty else step * itemsize
            for n, step in zip(size, stride, strict=True)
        ],
    )
    if metadata:
        storage.left -= array.nbytes  # a view of one element can have any size
        if storage.left < 0:
            raise FileError(f"damaged (a conjugate of size {size} of {len(whole)} elements)")
        array = np.conj(array) if metadata.get("conj") else array
        array = -array if metadata.get("neg") else array
    return Tensor(array, True) if requires_grad is True and array.dtype.kind == "f" else array


def _tensor_v3(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    backward_hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> Any:
    if not isinstance(dtype, np.dtype) or getattr(storage, "kind", _BFLOAT16).is_typed:
        raise FileError("damaged (a tensor whose dtype is not its storage's)")
    return _tensor(storage, offset, size, stride, requires_grad, backward_hooks, metadata, dtype)


def _parameter(data: Any, requires_grad: Any, backward_hooks: Any) -> Any:
    if not isinstance(data, np.ndarray | Tensor):
        raise FileError(f"damaged (a parameter without a tensor: {shown(data)})")
    if data.dtype.kind != "f":
        return data  # only floats make a Parameter here
    return Parameter(data.data if isinstance(data, Tensor) else data, requires_grad is True)


def _ordered(pairs: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((check_key(key), value) for key, value in pairs)


def _counter(items: Any = None) -> Counter[Any]:
    if items is not None and type(items) is not dict:
        raise FileError(f"damaged (a Counter of {shown(items)})")
    return Counter(items)


def _encode(text: Any, encoding: Any) -> bytes:
    """How pickles of protocol 2 write bytes."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise FileError("damaged (bytes must be given as latin1)")
    return text.encode("latin1")


def _complex(real: Any, imag: Any) -> complex:
    if type(real) is not float or type(imag) is not float:
        raise FileError(f"damaged (a complex number of {shown(real)}, {shown(imag)})")
    return complex(real, imag)


# -- NumPy's own, as training loops leave them in checkpoints: a best score, a generator's state --


def _dtype(code: Any, align: Any = False, copy: Any = True) -> np.dtype[Any]:
    known = {f"{np.dtype(c).kind}{np.dtype(c).itemsize}" for _, c in DTYPES.values()}
    if type(code) is not str or code not in known:
        raise FileError(f"has a NumPy dtype {shown(code)}: only numbers and bools are read")
    return np.dtype(code)


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, np.dtype) or type(data) is not bytes:
        raise FileError("damaged (a NumPy number that is none)")
    return np.frombuffer(data, dtype).reshape(())[()]


def _numpy_array(kind: Any, shape: Any, code: Any) -> Array:
    return np.empty(0, np.uint8)  # its state makes it what it is


def take_state(target: Any, state: Any) -> None:
    """Give an object its state; FileError where it takes none."""
    if type(target) is OrderedDict and type(state) is dict and set(state) == {"_metadata"}:
        target._metadata = state["_metadata"]  # type: ignore[attr-defined]  # of a state dict
    elif isinstance(target, np.dtype) and type(state) is tuple and len(state) > 1:
        if state[1] not in ("<", "|"):
            raise FileError(f"has a NumPy array of byte order {state[1]!r:.60}: '<' is read")
    elif type(target) is np.ndarray and target.base is None and target.shape == (0,):
        _, shape, dtype, is_fortran, data = state
        size = math.prod(counts(shape, "an array's shape"))
        if not isinstance(dtype, np.dtype) or type(data) is not bytes or dtype.kind == "O":
            raise FileError("damaged (a NumPy array that is none)")
        if len(data) != size * dtype.itemsize:
            raise FileError("damaged (a NumPy array of too few or too many bytes)")
        checked: Any = (1, shape, dtype, is_fortran is True, data)
        target.__setstate__(checked)
    else:
        raise FileError(f"gives a state to {shown(target)}, which takes none: refused")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": lambda size=(): counts(size, "a torch.Size"),
    "torch.device": lambda *name: device(),
    "collections.OrderedDict": _ordered,
    "collections.Counter": _counter,
    "builtins.set": lambda items=(): set(map(check_key, items)),
    "builtins.complex": _complex,
    "builtins.bytes": lambda: b"",
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy.core.multiarray._reconstruct": _numpy_array,
}
_BFLOAT16 = StorageType("bfloat16")
NAMES: dict[str, Any] = {
    **{name: Function(call) for name, call in _FUNCTIONS.items()},
    # Python 2's and NumPy 2's names
    "__builtin__.bytes": Function(_FUNCTIONS["builtins.bytes"]),
    "__builtin__.set": Function(_FUNCTIONS["builtins.set"]),
    "__builtin__.complex": Function(_complex),
    "numpy._core.multiarray.scalar": Function(_numpy_scalar),
    "numpy._core.multiarray._reconstruct": Function(_numpy_array),
    "numpy.ndarray": np.ndarray,  # which can't be called: it is no Function
    **{f"torch.{dtype}": np.dtype(code) for dtype, (_, code) in DTYPES.items()},
    "torch.bfloat16": np.dtype(np.float32),
    **{f"torch.{name}": StorageType(dtype) for dtype, (name, _) in DTYPES.items() if name},
    "torch.storage.UntypedStorage": StorageType(None),
    "torch.UntypedStorage": StorageType(None),
}
