"""Operations on every element: arithmetic with broadcasting, choices, activations.

In each, ``g`` is the gradient of the output; ``record`` sums it to the shape of an input that was
broadcast.
"""

from typing import Any, overload

import numpy as np

from numpy_impl.tensor.promotion import as_float, needs_numbers, operands, quiet, result_type
from numpy_impl.tensor.tensor import Operand, Tensor, TensorLike, record, to_array
from numpy_impl.types import Array


def _step(values: Any, name: str, *inputs: Any) -> Tensor:
    """A function that is flat wherever it is smooth: no gradient, but 0."""
    values = np.asarray(values)
    nothing = np.zeros(values.shape, values.dtype)
    return record(values, name, *((value, lambda g: nothing) for value in inputs))


# -- arithmetic ------------------------------------------------------------------------------------


def _scaled(b: Any, alpha: float) -> Any:
    if alpha == 1:
        return b
    if isinstance(alpha, float) and np.asarray(b).dtype.kind != "f":
        raise TypeError(f"alpha must be an integer for integer Tensors, got {alpha}")
    return alpha * b


@quiet
def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``; derivatives 1 and alpha."""
    a, b = operands(input, other)
    output = np.add(a, _scaled(b, alpha))
    return record(output, "add", (input, lambda g: g), (other, lambda g: _scaled(g, alpha)))


@quiet
def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``; derivatives 1 and -alpha."""
    for value in (input, other):
        if isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_:
            raise TypeError("sub is not defined for bool: use ^ or logical_xor")
    a, b = operands(input, other)
    output = np.subtract(a, _scaled(b, alpha))
    return record(output, "sub", (input, lambda g: g), (other, lambda g: -_scaled(g, alpha)))


subtract = sub


def rsub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """``other - alpha * input``: sub with its operands exchanged."""
    return sub(other, input, alpha=alpha)


@quiet
def mul(input: Operand, other: Operand) -> Tensor:
    """``input * other``; each one's derivative is the other."""
    a, b = operands(input, other)
    return record(np.multiply(a, b), "mul", (input, lambda g: g * b), (other, lambda g: g * a))


multiply = mul


@quiet
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``; of integers a float. ``rounding_mode`` is "floor" or "trunc"."""
    if rounding_mode is not None:
        return _rounded_quotient(input, other, rounding_mode)
    a, b = operands(input, other)
    if result_type(a, b).kind != "f":
        a, b = as_float(a), as_float(b)
    output = np.divide(a, b)
    return record(output, "div", (input, lambda g: g / b), (other, lambda g: -g * (output / b)))


divide = true_divide = div


def _of_numbers(name: str, input: Operand, other: Operand) -> tuple[Any, Any]:
    """The operands of a division whose result keeps their dtype."""
    a, b = operands(input, other)
    needs_numbers(a, name)
    if np.result_type(a, b).kind in "iu" and np.size(a) and not np.all(b):
        raise RuntimeError(f"{name} of integers by 0 is not defined: other has a 0")
    return a, b


def _rounded_quotient(input: Operand, other: Operand, rounding_mode: str) -> Tensor:
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(f"rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    a, b = _of_numbers("div with rounding_mode", input, other)
    if rounding_mode == "floor":
        output = np.floor_divide(a, b)
    elif np.result_type(a, b).kind == "f":
        output = np.trunc(a / b)
    else:
        output = (a - np.fmod(a, b)) // b
    return _step(output, "div", input, other)


@quiet
def floor_divide(input: Operand, other: Operand) -> Tensor:
    """``input // other``; the gradient is 0 (torch refuses one)."""
    return _rounded_quotient(input, other, "floor")


@quiet
def remainder(input: Operand, other: Operand) -> Tensor:
    """``input % other``, with the sign of ``other``; derivatives 1 and -(input // other)."""
    a, b = _of_numbers("remainder", input, other)
    whole = np.floor_divide(a, b)
    return record(
        np.remainder(a, b), "remainder", (input, lambda g: g), (other, lambda g: -g * whole)
    )


@quiet
def fmod(input: Operand, other: Operand) -> Tensor:
    """The rest of ``input / other`` with the sign of ``input``; other's: -trunc(a / b)."""
    a, b = _of_numbers("fmod", input, other)
    return record(
        np.fmod(a, b), "fmod", (input, lambda g: g), (other, lambda g: -g * np.trunc(a / b))
    )


def neg(input: TensorLike) -> Tensor:
    """``-input``, of every element."""
    return record(-needs_numbers(input, "neg"), "neg", (input, lambda g: -g))


negative = neg


