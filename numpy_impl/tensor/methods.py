"""The operations as methods of Tensor, by torch's names.

The classes' bodies are the table: the type checker takes :class:`Methods` for a base of Tensor, and
at run time, where these functions need Tensor first, its contents are put into it.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, overload

import numpy as np

from numpy_impl.tensor import (
    comparison,
    creation,
    elementwise,
    functions,
    indexing,
    joining,
    linalg,
    reduction,
    shape,
    sorting,
    views,
)
from numpy_impl.tensor import tensor as tensor_module
from numpy_impl.tensor.inplace import InPlace
from numpy_impl.tensor.operators import UFUNCS, Operators
from numpy_impl.tensor.promotion import quiet
from numpy_impl.tensor.tensor import Operand, Tensor, TensorLike, record
from numpy_impl.types import DType, DTypeLike

_P = ParamSpec("_P")


@quiet
def cast(self: Tensor, dtype: DTypeLike) -> Tensor:
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


def type_as(self: Tensor, other: TensorLike) -> Tensor:
    """In the dtype of ``other``."""
    return cast(self, other.dtype)


@overload
def to_type(self: Tensor, dtype: None = None) -> str: ...
@overload
def to_type(self: Tensor, dtype: DTypeLike) -> Tensor: ...
def to_type(self: Tensor, dtype: DType = None) -> Tensor | str:
    """In another dtype; without one the name of its own."""
    return f"numpy_impl.{self.dtype}" if dtype is None else cast(self, dtype)


def _caster(name: str, dtype: type[np.generic]) -> Callable[[Tensor], Tensor]:
    def method(self: Tensor) -> Tensor:
        return cast(self, dtype)

    method.__name__, method.__doc__ = name, f"In {np.dtype(dtype)}."
    return method


def cpu(self: Tensor) -> Tensor:
    """The Tensor itself: there is no other place."""
    return self


def where(self: Tensor, condition: TensorLike, other: Operand) -> Tensor:
    """The Tensor where the condition is true, ``other`` elsewhere."""
    return elementwise.where(condition, self, other)


def _new(function: Callable[_P, Tensor]) -> Callable[Concatenate[Tensor, _P], Tensor]:
    @functools.wraps(function)
    def method(self: Tensor, /, *args: _P.args, **kwargs: _P.kwargs) -> Tensor:
        if kwargs.get("dtype") is None:
            kwargs["dtype"] = self.dtype
        return function(*args, **kwargs)

    return method


class Methods(InPlace, Operators):
    """What Tensor has beside its own."""

    is_cuda = False

    @property
    def T(self: Any) -> Tensor:
        """The axes in reverse order."""
        return shape.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self: Any) -> Tensor:
        """The last two axes exchanged."""
        return shape.transpose(self, -2, -1) if self.ndim else shape.reshape(self, ())

    @property
    def device(self) -> creation.device:
        """Where it lives: the CPU."""
        return creation.device()

    add = elementwise.add
    addcdiv = elementwise.addcdiv
    addcmul = elementwise.addcmul
    arctan2 = elementwise.arctan2
    atan2 = elementwise.atan2
    clamp = elementwise.clamp
    clamp_max = elementwise.clamp_max
    clamp_min = elementwise.clamp_min
    clip = elementwise.clip
    detach = views.detached
    div = elementwise.div
    divide = elementwise.divide
    floor_divide = elementwise.floor_divide
    fmax = elementwise.fmax
    fmin = elementwise.fmin
    fmod = elementwise.fmod
    heaviside = elementwise.heaviside
    hypot = elementwise.hypot
    lerp = elementwise.lerp
    logaddexp = elementwise.logaddexp
    masked_fill = elementwise.masked_fill
    maximum = elementwise.maximum
    minimum = elementwise.minimum
    mul = elementwise.mul
    multiply = elementwise.multiply
    nan_to_num = elementwise.nan_to_num
    neg = elementwise.neg
    negative = elementwise.negative
    pow = elementwise.pow
    relu = elementwise.relu
    remainder = elementwise.remainder
    sigmoid = elementwise.sigmoid
    square = elementwise.square
    sub = elementwise.sub
    subtract = elementwise.subtract
    tanh = elementwise.tanh
    true_divide = elementwise.true_divide
    xlogy = elementwise.xlogy
    abs = functions.abs
    absolute = functions.absolute
    acos = functions.acos
    acosh = functions.acosh
    arccos = functions.arccos
    arcsin = functions.arcsin
    arctan = functions.arctan
    asin = functions.asin
    asinh = functions.asinh
    atan = functions.atan
    atanh = functions.atanh
    ceil = functions.ceil
    cos = functions.cos
    cosh = functions.cosh
    exp = functions.exp
    exp2 = functions.exp2
    expm1 = functions.expm1
    fix = functions.fix
    floor = functions.floor
    frac = functions.frac
    log = functions.log
    log10 = functions.log10
    log1p = functions.log1p
    log2 = functions.log2
    logit = functions.logit
    reciprocal = functions.reciprocal
    round = functions.round
    rsqrt = functions.rsqrt
    sgn = functions.sgn
    sign = functions.sign
    sin = functions.sin
    sinh = functions.sinh
    sqrt = functions.sqrt
    tan = functions.tan
    trunc = functions.trunc
    allclose = comparison.allclose
    bitwise_and = comparison.bitwise_and
    bitwise_left_shift = comparison.bitwise_left_shift
    bitwise_not = comparison.bitwise_not
    bitwise_or = comparison.bitwise_or
    bitwise_right_shift = comparison.bitwise_right_shift
    bitwise_xor = comparison.bitwise_xor
    eq = comparison.eq
    equal = comparison.equal
    ge = comparison.ge
    greater = comparison.greater
    greater_equal = comparison.greater_equal
    gt = comparison.gt
    is_floating_point = comparison.is_floating_point
    is_sparse = False
    isclose = comparison.isclose
    isfinite = comparison.isfinite
    isinf = comparison.isinf
    isnan = comparison.isnan
    le = comparison.le
    less = comparison.less
    less_equal = comparison.less_equal
    logical_and = comparison.logical_and
    logical_not = comparison.logical_not
    logical_or = comparison.logical_or
    logical_xor = comparison.logical_xor
    lt = comparison.lt
    ne = comparison.ne
    not_equal = comparison.not_equal
    all = reduction.all
    amax = reduction.amax
    amin = reduction.amin
    any = reduction.any
    count_nonzero = reduction.count_nonzero
    cumprod = reduction.cumprod
    cumsum = reduction.cumsum
    log_softmax = reduction.log_softmax
    logsumexp = reduction.logsumexp
    mean = reduction.mean
    nanmean = reduction.nanmean
    nansum = reduction.nansum
    norm = reduction.norm
    prod = reduction.prod
    softmax = reduction.softmax
    std = reduction.std
    sum = reduction.sum
    var = reduction.var
    aminmax = sorting.aminmax
    argmax = sorting.argmax
    argmin = sorting.argmin
    argsort = sorting.argsort
    argwhere = sorting.argwhere
    bincount = sorting.bincount
    histc = sorting.histc
    kthvalue = sorting.kthvalue
    max = sorting.max
    median = sorting.median
    min = sorting.min
    nonzero = sorting.nonzero
    sort = sorting.sort
    topk = sorting.topk
    unique = sorting.unique
    broadcast_to = shape.broadcast_to
    clone = shape.clone
    contiguous = shape.contiguous
    diag = shape.diag
    diag_embed = shape.diag_embed
    diagonal = shape.diagonal
    expand = shape.expand
    expand_as = shape.expand_as
    flatten = shape.flatten
    flip = shape.flip
    fliplr = shape.fliplr
    flipud = shape.flipud
    moveaxis = shape.moveaxis
    movedim = shape.movedim
    permute = shape.permute
    ravel = shape.ravel
    repeat = shape.repeat
    reshape = shape.reshape
    reshape_as = shape.reshape_as
    roll = shape.roll
    rot90 = shape.rot90
    squeeze = shape.squeeze
    swapaxes = shape.swapaxes
    swapdims = shape.swapdims
    t = shape.t
    tile = shape.tile
    transpose = shape.transpose
    tril = shape.tril
    triu = shape.triu
    unflatten = shape.unflatten
    unsqueeze = shape.unsqueeze
    view = shape.view
    view_as = shape.view_as
    chunk = joining.chunk
    split = joining.split
    tensor_split = joining.tensor_split
    hsplit = joining.hsplit
    vsplit = joining.vsplit
    dsplit = joining.dsplit
    unbind = joining.unbind
    diff = indexing.diff
    gather = indexing.gather
    index_add = indexing.index_add
    index_copy = indexing.index_copy
    index_fill = indexing.index_fill
    index_select = indexing.index_select
    masked_scatter = indexing.masked_scatter
    masked_select = indexing.masked_select
    narrow = indexing.narrow
    repeat_interleave = indexing.repeat_interleave
    scatter = indexing.scatter
    scatter_add = indexing.scatter_add
    select = indexing.select
    take = indexing.take
    take_along_dim = indexing.take_along_dim
    unfold = indexing.unfold
    addmm = linalg.addmm
    addmv = linalg.addmv
    baddbmm = linalg.baddbmm
    bmm = linalg.bmm
    cross = linalg.cross
    dist = linalg.dist
    dot = linalg.dot
    ger = linalg.ger
    inner = linalg.inner
    kron = linalg.kron
    matmul = linalg.matmul
    mm = linalg.mm
    mv = linalg.mv
    outer = linalg.outer
    trace = linalg.trace
    vdot = linalg.vdot
    bernoulli = creation.bernoulli
    where = where
    to = to
    type = to_type
    type_as = type_as
    cpu = cpu
    is_contiguous = views.is_contiguous
    if not TYPE_CHECKING:  # which would find any attribute
        __getattr__ = views.forgotten
    new_zeros = _new(creation.zeros)
    new_ones = _new(creation.ones)
    new_empty = _new(creation.empty)
    new_full = _new(creation.full)
    new_tensor = _new(creation.tensor)
    double = _caster("double", np.float64)
    long = _caster("long", np.int64)
    short = _caster("short", np.int16)
    char = _caster("char", np.int8)
    byte = _caster("byte", np.uint8)
    # last, since from here on they hide Python's
    float = _caster("float", np.float32)
    int = _caster("int", np.int32)
    bool = _caster("bool", np.bool_)


def _install() -> None:
    for cls in (Operators, InPlace, Methods):
        for name, value in vars(cls).items():
            if callable(value) or not name.startswith("__"):  # not what every class has
                setattr(Tensor, name, value)
    Tensor.__init_subclass__ = classmethod(views.keep_forgotten)  # type: ignore[assignment]
    tensor_module._UFUNC_OPERATORS.update(UFUNCS)


_install()
