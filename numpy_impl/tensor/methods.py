"""The operations as methods and operators of Tensor, by torch's names.

A name with an underscore at the end (``add_``) changes the Tensor in place.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl import random
from numpy_impl.tensor import (
    comparison,
    creation,
    elementwise,
    functions,
    indexing,
    linalg,
    reduction,
    shape,
    sorting,
)
from numpy_impl.tensor import tensor as tensor_module
from numpy_impl.tensor.promotion import quiet
from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray

# by module: the functions of which Tensor has a method of the same name
METHODS: dict[Any, str] = {
    elementwise: """add addcdiv addcmul arctan2 atan2 clamp clamp_max clamp_min clip div divide
        floor_divide fmax fmin fmod heaviside hypot lerp logaddexp masked_fill maximum minimum mul
        multiply nan_to_num neg negative pow relu remainder sigmoid square sub subtract tanh
        true_divide xlogy""",
    functions: """abs absolute acos acosh arccos arcsin arctan asin asinh atan atanh ceil cos cosh
        exp exp2 expm1 fix floor frac log log10 log1p log2 logit reciprocal round rsqrt sgn sign
        sin sinh sqrt tan trunc""",
    creation: "bernoulli",
    comparison: """allclose bitwise_and bitwise_left_shift bitwise_not bitwise_or
        bitwise_right_shift bitwise_xor eq equal ge greater greater_equal gt is_floating_point
        isclose isfinite isinf isnan le less less_equal logical_and logical_not logical_or
        logical_xor lt ne not_equal""",
    reduction: """all amax amin any count_nonzero cumprod cumsum log_softmax logsumexp mean nanmean
        nansum norm prod softmax std sum var""",
    sorting: """aminmax argmax argmin argsort argwhere bincount histc kthvalue max median min
        nonzero sort topk unique""",
    shape: """broadcast_to chunk clone contiguous diag diag_embed diagonal expand expand_as flatten
        flip fliplr flipud moveaxis movedim permute ravel repeat reshape reshape_as roll rot90 split
        squeeze swapaxes swapdims t tensor_split tile transpose tril triu unbind unflatten
        unsqueeze view view_as""",
    indexing: """diff gather index_add index_copy index_fill index_select masked_scatter
        masked_select narrow repeat_interleave scatter scatter_add select take take_along_dim
        unfold""",
    linalg: """addmm addmv baddbmm bmm cross dot ger inner kron matmul mm mv outer trace vdot""",
}
IN_PLACE = """abs absolute acos acosh add addcdiv addcmul addmm addmv arccos arcsin arctan
    arctan2 asin asinh atan atan2 atanh baddbmm bitwise_and bitwise_left_shift bitwise_not
    bitwise_or bitwise_right_shift bitwise_xor ceil clamp clamp_max clamp_min clip cos cosh cumprod
    cumsum div divide exp exp2 expm1 fix floor floor_divide fmod frac heaviside hypot
    index_add index_copy index_fill lerp log log10 log1p log2 logical_and logical_not
    logical_or logical_xor logit masked_fill masked_scatter mul multiply nan_to_num neg
    negative pow reciprocal relu remainder round rsqrt scatter scatter_add sgn sigmoid sign
    sin sinh sqrt square sub subtract tan tanh tril triu true_divide trunc xlogy"""
OPERATORS: dict[str, Callable[..., Any]] = {
    "add": elementwise.add,
    "sub": elementwise.sub,
    "mul": elementwise.mul,
    "truediv": elementwise.div,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.pow,
    "matmul": linalg.matmul,
    "and": comparison.bitwise_and,
    "or": comparison.bitwise_or,
    "xor": comparison.bitwise_xor,
    "lshift": comparison.bitwise_left_shift,
    "rshift": comparison.bitwise_right_shift,
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
    np.bitwise_and: comparison.bitwise_and,
    np.bitwise_or: comparison.bitwise_or,
    np.bitwise_xor: comparison.bitwise_xor,
    np.equal: comparison.eq,
    np.not_equal: comparison.ne,
    np.less: comparison.lt,
    np.less_equal: comparison.le,
    np.greater: comparison.gt,
    np.greater_equal: comparison.ge,
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


@quiet
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
    result = self if dtype is None else cast(self, dtype)
    return shape.clone(self) if kwargs.get("copy") and result is self else result


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


def where(self: Tensor, condition: Any, other: Any) -> Tensor:
    """The Tensor where the condition is true, ``other`` elsewhere."""
    return elementwise.where(condition, self, other)


@quiet
def copy_(self: Tensor, src: Any) -> Tensor:
    """Take the values of ``src`` in place; the gradient goes to ``src``."""

    def function(before: Tensor) -> Tensor:
        source = src if isinstance(src, Tensor) else Tensor(np.asarray(src))
        values = shape.broadcast_to(source, before.shape)
        nothing = np.zeros(before.shape, before.dtype)
        return record(
            values._data.astype(before.dtype),
            "copy",
            (before, lambda g: nothing),
            (values, lambda g: g),
        )

    return self._become(function)


@quiet
def fill_(self: Tensor, value: Any) -> Tensor:
    """Every element ``value``, a number or a Tensor of one, in place."""
    if np.ndim(to_array(value)):
        raise RuntimeError(f"value must be a number, got shape {np.shape(to_array(value))}")
    return copy_(self, value)


def fill_diagonal_(self: Tensor, fill_value: Any) -> Tensor:
    """``fill_value`` on a matrix's diagonal, in place."""
    if self.ndim != 2:
        raise RuntimeError(f"fill_diagonal_ needs a matrix, got shape {self.shape}")
    places = np.arange(min(self.shape))
    indexing.setitem(self, (places, places), fill_value)
    return self


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
    mean, std = (v.item() if isinstance(v, Tensor) else v for v in (mean, std))
    return _drawn(self, lambda values: random.normal_(values, mean, std, generator))


def bernoulli_(self: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    """1 with the probability ``p``, else 0, in place."""
    return copy_(self, random.bernoulli_mask(self.shape, p, generator))


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
    return shape.transpose(self, -2, -1) if self.ndim else shape.clone(self)


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
        setattr(Tensor, f"__{name}__", _operator(name, getattr(comparison, name)))
    own: dict[str, Any] = {
        "__neg__": elementwise.neg,
        "__pos__": lambda self: self,
        "__abs__": functions.abs,
        "__invert__": comparison.bitwise_not,
        "__getitem__": indexing.getitem,
        "__setitem__": indexing.setitem,
        "where": where,
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
        "bernoulli_": bernoulli_,
        "fill_diagonal_": fill_diagonal_,
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
                "short": np.int16,
                "char": np.int8,
                "byte": np.uint8,
                "bool": np.bool_,
            }.items()
        },
    }
    for name, value in own.items():
        setattr(Tensor, name, value)
    Tensor.__hash__ = lambda self: id(self)  # type: ignore[method-assign]
    tensor_module._UFUNC_OPERATORS.update(_UFUNCS)


_install()
