"""Operations on every element: arithmetic with broadcasting, functions, comparisons, choices.

In each, ``g`` is the gradient of the output; ``record`` sums it to the shape of an input that was
broadcast.
"""

import math
from typing import Any

import numpy as np

from numpy_impl.tensor.tensor import Tensor, record, to_array

Array = np.ndarray
_KINDS = "biufc"  # a later kind wins: bool, int, float


def _rank(dtype: np.dtype) -> int:
    kind = "i" if dtype.kind == "u" else dtype.kind
    return _KINDS.index(kind)


def result_type(*operands: Any) -> np.dtype:
    """torch's dtype of a result: arrays decide; 0-d ones and numbers only by a higher kind.

    A float array with an integer one keeps its precision.
    """
    groups: list[list[np.dtype]] = [[], [], []]
    for operand in operands:
        value = to_array(operand)
        if isinstance(value, np.ndarray):
            groups[0 if value.ndim else 1].append(value.dtype)
        elif isinstance(value, bool | np.bool_):
            groups[2].append(np.dtype(np.bool_))
        elif isinstance(value, int | np.integer):
            groups[2].append(np.dtype(np.int64))
        else:
            groups[2].append(np.dtype(np.float32))
    best: np.dtype | None = None
    for group in groups:
        if not group:
            continue
        highest = max(map(_rank, group))
        found = np.result_type(*(dtype for dtype in group if _rank(dtype) == highest))
        if best is None or highest > _rank(best):
            best = found
    assert best is not None
    return best


def operands(*values: Any) -> list[Any]:
    """The values as arrays (numbers stay) of one dtype, torch's."""
    arrays = [to_array(value) for value in values]
    kinds = {a.dtype if isinstance(a, np.ndarray) else None for a in arrays}
    dtype = next(iter(kinds - {None}), None)
    if len(kinds - {None}) == 1 and dtype is not None and dtype.kind == "f":
        # NumPy promotes Python's numbers as torch does; its own scalars count as such
        return [a.item() if isinstance(a, np.generic) else a for a in arrays]
    dtype = result_type(*arrays)
    return [np.asarray(a, dtype) for a in arrays]


def as_float(value: Any) -> Array:
    """The array of ``value``; integers become float32, as in torch."""
    array = np.asarray(to_array(value))
    return array if array.dtype.kind == "f" else array.astype(np.float32)


# -- arithmetic ------------------------------------------------------------------------------------


