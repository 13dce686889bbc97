"""Functions that make Tensors."""

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from numpy_impl import random
from numpy_impl.tensor.joining import stack
from numpy_impl.tensor.shape import _sizes, broadcast_to, permute, reshape
from numpy_impl.tensor.tensor import Operand, Tensor, TensorLike, record, to_array
from numpy_impl.types import Array, DType, Size


class device:
    """Where Tensors live: there is one place, ``"cpu"``.

    Raises:
        RuntimeError: for any other.
    """

    type = "cpu"
    index = None

    def __init__(self, type: Any = "cpu") -> None:
        check_device(type)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) or other == "cpu"

    def __hash__(self) -> int:
        return hash("cpu")

    def __str__(self) -> str:
        return "cpu"

    def __repr__(self) -> str:
        return "device(type='cpu')"


Device = device | str | None


def check_device(value: Any) -> None:
    """Raise RuntimeError unless ``device`` is None or the CPU."""
    if value is not None and str(value) not in ("cpu", "cpu:0"):
        raise RuntimeError(f"device must be None or 'cpu', got {value!r}")


def _made(array: Array, requires_grad: bool, device: Device) -> Tensor:
    check_device(device)
    return Tensor(array, requires_grad)


def tensor(
    data: Any, *, dtype: DType = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor with a copy of ``data``: an array, a number, nested lists, a Tensor.

    Python's floats become float32, its ints int64; arrays keep their dtype.
    """
    return _made(np.array(_as_array(data, dtype)), requires_grad, device)


def _as_array(data: Any, dtype: DType = None) -> Array:
    value = to_array(data)
    if not isinstance(value, np.ndarray | np.generic):
        value = np.asarray(_without_tensors(value))
        if dtype is None and value.dtype == np.float64:
            dtype = np.float32
    if value.dtype.kind not in "biuf":
        raise TypeError(f"data must be numbers, got {type(data).__name__} of {value.dtype}")
    return np.asarray(value, dtype)


def _without_tensors(data: Any) -> Any:
    if isinstance(data, list | tuple):
        return [_without_tensors(part) for part in data]
    return to_array(data)


def as_tensor(data: Any, dtype: DType = None, device: Device = None) -> Tensor:
    """A Tensor of ``data``, whose memory it shares where it can; a Tensor itself if it fits."""
    check_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None or data.dtype == dtype else data.to(dtype)
    return Tensor(_as_array(data, dtype))


def from_numpy(ndarray: Array) -> Tensor:
    """A Tensor around the array itself, not a copy."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"from_numpy needs a NumPy array, got {type(ndarray).__name__}")
    return Tensor(ndarray)


def is_tensor(obj: object) -> bool:
    """Whether ``obj`` is a Tensor."""
    return isinstance(obj, Tensor)


def _legacy(name: str, dtype: DType) -> Any:
    def make(*size: Any) -> Tensor:
        if len(size) == 1 and not isinstance(size[0], int):
            return tensor(size[0], dtype=dtype)
        return empty(*(size or (0,)), dtype=dtype)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"``tensor(data, dtype)`` or ``empty(*sizes, dtype)`` of {np.dtype(dtype)}."
    return make


FloatTensor = _legacy("FloatTensor", np.float32)
DoubleTensor = _legacy("DoubleTensor", np.float64)
LongTensor = _legacy("LongTensor", np.int64)
IntTensor = _legacy("IntTensor", np.int32)
ShortTensor = _legacy("ShortTensor", np.int16)
CharTensor = _legacy("CharTensor", np.int8)
ByteTensor = _legacy("ByteTensor", np.uint8)
BoolTensor = _legacy("BoolTensor", np.bool_)


def zeros(
    *size: Size, dtype: DType = np.float32, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor of zeros."""
    return _made(np.zeros(_sizes(size), dtype or np.float32), requires_grad, device)


def ones(
    *size: Size, dtype: DType = np.float32, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor of ones."""
    return _made(np.ones(_sizes(size), dtype or np.float32), requires_grad, device)


def empty(
    *size: Size, dtype: DType = np.float32, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """A Tensor to be filled; its values are zeros, so that none is left to chance."""
    return zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)


def full(
    size: Size,
    fill_value: Operand,
    *,
    dtype: DType = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """A Tensor of one value."""
    array = np.full(_sizes((size,)), _as_array(fill_value, dtype))
    return _made(array, requires_grad, device)


def zeros_like(
    input: TensorLike, *, dtype: DType = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """Zeros of the shape and dtype of ``input``."""
    return _made(np.zeros_like(to_array(input), dtype), requires_grad, device)


def ones_like(
    input: TensorLike, *, dtype: DType = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """Ones of the shape and dtype of ``input``."""
    return _made(np.ones_like(to_array(input), dtype), requires_grad, device)


def full_like(
    input: TensorLike,
    fill_value: Operand,
    *,
    dtype: DType = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """One value in the shape and dtype of ``input``."""
    return _made(np.full_like(to_array(input), to_array(fill_value), dtype), requires_grad, device)


empty_like = zeros_like


def arange(
    start: Operand,
    end: Operand | None = None,
    step: Operand = 1,
    *,
    dtype: DType = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Numbers from ``start`` (0) to before ``end``, ``step`` apart."""
    given = (0, start, step) if end is None else (start, end, step)
    numbers: list[Any] = [to_array(value) for value in given]
    first, last, stride = numbers
    if not stride or (last - first) / stride < 0:
        raise ValueError(f"step must lead from start to end, got {first}, {last}, {stride}")
    if dtype is None:
        whole = all(np.asarray(number).dtype.kind in "iub" for number in numbers)
        dtype = np.int64 if whole else np.float32
    return _made(np.arange(first, last, stride).astype(dtype), requires_grad, device)


def linspace(
    start: Operand,
    end: Operand,
    steps: int,
    *,
    dtype: DType = np.float32,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, evenly apart."""
    first, last = np.asarray(to_array(start)), np.asarray(to_array(end))
    values = np.linspace(first, last, steps, dtype=np.dtype(dtype or np.float32))
    return _made(values, requires_grad, device)


def logspace(
    start: Operand,
    end: Operand,
    steps: int,
    base: float = 10.0,
    *,
    dtype: DType = np.float32,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """``base`` to the powers that linspace gives."""
    first, last = np.asarray(to_array(start)), np.asarray(to_array(end))
    values = np.logspace(first, last, steps, base=base, dtype=np.dtype(dtype or np.float32))
    return _made(values, requires_grad, device)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: DType = np.float32,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The unit matrix, (n, m)."""
    return _made(np.eye(n, m, dtype=dtype or np.float32), requires_grad, device)


def rand(
    *size: Size,
    generator: random.Generator | None = None,
    dtype: DType = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1), torch's of the same seed."""
    return _made(random.rand(_sizes(size), generator=generator, dtype=dtype), requires_grad, device)


def randn(
    *size: Size,
    generator: random.Generator | None = None,
    dtype: DType = None,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal numbers, torch's of the same seed."""
    values = random.randn(_sizes(size), generator=generator, dtype=dtype)
    return _made(values, requires_grad, device)


@overload
def randint(
    high: int,
    size: Sequence[int],
    *,
    generator: random.Generator | None = None,
    dtype: DType = np.int64,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor: ...
@overload
def randint(
    low: int,
    high: int,
    size: Sequence[int],
    *,
    generator: random.Generator | None = None,
    dtype: DType = np.int64,
    device: Device = None,
    requires_grad: bool = False,
) -> Tensor: ...
def randint(
    *args: Any,
    generator: random.Generator | None = None,
    dtype: DType = np.int64,
    device: Device = None,
    requires_grad: bool = False,
    **kwargs: Any,
) -> Tensor:
    """Whole numbers from ``low`` (0) to below ``high``: ``randint(low, high, size)``."""
    values = random.randint(*args, generator=generator, **kwargs)
    return _made(values.astype(dtype, copy=False), requires_grad, device)


def randperm(n: int, *, generator: random.Generator | None = None, device: Device = None) -> Tensor:
    """The numbers below ``n`` in random order, torch's of the same seed."""
    return _made(random.randperm(n, generator), False, device)


def rand_like(input: TensorLike, *, dtype: DType = None, device: Device = None) -> Tensor:
    """Uniform numbers in [0, 1) in the shape and dtype of ``input``."""
    x = to_array(input)
    return rand(*x.shape, dtype=dtype or x.dtype, device=device)


def randint_like(
    input: TensorLike,
    low: int,
    high: int | None = None,
    *,
    dtype: DType = None,
    device: Device = None,
) -> Tensor:
    """Whole numbers from ``low`` to below ``high``, or from 0 to below one, shaped as ``input``."""
    x = to_array(input)
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, x.shape, dtype=dtype or x.dtype, device=device)


def randn_like(
    input: TensorLike, *, dtype: DType = None, device: Device = None, requires_grad: bool = False
) -> Tensor:
    """Standard normal numbers in the shape and dtype of ``input``."""
    x = to_array(input)
    return randn(*x.shape, dtype=dtype or x.dtype, device=device, requires_grad=requires_grad)


def normal(
    mean: Operand,
    std: Operand = 1.0,
    size: Size | None = None,
    *,
    generator: random.Generator | None = None,
) -> Tensor:
    """Normal numbers of this mean and standard deviation, which may be Tensors."""
    center, spread = np.asarray(to_array(mean)), np.asarray(to_array(std))
    shape = np.broadcast_shapes(center.shape, spread.shape) if size is None else _sizes((size,))
    dtype = (
        np.float64 if np.float64 in (getattr(mean, "dtype", 0), getattr(std, "dtype", 0)) else None
    )
    values = random.randn(shape, generator=generator, dtype=dtype)
    return Tensor((values * spread + center).astype(values.dtype))


def bernoulli(input: TensorLike, *, generator: random.Generator | None = None) -> Tensor:
    """1 with the probability in ``input``, else 0; torch's draws of the same seed."""
    x = to_array(input)
    drawn = (random.rand(x.shape, generator=generator, dtype=x.dtype) < x).astype(x.dtype)
    return record(drawn, "bernoulli", (input, lambda g: np.zeros_like(x)))


def meshgrid(*tensors: TensorLike, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinate grids of vectors; with "xy" the first two axes are exchanged."""
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"indexing must be 'ij' or 'xy', got {indexing!r}")
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    sizes = [to_array(tensor).size for tensor in tensors]
    if any(to_array(tensor).ndim > 1 for tensor in tensors):
        raise RuntimeError("meshgrid needs vectors")
    axes = list(range(len(sizes)))
    if indexing == "xy":
        axes[:2] = axes[:2][::-1]
    grids = []
    for i, tensor in enumerate(tensors):
        line = reshape(tensor, [size if j == i else 1 for j, size in enumerate(sizes)])
        grids.append(permute(broadcast_to(line, sizes), axes))
    return tuple(grids)


def cartesian_prod(*tensors: TensorLike) -> Tensor:
    """Every combination of the elements of vectors, (number, vectors)."""
    if any(to_array(tensor).ndim != 1 for tensor in tensors):
        raise RuntimeError("cartesian_prod needs vectors")
    if len(tensors) == 1:
        return reshape(tensors[0], -1)
    return stack([reshape(grid, -1) for grid in meshgrid(*tensors)], 1)


def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = np.int64, device: Device = None
) -> Tensor:
    """The places in the lower triangle of a matrix, (2, number)."""
    return _made(np.stack(np.tril_indices(row, offset, col)).astype(dtype), False, device)


def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: DType = np.int64, device: Device = None
) -> Tensor:
    """The places in the upper triangle of a matrix, (2, number)."""
    return _made(np.stack(np.triu_indices(row, offset, col)).astype(dtype), False, device)


__all__ = [
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "arange",
    "as_tensor",
    "bernoulli",
    "cartesian_prod",
    "device",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "is_tensor",
    "linspace",
    "logspace",
    "meshgrid",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "stack",
    "tensor",
    "tril_indices",
    "triu_indices",
    "zeros",
    "zeros_like",
]