@quiet
def pow(input: Operand, exponent: Operand) -> Tensor:
    """``input ** exponent``; derivatives n x**(n-1) and y log(x)."""
    x, n = operands(input, exponent)
    if np.result_type(x, n) == np.bool_:
        raise TypeError("pow is not defined for a bool to the power of a bool")
    is_square = isinstance(n, int | float) and n == 2
    output = np.square(x) if is_square else np.power(x, n)

    def to_input(g: Array) -> Array:
        # where the exponent is 0 the output is constant, also at 0
        slope = 2 * x if is_square else n * np.power(x, n - 1)
        return np.where(np.asarray(n) == 0, 0, g * slope)

    def to_exponent(g: Array) -> Array:
        flat = (np.asarray(x) == 0) & (np.asarray(n) >= 0)
        return np.where(flat, 0, g * (output * np.log(x)))

    return record(output, "pow", (input, to_input), (exponent, to_exponent))


@quiet
def square(input: TensorLike) -> Tensor:
    """``input * input``; derivative 2 x."""
    x = to_array(input)
    x = x.astype(np.int64) if x.dtype == np.bool_ else x
    return record(np.square(x), "square", (input, lambda g: 2 * g * x))


@quiet
def hypot(input: Operand, other: Operand) -> Tensor:
    """``sqrt(input**2 + other**2)``; derivatives input / y and other / y."""
    a, b = operands(input, other)
    y = np.hypot(a, b)
    return record(y, "hypot", (input, lambda g: g * (a / y)), (other, lambda g: g * (b / y)))


@quiet
def atan2(input: Operand, other: Operand) -> Tensor:
    """The angle of the point (other, input)."""
    a, b = operands(input, other)
    size = np.square(a) + np.square(b)
    size = np.where(size == 0, 1, size)  # at the origin the gradient is 0
    return record(
        np.arctan2(a, b),
        "atan2",
        (input, lambda g: g * (b / size)),
        (other, lambda g: g * (-a / size)),
    )


arctan2 = atan2


@quiet
def logaddexp(input: Operand, other: Operand) -> Tensor:
    """``log(exp(input) + exp(other))``, without overflow."""
    a, b = operands(input, other)
    return record(
        np.logaddexp(a, b),
        "logaddexp",
        (input, lambda g: g / (1 + np.exp(b - a))),
        (other, lambda g: g / (1 + np.exp(a - b))),
    )


@quiet
def xlogy(input: Operand, other: Operand) -> Tensor:
    """``input * log(other)``, which is 0 where ``input`` is, even at ``other`` 0."""
    a, b = (as_float(value) for value in operands(input, other))
    log = np.log(b)
    return record(
        np.where((a == 0) & ~np.isnan(b), 0, a * log),
        "xlogy",
        (input, lambda g: np.where((a == 0) & (b <= 0), 0, g * log)),
        (other, lambda g: g * (a / b)),
    )


