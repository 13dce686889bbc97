"""What losses share: the reduction, and which gradients backward gives.

Most of them have one value for each element of their inputs: such a loss is a function for the
values, one for the gradient of each input, and a constructor (:class:`ElementwiseLoss`).

As in torch, infinities and NaN are computed with, silently, and nothing is left out because its
weight is 0: 0 * NaN is NaN.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array, warn
from numpy_impl.nn.module import Module
from numpy_impl.tensor.graph import fitted
from numpy_impl.types import Array

REDUCTIONS = ("mean", "sum", "none")
# what keeps denominators from 0: as in torch the float32 number, also in float64
EPSILON = float(np.float32(1e-12))


def check_reduction(
    size_average: Any, reduce: Any, reduction: str, allowed: tuple[str, ...] = REDUCTIONS
) -> str:
    """torch's deprecated pair of flags, or the modern name, checked."""
    if size_average is not None or reduce is not None:
        size_average = True if size_average is None else size_average
        reduce = True if reduce is None else reduce
        reduction = ("mean" if size_average else "sum") if reduce else "none"
        warn(f"size_average and reduce are deprecated: use reduction={reduction!r}")
    if reduction not in allowed:
        raise ValueError(f"reduction must be one of {', '.join(allowed)}, got {reduction!r}")
    return reduction


def reduced(values: Array, reduction: str, divisor: Any) -> Array:
    """The values, their sum, or the sum over ``divisor``: 0 / 0 for nothing, which is NaN."""
    if reduction == "none":
        return np.asarray(values)
    total = values.sum()
    return np.asarray(total if reduction == "sum" else total / values.dtype.type(divisor))


def unreduced(grad: Array, reduction: str, divisor: Any) -> Array:
    """The upstream gradient of every value before the reduction."""
    return grad if reduction in ("none", "sum") else np.asarray(grad / grad.dtype.type(divisor))


def check_target(value: Any, name: str, dtype: np.dtype[Any], integers: bool = False) -> Array:
    """A further input in the first one's dtype; integers, where torch takes them, converted."""
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype == dtype:
            return np.asarray(value)
        if integers and value.dtype.kind in "iu":
            return np.asarray(value, dtype)
    found = getattr(value, "dtype", type(value).__name__)
    or_integers = " or integers" if integers else ""
    raise TypeError(f"{name} must be an array of {dtype}{or_integers}, got {found}")