def add(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input + alpha * other``; derivatives 1 and alpha."""
    a, b = operands(input, other)
    if alpha == 1:
        return record(np.add(a, b), "add", (input, lambda g: g), (other, lambda g: g))
    return record(a + alpha * b, "add", (input, lambda g: g), (other, lambda g: alpha * g))


def sub(input: Any, other: Any, *, alpha: Any = 1) -> Tensor:
    """``input - alpha * other``; derivatives 1 and -alpha."""
    a, b = operands(input, other)
    if alpha == 1:
        return record(np.subtract(a, b), "sub", (input, lambda g: g), (other, lambda g: -g))
    return record(a - alpha * b, "sub", (input, lambda g: g), (other, lambda g: -alpha * g))


def mul(input: Any, other: Any) -> Tensor:
    """``input * other``; each one's derivative is the other."""
    a, b = operands(input, other)
    return record(np.multiply(a, b), "mul", (input, lambda g: g * b), (other, lambda g: g * a))


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Tensor:
    """``input / other``; of integers a float. ``rounding_mode`` is "floor" or "trunc"."""
    if rounding_mode is not None:
        return _rounded_quotient(input, other, rounding_mode)
    a, b = operands(input, other)
    if result_type(a, b).kind != "f":
        a, b = as_float(a), as_float(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        output = np.divide(a, b)
    return record(output, "div", (input, lambda g: g / b), (other, lambda g: -g * (output / b)))


def _rounded_quotient(input: Any, other: Any, rounding_mode: str) -> Tensor:
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(f"rounding_mode must be None, 'floor' or 'trunc', got {rounding_mode!r}")
    a, b = operands(input, other)
    with np.errstate(divide="ignore", invalid="ignore"):
        output = np.floor_divide(a, b)
        if rounding_mode == "trunc":
            output = output + ((output < 0) & (output * b != a))
    nothing = np.zeros_like(output)
    return record(output, "div", (input, lambda g: nothing), (other, lambda g: nothing))


def floor_divide(input: Any, other: Any) -> Tensor:
    """``input // other``; no gradient flows (it is 0)."""
    return _rounded_quotient(input, other, "floor")


def remainder(input: Any, other: Any) -> Tensor:
    """``input % other``, with the sign of ``other``."""
    a, b = operands(input, other)
    with np.errstate(divide="ignore", invalid="ignore"):
        output, whole = np.remainder(a, b), np.floor_divide(a, b)
    return record(output, "remainder", (input, lambda g: g), (other, lambda g: -g * whole))


def neg(input: Any) -> Tensor:
    """``-input``, of every element."""
    return record(-to_array(input), "neg", (input, lambda g: -g))


def pow(input: Any, exponent: Any) -> Tensor:
    """``input ** exponent``; derivatives n x**(n-1) and y log(x)."""
    x, n = operands(input, exponent)
    with np.errstate(all="ignore"):
        output = np.square(x) if isinstance(n, int | float) and n == 2 else np.power(x, n)

    def to_input(g: Array) -> Array:
        with np.errstate(all="ignore"):
            # where the exponent is 0 the output is constant, also at 0
            slope = 2 * x if isinstance(n, int | float) and n == 2 else n * np.power(x, n - 1)
            return g * np.where(np.asarray(n) == 0, 0, slope)

    def to_exponent(g: Array) -> Array:
        with np.errstate(all="ignore"):
            flat = (np.asarray(x) == 0) & (np.asarray(n) >= 0)
            return g * np.where(flat, 0, output * np.log(x))

    return record(output, "pow", (input, to_input), (exponent, to_exponent))


# -- functions -------------------------------------------------------------------------------------


def abs(input: Any) -> Tensor:
    """The absolute value; derivative 0 at 0."""
    x = to_array(input)
    return record(np.abs(x), "abs", (input, lambda g: g * np.sign(x)))


def exp(input: Any) -> Tensor:
    """e to the power of ``input``; its own derivative."""
    with np.errstate(over="ignore"):
        y = np.exp(as_float(input))
    return record(y, "exp", (input, lambda g: g * y))


def expm1(input: Any) -> Tensor:
    """``exp(input) - 1``, exact near 0."""
    with np.errstate(over="ignore"):
        y = np.expm1(as_float(input))
    return record(y, "expm1", (input, lambda g: g * (y + 1)))


def log(input: Any) -> Tensor:
    """The natural logarithm; derivative 1 / x."""
    x = as_float(input)
    with np.errstate(divide="ignore", invalid="ignore"):
        return record(np.log(x), "log", (input, lambda g: _quotient(g, x)))


def log1p(input: Any) -> Tensor:
    """``log(1 + input)``, exact near 0."""
    x = as_float(input)
    with np.errstate(divide="ignore", invalid="ignore"):
        return record(np.log1p(x), "log1p", (input, lambda g: _quotient(g, x + 1)))


def log2(input: Any) -> Tensor:
    """The logarithm to base 2; derivative 1 / (x log 2)."""
    x = as_float(input)
    with np.errstate(divide="ignore", invalid="ignore"):
        return record(np.log2(x), "log2", (input, lambda g: _quotient(g, x * math.log(2))))


def log10(input: Any) -> Tensor:
    """The logarithm to base 10; derivative 1 / (x log 10)."""
    x = as_float(input)
    with np.errstate(divide="ignore", invalid="ignore"):
        return record(np.log10(x), "log10", (input, lambda g: _quotient(g, x * math.log(10))))


def _quotient(a: Any, b: Any) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(a / b)


def sqrt(input: Any) -> Tensor:
    """The square root; derivative 1 / (2 y)."""
    with np.errstate(invalid="ignore"):
        y = np.sqrt(as_float(input))
    return record(y, "sqrt", (input, lambda g: _quotient(g, 2 * y)))


def rsqrt(input: Any) -> Tensor:
    """``1 / sqrt(input)``; derivative -y**3 / 2."""
    x = as_float(input)
    with np.errstate(divide="ignore", invalid="ignore"):
        y = 1 / np.sqrt(x)
    return record(y, "rsqrt", (input, lambda g: -0.5 * g * y**3))


def square(input: Any) -> Tensor:
    """``input * input``; derivative 2 x."""
    x = to_array(input)
    return record(np.square(x), "square", (input, lambda g: 2 * g * x))


def reciprocal(input: Any) -> Tensor:
    """``1 / input``; derivative -y**2."""
    y = _quotient(1, as_float(input))
    return record(y, "reciprocal", (input, lambda g: -g * y * y))


def sin(input: Any) -> Tensor:
    """The sine of every element; derivative the cosine."""
    x = as_float(input)
    return record(np.sin(x), "sin", (input, lambda g: g * np.cos(x)))


def cos(input: Any) -> Tensor:
    """The cosine of every element; derivative minus the sine."""
    x = as_float(input)
    return record(np.cos(x), "cos", (input, lambda g: -g * np.sin(x)))


def tan(input: Any) -> Tensor:
    """The tangent of every element; derivative 1 + y**2."""
    y = np.tan(as_float(input))
    return record(y, "tan", (input, lambda g: g * (1 + y * y)))


def atan(input: Any) -> Tensor:
    """The arc tangent of every element; derivative 1 / (1 + x**2)."""
    x = as_float(input)
    return record(np.arctan(x), "atan", (input, lambda g: g / (1 + x * x)))


def sinh(input: Any) -> Tensor:
    """The hyperbolic sine of every element; derivative cosh(x)."""
    x = as_float(input)
    return record(np.sinh(x), "sinh", (input, lambda g: g * np.cosh(x)))


def cosh(input: Any) -> Tensor:
    """The hyperbolic cosine of every element; derivative sinh(x)."""
    x = as_float(input)
    return record(np.cosh(x), "cosh", (input, lambda g: g * np.sinh(x)))


def sign(input: Any) -> Tensor:
    """-1, 0 or 1; derivative 0."""
    return _step(np.sign(to_array(input)), "sign", input)


def floor(input: Any) -> Tensor:
    """The largest whole number not above; derivative 0."""
    return _step(np.floor(to_array(input)), "floor", input)


def ceil(input: Any) -> Tensor:
    """The smallest whole number not below; derivative 0."""
    return _step(np.ceil(to_array(input)), "ceil", input)


def round(input: Any, *, decimals: int = 0) -> Tensor:
    """The nearest whole number, halves to the even one; derivative 0."""
    return _step(np.round(to_array(input), decimals), "round", input)


def trunc(input: Any) -> Tensor:
    """The whole number towards 0; derivative 0."""
    return _step(np.trunc(to_array(input)), "trunc", input)


def _step(values: Any, name: str, input: Any) -> Tensor:
    values = np.asarray(values)
    return record(values, name, (input, lambda g: np.zeros(values.shape, values.dtype)))


# -- choices ---------------------------------------------------------------------------------------


def clamp(input: Any, min: Any = None, max: Any = None) -> Tensor:
    """``input`` between ``min`` and ``max``, which may be numbers, Tensors or None.

    The gradient passes where the input lies within the limits, these included.
    """
    if min is None and max is None:
        raise ValueError("clamp needs min or max, got None for both")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        output = input if min is None else maximum_of(input, min)
        return output if max is None else minimum_of(output, max)
    x = to_array(input)
    x, *limits = operands(x, *(limit for limit in (min, max) if limit is not None))
    low = limits[0] if min is not None else None
    high = limits[-1] if max is not None else None
    y = np.asarray(np.clip(x, low, high)).astype(result_type(input, *limits), copy=False)

    def inside(g: Array) -> Array:
        passes = np.ones(np.shape(x), bool)
        if low is not None:
            passes &= ~(x < low)
        if high is not None:
            passes &= ~(x > high)
        return np.where(passes, g, 0)

    return record(y, "clamp", (input, inside))


clip = clamp


def clamp_min(input: Any, min: Any) -> Tensor:
    """``input``, but at least ``min``."""
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Tensor:
    """``input``, but at most ``max``."""
    return clamp(input, max=max)


def maximum_of(input: Any, limit: Any) -> Tensor:
    """clamp's lower limit as a Tensor: the input's is the gradient where they are equal."""
    a, b = operands(input, limit)
    return record(
        np.maximum(a, b),
        "clamp",
        (input, lambda g: np.where(a >= b, g, 0)),
        (limit, lambda g: np.where(a < b, g, 0)),
    )


def minimum_of(input: Any, limit: Any) -> Tensor:
    """clamp's upper limit as a Tensor."""
    a, b = operands(input, limit)
    return record(
        np.minimum(a, b),
        "clamp",
        (input, lambda g: np.where(a <= b, g, 0)),
        (limit, lambda g: np.where(a > b, g, 0)),
    )


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, element by element; equal ones share the gradient."""
    a, b = operands(input, other)
    half = np.equal(a, b) * np.asarray(0.5, np.result_type(a, b))
    return record(
        np.maximum(a, b),
        "maximum",
        (input, lambda g: g * (np.greater(a, b) + half)),
        (other, lambda g: g * (np.less(a, b) + half)),
    )


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, element by element; equal ones share the gradient."""
    a, b = operands(input, other)
    half = np.equal(a, b) * np.asarray(0.5, np.result_type(a, b))
    return record(
        np.minimum(a, b),
        "minimum",
        (input, lambda g: g * (np.less(a, b) + half)),
        (other, lambda g: g * (np.greater(a, b) + half)),
    )


def where(condition: Any, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition is true, ``other`` elsewhere; alone: the indices of truths."""
    mask = np.asarray(to_array(condition)).astype(bool, copy=False)
    if input is None and other is None:
        return tuple(Tensor(index) for index in np.nonzero(mask))
    a, b = operands(input, other)
    dtype = result_type(a, b)
    return record(
        np.where(mask, a, b).astype(dtype, copy=False),
        "where",
        (input, lambda g: np.where(mask, g, 0)),
        (other, lambda g: np.where(mask, 0, g)),
    )


def masked_fill(input: Any, mask: Any, value: Any) -> Tensor:
    """``value`` where the mask is true, ``input`` elsewhere."""
    x, fill = to_array(input), to_array(value)
    chosen = np.asarray(to_array(mask))
    if chosen.dtype != np.bool_:
        raise TypeError(f"mask must be boolean, got {chosen.dtype}")
    return record(
        np.where(chosen, np.asarray(fill, x.dtype), x),
        "masked_fill",
        (input, lambda g: np.where(chosen, 0, g)),
        (value, lambda g: np.where(chosen, g, 0)),
    )


def lerp(input: Any, end: Any, weight: Any) -> Tensor:
    """``input + weight * (end - input)``."""
    return add(input, mul(weight, sub(end, input)))


# -- activations -----------------------------------------------------------------------------------


def sigmoid(input: Any) -> Tensor:
    """1 / (1 + exp(-x)), without overflow; derivative y (1 - y)."""
    x = as_float(input)
    small = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, small) / (1 + small)
    return record(y, "sigmoid", (input, lambda g: g * y * (1 - y)))


def tanh(input: Any) -> Tensor:
    """The hyperbolic tangent of every element; derivative 1 - y**2."""
    y = np.tanh(as_float(input))
    return record(y, "tanh", (input, lambda g: g * (1 - y * y)))


def relu(input: Any) -> Tensor:
    """max(x, 0); derivative 0 at 0."""
    x = to_array(input)
    return record(np.maximum(x, 0), "relu", (input, lambda g: np.where(x <= 0, 0, g)))


# -- comparisons -----------------------------------------------------------------------------------


def _comparison(name: str, function: Any, docstring: str) -> Any:
    def compare(input: Any, other: Any) -> Tensor:
        return Tensor(np.asarray(function(*operands(input, other))))

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = docstring
    return compare


eq = _comparison("eq", np.equal, "Where ``input == other``: a Tensor of bool.")
ne = _comparison("ne", np.not_equal, "Where ``input != other``: a Tensor of bool.")
lt = _comparison("lt", np.less, "Where ``input < other``: a Tensor of bool.")
le = _comparison("le", np.less_equal, "Where ``input <= other``: a Tensor of bool.")
gt = _comparison("gt", np.greater, "Where ``input > other``: a Tensor of bool.")
ge = _comparison("ge", np.greater_equal, "Where ``input >= other``: a Tensor of bool.")
logical_and = _comparison("logical_and", np.logical_and, "Where both are true: a Tensor of bool.")
logical_or = _comparison("logical_or", np.logical_or, "Where at least one of the two is true.")
logical_xor = _comparison("logical_xor", np.logical_xor, "Where just one of them is true.")
bitwise_and = _comparison("bitwise_and", np.bitwise_and, "``input & other``, of bools or integers.")
bitwise_or = _comparison("bitwise_or", np.bitwise_or, "``input | other``, of bools or integers.")
bitwise_xor = _comparison("bitwise_xor", np.bitwise_xor, "``input ^ other``, of bools or integers.")


def logical_not(input: Any) -> Tensor:
    """Where ``input`` is false or 0."""
    return Tensor(np.logical_not(to_array(input)))


def bitwise_not(input: Any) -> Tensor:
    """``~input``, of bools or integers."""
    return Tensor(np.invert(to_array(input)))


def isnan(input: Any) -> Tensor:
    """Where ``input`` is NaN: a Tensor of bool."""
    return Tensor(np.isnan(to_array(input)))


def isinf(input: Any) -> Tensor:
    """Where ``input`` is an infinity."""
    return Tensor(np.isinf(to_array(input)))


def isfinite(input: Any) -> Tensor:
    """Where ``input`` is neither NaN nor an infinity."""
    return Tensor(np.isfinite(to_array(input)))


def equal(input: Any, other: Any) -> bool:
    """Whether two Tensors have the same shape and values."""
    return bool(np.array_equal(to_array(input), to_array(other)))


def allclose(
    input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` everywhere."""
    return bool(np.allclose(to_array(input), to_array(other), rtol, atol, equal_nan))