def addcmul(input: Operand, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, element by element."""
    return add(input, mul(tensor1, tensor2), alpha=value)


def addcdiv(input: Operand, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, element by element."""
    return add(input, div(tensor1, tensor2), alpha=value)


def lerp(input: Operand, end: Operand, weight: Operand) -> Tensor:
    """``input + weight * (end - input)``."""
    return add(input, mul(weight, sub(end, input)))


# -- choices ---------------------------------------------------------------------------------------


def clamp(input: TensorLike, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """``input`` between ``min`` and ``max``, which may be numbers, Tensors or None.

    The gradient passes where the input lies within the limits, these included; a limit's where it
    is the output.
    """
    if min is None and max is None:
        raise ValueError("clamp needs min or max, got None for both")
    limits = [limit for limit in (min, max) if limit is not None]
    x, *bounds = operands(input, *limits)
    x = np.asarray(x)
    if not all(isinstance(limit, Tensor | np.ndarray) for limit in limits):
        needs_numbers(x, "clamp")
    low: Any = bounds[0] if min is not None else None
    high: Any = bounds[-1] if max is not None else None
    y = x if low is None else np.maximum(x, low)
    y = y if high is None else np.minimum(y, high)
    inside = (True if low is None else x >= low) & (True if high is None else x <= high)

    def to_min(g: Array) -> Array:
        return np.where((x < low) & (True if high is None else np.less(low, high)), g, 0)

    def to_max(g: Array) -> Array:
        return np.where((x > high) | (False if low is None else np.greater(low, high)), g, 0)

    return record(
        y.astype(result_type(input, *limits), copy=False),
        "clamp",
        (input, lambda g: np.where(inside, g, 0)),
        (min, to_min),
        (max, to_max),
    )


clip = clamp


def clamp_min(input: TensorLike, min: Operand) -> Tensor:
    """``input``, but at least ``min``."""
    return clamp(input, min=min)


def clamp_max(input: TensorLike, max: Operand) -> Tensor:
    """``input``, but at most ``max``."""
    return clamp(input, max=max)


def _won(g: Array, one: Any, another: Any, wins: np.ufunc) -> Array:
    """The gradient for ``one`` where it wins; equal ones share it, next to NaN each gets all."""
    return np.where(one == another, g / 2, np.where(wins(another, one), 0, g))


def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of two; equal ones share the gradient."""
    a, b = operands(input, other)
    return record(
        np.maximum(a, b),
        "maximum",
        (input, lambda g: _won(g, a, b, np.greater)),
        (other, lambda g: _won(g, b, a, np.greater)),
    )


def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of two; equal ones share the gradient."""
    a, b = operands(input, other)
    return record(
        np.minimum(a, b),
        "minimum",
        (input, lambda g: _won(g, a, b, np.less)),
        (other, lambda g: _won(g, b, a, np.less)),
    )


def fmax(input: Operand, other: Operand) -> Tensor:
    """The larger of two, where one is NaN the other; equal ones: the gradient is the first's."""
    a, b = operands(input, other)
    first = np.greater_equal(a, b) | np.isnan(b)
    return record(
        np.fmax(a, b),
        "fmax",
        (input, lambda g: np.where(first, g, 0)),
        (other, lambda g: np.where(first, 0, g)),
    )


def fmin(input: Operand, other: Operand) -> Tensor:
    """The smaller of two, where one is NaN the other; equal ones: the gradient is the first's."""
    a, b = operands(input, other)
    first = np.less_equal(a, b) | np.isnan(b)
    return record(
        np.fmin(a, b),
        "fmin",
        (input, lambda g: np.where(first, g, 0)),
        (other, lambda g: np.where(first, 0, g)),
    )


def _mask(value: TensorLike, name: str) -> Array:
    mask = np.asarray(to_array(value))
    if mask.dtype != np.bool_:
        raise TypeError(f"{name} must be boolean, got {mask.dtype}")
    return mask


@overload
def where(condition: TensorLike) -> tuple[Tensor, ...]: ...
@overload
def where(condition: TensorLike, input: Operand, other: Operand) -> Tensor: ...
def where(condition: TensorLike, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition is true, ``other`` elsewhere; alone: the indices of truths."""
    if input is None and other is None:
        found = np.atleast_1d(to_array(condition)).nonzero()
        return tuple(Tensor(index) for index in found)
    mask = _mask(condition, "condition")
    a, b = operands(input, other)
    return record(
        np.where(mask, a, b).astype(result_type(input, other), copy=False),
        "where",
        (input, lambda g: np.where(mask, g, 0)),
        (other, lambda g: np.where(mask, 0, g)),
    )


def masked_fill(input: TensorLike, mask: TensorLike, value: Operand) -> Tensor:
    """``value``, a number or a Tensor of one, where the mask is true, ``input`` elsewhere."""
    x, fill, chosen = to_array(input), to_array(value), _mask(mask, "mask")
    if np.ndim(fill):
        raise ValueError(f"value must be a number or have no axes, got shape {np.shape(fill)}")
    if x.dtype.kind != "f" and not np.isfinite(fill):
        raise ValueError(f"value must fit into {x.dtype}, got {fill}")
    return record(
        np.where(chosen, np.asarray(fill).astype(x.dtype), x),
        "masked_fill",
        (input, lambda g: np.where(chosen, 0, g)),
        (value, lambda g: np.where(chosen, g, 0)),
    )


def nan_to_num(
    input: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """With numbers for NaN and the infinities (the largest, the lowest); there no gradient."""
    x = to_array(input)
    finite = np.isfinite(x)
    output = np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf)
    return record(output, "nan_to_num", (input, lambda g: np.where(finite, g, 0)))


def heaviside(input: TensorLike, values: TensorLike) -> Tensor:
    """0 below 0 (and for NaN), 1 above, ``values`` at 0; no gradient flows."""
    x, at_zero = operands(input, values)
    return Tensor(np.asarray(np.where(x == 0, at_zero, (x > 0).astype(x.dtype))))


# -- activations -----------------------------------------------------------------------------------


def sigmoid(input: TensorLike) -> Tensor:
    """1 / (1 + exp(-x)), without overflow; derivative y (1 - y)."""
    x = as_float(input)
    small = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, small) / (1 + small)
    return record(y, "sigmoid", (input, lambda g: g * y * (1 - y)))


def tanh(input: TensorLike) -> Tensor:
    """The hyperbolic tangent of every element; derivative 1 - y**2."""
    y = np.tanh(as_float(input))
    return record(y, "tanh", (input, lambda g: g * (1 - y * y)))


def relu(input: TensorLike) -> Tensor:
    """max(x, 0); derivative 0 at 0."""
    x = needs_numbers(input, "relu")
    y = np.maximum(x, 0)
    return record(y, "relu", (input, lambda g: np.where(y <= 0, 0, g)))
