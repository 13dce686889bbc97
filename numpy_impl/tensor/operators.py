"""Python's operators on Tensors, and NumPy's functions that are one of them."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np

from numpy_impl.tensor import comparison, elementwise, functions, indexing, linalg
from numpy_impl.tensor.inplace import in_place
from numpy_impl.tensor.tensor import Operand, Tensor

UFUNCS = {
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


def operator(function: Callable[[Any, Any], Tensor]) -> Callable[[Tensor, Operand], Tensor]:
    """The operator that is ``function`` of the Tensor and the other operand."""

    def forwards(self: Tensor, other: Operand) -> Tensor:
        return function(self, other) if is_operand(other) else NotImplemented

    return forwards


def reflected(function: Callable[[Any, Any], Tensor]) -> Callable[[Tensor, Operand], Tensor]:
    """The same for a Tensor on the right."""

    def backwards(self: Tensor, other: Operand) -> Tensor:
        return function(other, self) if is_operand(other) else NotImplemented

    return backwards


def is_operand(value: Any) -> bool:
    """Whether operators take it; else Python asks the other operand."""
    return isinstance(value, Tensor | int | float | np.ndarray | np.generic)


class Operators:
    """What :class:`Methods` has of them."""

    __add__ = operator(elementwise.add)
    __sub__ = operator(elementwise.sub)
    __mul__ = operator(elementwise.mul)
    __truediv__ = operator(elementwise.div)
    __floordiv__ = operator(elementwise.floor_divide)
    __mod__ = operator(elementwise.remainder)
    __pow__ = operator(elementwise.pow)
    __matmul__ = operator(linalg.matmul)
    __and__ = operator(comparison.bitwise_and)
    __or__ = operator(comparison.bitwise_or)
    __xor__ = operator(comparison.bitwise_xor)
    __lshift__ = operator(comparison.bitwise_left_shift)
    __rshift__ = operator(comparison.bitwise_right_shift)
    __radd__ = reflected(elementwise.add)
    __rsub__ = reflected(elementwise.sub)
    __rmul__ = reflected(elementwise.mul)
    __rtruediv__ = reflected(elementwise.div)
    __rfloordiv__ = reflected(elementwise.floor_divide)
    __rmod__ = reflected(elementwise.remainder)
    __rpow__ = reflected(elementwise.pow)
    __rmatmul__ = reflected(linalg.matmul)
    __rand__ = reflected(comparison.bitwise_and)
    __ror__ = reflected(comparison.bitwise_or)
    __rxor__ = reflected(comparison.bitwise_xor)
    __rlshift__ = reflected(comparison.bitwise_left_shift)
    __rrshift__ = reflected(comparison.bitwise_right_shift)
    __iadd__ = in_place(elementwise.add)
    __isub__ = in_place(elementwise.sub)
    __imul__ = in_place(elementwise.mul)
    __itruediv__ = in_place(elementwise.div)
    __ifloordiv__ = in_place(elementwise.floor_divide)
    __imod__ = in_place(elementwise.remainder)
    __ipow__ = in_place(elementwise.pow)
    __imatmul__ = in_place(linalg.matmul)
    __iand__ = in_place(comparison.bitwise_and)
    __ior__ = in_place(comparison.bitwise_or)
    __ixor__ = in_place(comparison.bitwise_xor)
    __ilshift__ = in_place(comparison.bitwise_left_shift)
    __irshift__ = in_place(comparison.bitwise_right_shift)
    __lt__ = operator(comparison.lt)
    __le__ = operator(comparison.le)
    __gt__ = operator(comparison.gt)
    __ge__ = operator(comparison.ge)
    __neg__ = elementwise.neg
    __abs__ = functions.abs
    __invert__ = comparison.bitwise_not
    __getitem__ = indexing.getitem
    __setitem__ = indexing.setitem

    def __pos__(self) -> Self:
        return self

    # Python's own return a bool
    def __eq__(self: Any, other: Any) -> Tensor:  # type: ignore[override]
        return comparison.eq(self, other) if is_operand(other) else NotImplemented

    def __ne__(self: Any, other: Any) -> Tensor:  # type: ignore[override]
        return comparison.ne(self, other) if is_operand(other) else NotImplemented