class Loss(Module):
    """The reduction, the upstream gradient, and whose gradients backward gives."""

    # the inputs that backward gives gradients for after a call with arrays: others are constants
    _differentiable: tuple[int, ...] = (0,)
    _reductions: tuple[str, ...] = REDUCTIONS
    _own_upstream = 1.0

    def __init__(
        self, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__()
        self.reduction = check_reduction(size_average, reduce, reduction, self._reductions)

    def _upstream(self, grad_output: Any) -> tuple[Any, ...]:
        """The checked upstream (a number stands for every element), and what forward saved."""
        if isinstance(grad_output, int | float | np.number) and self._call is not None:
            shape, dtype = self._call.output
            grad_output = np.full(shape, grad_output, dtype)
        return self.saved_for_backward(grad_output)

    def _grads(self, gradient: Callable[[int], Array | None]) -> Any:
        """What backward returns, made of the gradient of input i.

        In a graph those that are needed; after a call with arrays those of the inputs that are no
        constants.
        """
        needs = None if self._call is None else self._call.needs
        if needs is not None and any(needs[1:]):
            return tuple(gradient(i) if needed else None for i, needed in enumerate(needs))
        if needs is not None or self._differentiable == (0,):
            return gradient(0)
        return tuple(gradient(i) for i in self._differentiable)


class ElementwiseLoss(Loss):
    """A loss with one value for each element of its inputs, which are broadcast together.

    A subclass names its functions: of the inputs for the values; then, for each input, of the
    upstream gradient and the inputs for the gradient (None: it has none); and the attributes that
    are options of all of them, in their order. ``forward`` calls ``_forward``. An attribute
    ``weight`` multiplies the values.
    """

    _functions: tuple[Callable[..., Array] | None, ...]
    _options: tuple[str, ...] = ()
    _names: tuple[str, ...] = ("input", "target")
    _integers = True  # whether the inputs after the first may be integers
    # what the inputs' shapes may be: "warned" is any, with torch's warning where they differ
    _shapes: Literal["any", "warned", "input's", "equal"] = "any"

    def _checked(self, inputs: tuple[Any, ...]) -> list[Array]:
        """The inputs as floating-point arrays of one dtype."""
        first = check_array(inputs[0], self._names[0])
        others = zip(inputs[1:], self._names[1:], strict=True)
        return [first, *(check_target(v, n, first.dtype, self._integers) for v, n in others)]

    def _broadcast(self, arrays: list[Array]) -> list[Array]:
        shape, *others = [a.shape for a in arrays]
        if all(other == shape for other in others):
            return arrays
        name, rest = self._names[0], zip(self._names[1:], others, strict=True)
        shapes = f"{' and '.join(f'{n} {s}' for n, s in rest)} beside {name} {shape}"
        if self._shapes == "equal":
            raise ValueError(f"the shapes must be equal, got {shapes}")
        try:
            wide = np.broadcast_arrays(*arrays)
        except ValueError:
            raise ValueError(f"these do not broadcast: {shapes}") from None
        if self._shapes == "input's" and wide[0].shape != shape:
            raise ValueError(f"the rest must broadcast to {name}'s shape, got {shapes}")
        if self._shapes == "warned":
            warn(
                f"{type(self).__name__}: {shapes}: they are broadcast, which is rarely what was "
                "meant"
            )
        return list(wide)

    def _constants(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array | None, ...]:
        """What the functions take after the inputs, of the same shape: weights, or None."""
        return ()

    def _combined(self, values: Array) -> Array:
        """What is reduced: every value, unless a subclass combines some first."""
        return values

    def _spread(self, grad: Array, values_shape: tuple[int, ...]) -> Array:
        """The way back of ``_combined``, for the gradients of what it gave."""
        return grad

    def _divisor(self, input: Array, values: Array) -> int:
        """What ``"mean"`` divides by."""
        return values.size

    @silently
    def _forward(self, *inputs: Any) -> Array:
        arrays = self._checked(inputs)
        # as they are broadcast, and as they were passed: None for what is no array
        shapes = [(a.shape, getattr(v, "shape", None)) for a, v in zip(arrays, inputs, strict=True)]
        wide = self._broadcast(arrays)
        shape, dtype = wide[0].shape, wide[0].dtype
        given = [*wide, *self._constants(shape, dtype), *(getattr(self, n) for n in self._options)]
        value = self._functions[0]
        assert value is not None
        values = value(*given)
        weights = broadcast_buffer(self, "weight", shape, dtype)
        if weights is not None:
            values *= weights
        values = self._combined(values)
        divisor = self._divisor(arrays[0], values)
        output = reduced(values, self.reduction, divisor)
        self.save_for_backward(output, given, shapes, weights, divisor)
        return output

    @silently
    def backward(self, grad_output: Any = 1.0) -> Any:
        grad, given, shapes, weights, divisor = self._upstream(grad_output)
        grad = self._spread(unreduced(grad, self.reduction, divisor), given[0].shape)
        if weights is not None:
            grad = grad * weights

        def gradient(i: int) -> Array | None:
            if i + 1 == len(self._functions):
                raise RuntimeError(f"{self._names[i]} is a constant here: it has no derivative")
            function, (wide, shape) = self._functions[i + 1], shapes[i]
            if function is None or shape is None:
                return None
            found = function(grad, *given)
            return fitted(found, wide, found.dtype).reshape(shape)

        return self._grads(gradient)


class PairLoss(ElementwiseLoss):
    """An elementwise loss of input and target, without further inputs or checks."""

    def forward(self, input: Array, target: Array) -> Array:
        return self._forward(input, target)


def swapped(function: Callable[..., Array]) -> Callable[..., Array]:
    """The gradient for the target from that for the input, where the loss is the same in both."""

    def backward(dy: Array, x: Array, y: Array, *options: Any) -> Array:
        return function(dy, y, x, *options)

    return backward


def broadcast_buffer(
    loss: Module, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Array | None:
    """A weight that is a buffer or None, broadcast to a shape."""
    weight = getattr(loss, name, None)
    if weight is None:
        return None
    if weight.dtype != dtype:
        raise TypeError(f"input must have {name}'s dtype {weight.dtype}, got {dtype}")
    try:
        return np.broadcast_to(weight, shape)
    except ValueError:
        raise ValueError(f"{name} {weight.shape} does not broadcast to {shape}") from None
