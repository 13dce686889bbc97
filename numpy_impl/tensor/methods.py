"""The operations as methods and operators of Tensor, by torch's names.

A name with an underscore at the end (``add_``) changes the Tensor in place.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl import random
from numpy_impl.tensor import creation, elementwise, linalg, reduction, shape
from numpy_impl.tensor import tensor as tensor_module
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray

# by module: the functions of which Tensor has a method of the same name
METHODS: dict[Any, str] = {
    elementwise: """abs add atan bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp
        clamp_max clamp_min clip cos cosh div eq equal allclose exp expm1 floor floor_divide ge gt
        isfinite isinf isnan le lerp log log10 log1p log2 logical_and logical_not logical_or
        logical_xor lt masked_fill maximum minimum mul ne neg pow reciprocal relu remainder round
        rsqrt sigmoid sign sin sinh sqrt square sub tan tanh trunc where""",
    reduction: """all amax amin any argmax argmin argsort cumsum log_softmax logsumexp max mean min
        norm prod softmax sort std sum topk var""",
    shape: """broadcast_to chunk clone contiguous diag diagonal expand expand_as flatten flip gather
        index_select masked_select moveaxis movedim narrow permute ravel repeat repeat_interleave
        reshape reshape_as roll scatter scatter_add select split squeeze swapaxes swapdims t
        take_along_dim tile transpose tril triu unbind unflatten unsqueeze view view_as""",
    linalg: "addmm baddbmm bmm dot matmul mm mv outer",
}
IN_PLACE = """abs add ceil clamp clamp_max clamp_min clip cos div exp floor floor_divide lerp log
    masked_fill mul neg pow reciprocal relu remainder round rsqrt scatter scatter_add
    sigmoid sign sin sqrt square sub tanh tril triu trunc"""
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "truediv": elementwise.div,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.pow,
    "matmul": linalg.matmul,
    "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or,
    "xor": elementwise.bitwise_xor,
}
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_UFUNCS = {
    np.add: elementwise.add,
    np.subtract: elementwise.sub,
    np.multiply: elementwise.mul,
    np.divide: elementwise.div,
    np.floor_divide: elementwise.floor_divide,
    np.remainder: elementwise.remainder,
    np.power: elementwise.pow,
    np.matmul: linalg.matmul,
    np.bitwise_and: elementwise.bitwise_and,
    np.bitwise_or: elementwise.bitwise_or,
    np.bitwise_xor: elementwise.bitwise_xor,
    np.equal: elementwise.eq,
    np.not_equal: elementwise.ne,
    np.less: elementwise.lt,
    np.less_equal: elementwise.le,
    np.greater: elementwise.gt,
    np.greater_equal: elementwise.ge,
}


def _operator(name: str, function: Callable[..., Any], reflected: bool = False) -> Any:
    def forwards(self: Tensor, other: Any) -> Any:
        return function(self, other) if _is_operand(other) else NotImplemented

    def backwards(self: Tensor, other: Any) -> Any:
        return function(other, self) if _is_operand(other) else NotImplemented

    method = backwards if reflected else forwards
    method.__name__ = f"__{'r' * reflected}{name}__"
    return method


def _is_operand(value: Any) -> bool:
    return isinstance(value, Tensor | int | float | np.ndarray | np.generic)


def _in_place(name: str, function: Callable[..., Any]) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._become(function, *args, **kwargs)

    method.__name__, method.__doc__ = name, f"``{name.rstrip('_')}`` in place."
    return method


def cast(self: Tensor, dtype: Any) -> Tensor:
    """The Tensor in ``dtype``; itself if it is so already."""
    x, wanted = self._data, np.dtype(dtype)
    if x.dtype == wanted:
        return self
    return record(x.astype(wanted), "to", (self, lambda g: g))


def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """In another dtype, or that of another Tensor; a device must be the CPU."""
    allowed = {"dtype", "device", "copy", "non_blocking", "other"}
    if set(kwargs) - allowed:
        raise TypeError(f"to() takes {', '.join(sorted(allowed))}, got {sorted(kwargs)}")
    dtype = kwargs.get("dtype")
    places = [kwargs.get("device")]
    for value in (*args, kwargs.get("other")):
        if isinstance(value, Tensor):
            dtype = value.dtype
        elif is_dtype(value):
            dtype = value
        elif not isinstance(value, bool):  # non_blocking, copy
            places.append(value)
    for place in places:
        creation.check_device(place)
    if dtype is None:
        return self
    return cast(self, dtype)


def is_dtype(value: Any) -> bool:
    """Whether ``value`` names a dtype, not a device."""
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, str) and value.startswith(("cpu", "cuda", "mps")):
        return False
    try:
        np.dtype(value)
    except TypeError:
        return False
    return True


def type_as(self: Tensor, other: Any) -> Tensor:
    """In the dtype of ``other``."""
    return cast(self, other.dtype)


def to_type(self: Tensor, dtype: Any = None) -> Any:
    """In another dtype; without one the name of its own."""
    return f"numpy_impl.{self.dtype}" if dtype is None else cast(self, dtype)


def _caster(name: str, dtype: Any) -> Any:
    def method(self: Tensor) -> Tensor:
        return cast(self, dtype)

    method.__name__, method.__doc__ = name, f"In {np.dtype(dtype)}."
    return method


def cpu(self: Tensor) -> Tensor:
    """The Tensor itself: there is no other place."""
    return self


def copy_(self: Tensor, src: Any) -> Tensor:
    """Take the values of ``src`` in place; the gradient goes to ``src``."""

    def function(before: Tensor) -> Tensor:
        source = src if isinstance(src, Tensor) else Tensor(np.asarray(src))
        return cast(shape.broadcast_to(source, before.shape), before.dtype)

    return self._become(function)


def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element ``value``, in place."""
    return copy_(self, Tensor(np.asarray(to_array(value)).astype(self.dtype)))


def zero_(self: Tensor) -> Tensor:
    """Every element 0, in place."""
    return fill_(self, 0)


def _drawn(self: Tensor, fill: Callable[[Array], object]) -> Tensor:
    values = np.empty(self.shape, self.dtype)
    fill(values)
    return copy_(self, Tensor(values))


def uniform_(self: Tensor, a: float = 0, b: float = 1, *, generator: Any = None) -> Tensor:
    """Uniform numbers between ``a`` and ``b``, in place."""
    return _drawn(self, lambda values: random.uniform_(values, a, b, generator))


def normal_(self: Tensor, mean: float = 0, std: float = 1, *, generator: Any = None) -> Tensor:
    """Normal numbers, in place."""
    return _drawn(self, lambda values: random.normal_(values, mean, std, generator))


def is_floating_point(self: Tensor) -> bool:
    """Whether it holds floating-point numbers."""
    return self.dtype.kind == "f"


def is_contiguous(self: Tensor) -> bool:
    """True: how memory is laid out never shows."""
    return True


def _new(function: Callable[..., Tensor]) -> Any:
    @functools.wraps(function)
    def method(self: Tensor, *args: Any, dtype: Any = None, **kwargs: Any) -> Tensor:
        return function(*args, dtype=self.dtype if dtype is None else dtype, **kwargs)

    return method


def _transposed(self: Tensor) -> Tensor:
    return shape.permute(self, tuple(reversed(range(self.ndim))))


def _matrix_transposed(self: Tensor) -> Tensor:
    return shape.transpose(self, -2, -1)


def _install() -> None:
    for module, names in METHODS.items():
        for name in names.split():
            setattr(Tensor, name, getattr(module, name))
    for name in IN_PLACE.split():
        setattr(Tensor, f"{name}_", _in_place(f"{name}_", getattr(Tensor, name)))
    for name, function in OPERATORS.items():
        setattr(Tensor, f"__{name}__", _operator(name, function))
        setattr(Tensor, f"__r{name}__", _operator(name, function, reflected=True))
        setattr(Tensor, f"__i{name}__", _in_place(f"__i{name}__", function))
    for name in COMPARISONS:
        setattr(Tensor, f"__{name}__", _operator(name, getattr(elementwise, name)))
    own: dict[str, Any] = {
        "__neg__": elementwise.neg,
        "__pos__": lambda self: self,
        "__abs__": elementwise.abs,
        "__invert__": elementwise.bitwise_not,
        "__getitem__": shape.getitem,
        "__setitem__": shape.setitem,
        "subtract": elementwise.sub,
        "multiply": elementwise.mul,
        "divide": elementwise.div,
        "negative": elementwise.neg,
        "T": property(_transposed, doc="The axes in reverse order."),
        "mT": property(_matrix_transposed, doc="The last two axes exchanged."),
        "device": property(lambda self: creation.device(), doc="Where it lives: the CPU."),
        "is_cuda": False,
        "to": to,
        "type": to_type,
        "type_as": type_as,
        "cpu": cpu,
        "copy_": copy_,
        "fill_": fill_,
        "zero_": zero_,
        "uniform_": uniform_,
        "normal_": normal_,
        "is_floating_point": is_floating_point,
        "is_contiguous": is_contiguous,
        "new_zeros": _new(creation.zeros),
        "new_ones": _new(creation.ones),
        "new_empty": _new(creation.empty),
        "new_full": _new(creation.full),
        "new_tensor": _new(creation.tensor),
        **{
            name: _caster(name, dtype)
            for name, dtype in {
                "float": np.float32,
                "double": np.float64,
                "long": np.int64,
                "int": np.int32,
                "bool": np.bool_,
            }.items()
        },
    }
    for name, value in own.items():
        setattr(Tensor, name, value)
    Tensor.__hash__ = lambda self: id(self)  # type: ignore[method-assign]
    tensor_module._UFUNC_OPERATORS.update(_UFUNCS)


_install()
