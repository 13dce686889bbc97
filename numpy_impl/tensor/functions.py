"""Functions of one number, applied to every element: roots, logarithms, angles, rounding.

In each, ``x`` is the input, ``y`` the output, ``g`` the gradient of the output. Integers become
float32 where the results are no integers, as in torch.
"""

import math
from typing import Any

import numpy as np

from numpy_impl.tensor.elementwise import _step
from numpy_impl.tensor.promotion import as_float, needs_numbers, quiet
from numpy_impl.tensor.tensor import Tensor, TensorLike, record, to_array
from numpy_impl.types import Array


def _sign(x: Array) -> Array:
    """-1, 0 or 1; 0 for NaN, as in torch."""
    return np.asarray(x if x.dtype == np.bool_ else np.nan_to_num(np.sign(x)))


def abs(input: TensorLike) -> Tensor:
    """The absolute value; derivative 0 at 0."""
    x = needs_numbers(input, "abs")
    return record(np.abs(x), "abs", (input, lambda g: g * _sign(x)))


absolute = abs


@quiet
def exp(input: TensorLike) -> Tensor:
    """e to the power of ``input``; its own derivative."""
    y = np.exp(as_float(input))
    return record(y, "exp", (input, lambda g: g * y))


@quiet
def exp2(input: TensorLike) -> Tensor:
    """2 to the power of ``input``; derivative y log 2."""
    y = np.exp2(as_float(input))
    return record(y, "exp2", (input, lambda g: g * y * math.log(2)))


@quiet
def expm1(input: TensorLike) -> Tensor:
    """``exp(input) - 1``, exact near 0."""
    y = np.expm1(as_float(input))
    return record(y, "expm1", (input, lambda g: g * (y + 1)))


@quiet
def log(input: TensorLike) -> Tensor:
    """The natural logarithm; derivative 1 / x."""
    x = as_float(input)
    return record(np.log(x), "log", (input, lambda g: g / x))


@quiet
def log1p(input: TensorLike) -> Tensor:
    """``log(1 + input)``, exact near 0."""
    x = as_float(input)
    return record(np.log1p(x), "log1p", (input, lambda g: g / (x + 1)))


@quiet
def log2(input: TensorLike) -> Tensor:
    """The logarithm to base 2; derivative 1 / (x log 2)."""
    x = as_float(input)
    return record(np.log2(x), "log2", (input, lambda g: g / (x * math.log(2))))


@quiet
def log10(input: TensorLike) -> Tensor:
    """The logarithm to base 10; derivative 1 / (x log 10)."""
    x = as_float(input)
    return record(np.log10(x), "log10", (input, lambda g: g / (x * math.log(10))))


@quiet
def logit(input: TensorLike, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, with ``eps`` of x within eps..1 - eps; derivative 1 / (x (1 - x)).

    Outside the gradient is 0, without ``eps`` both are NaN.
    """
    x = as_float(input)
    low, high = (0.0, 1.0) if eps is None else (eps, 1 - eps)
    within = x if eps is None else np.clip(x, low, high)
    outside = (x < low) | (x > high)
    slope = np.where(outside, np.nan if eps is None else 0, 1 / (np.abs(x) * (1 - x)))
    return record(np.log(within / (1 - within)), "logit", (input, lambda g: g * slope))


@quiet
def sqrt(input: TensorLike) -> Tensor:
    """The square root; derivative 1 / (2 y)."""
    y = np.sqrt(as_float(input))
    return record(y, "sqrt", (input, lambda g: g / (2 * y)))


@quiet
def rsqrt(input: TensorLike) -> Tensor:
    """``1 / sqrt(input)``; derivative -y**3 / 2."""
    y = 1 / np.sqrt(as_float(input))
    return record(y, "rsqrt", (input, lambda g: -0.5 * g * y**3))


@quiet
def reciprocal(input: TensorLike) -> Tensor:
    """``1 / input``; derivative -y**2."""
    y = 1 / as_float(input)
    return record(y, "reciprocal", (input, lambda g: -g * y * y))


@quiet
def sin(input: TensorLike) -> Tensor:
    """The sine of every element; derivative the cosine."""
    x = as_float(input)
    return record(np.sin(x), "sin", (input, lambda g: g * np.cos(x)))


@quiet
def cos(input: TensorLike) -> Tensor:
    """The cosine of every element; derivative minus the sine."""
    x = as_float(input)
    return record(np.cos(x), "cos", (input, lambda g: -g * np.sin(x)))


@quiet
def tan(input: TensorLike) -> Tensor:
    """The tangent of every element; derivative 1 + y**2."""
    y = np.tan(as_float(input))
    return record(y, "tan", (input, lambda g: g * (1 + y * y)))


@quiet
def asin(input: TensorLike) -> Tensor:
    """The arc sine of every element; derivative 1 / sqrt(1 - x**2)."""
    x = as_float(input)
    return record(np.arcsin(x), "asin", (input, lambda g: g / np.sqrt(1 - x * x)))


@quiet
def acos(input: TensorLike) -> Tensor:
    """The arc cosine of every element; derivative -1 / sqrt(1 - x**2)."""
    x = as_float(input)
    return record(np.arccos(x), "acos", (input, lambda g: -g / np.sqrt(1 - x * x)))


def atan(input: TensorLike) -> Tensor:
    """The arc tangent of every element; derivative 1 / (1 + x**2)."""
    x = as_float(input)
    return record(np.arctan(x), "atan", (input, lambda g: g / (1 + x * x)))


arcsin, arccos, arctan = asin, acos, atan


@quiet
def sinh(input: TensorLike) -> Tensor:
    """The hyperbolic sine of every element; derivative cosh(x)."""
    x = as_float(input)
    return record(np.sinh(x), "sinh", (input, lambda g: g * np.cosh(x)))


@quiet
def cosh(input: TensorLike) -> Tensor:
    """The hyperbolic cosine of every element; derivative sinh(x)."""
    x = as_float(input)
    return record(np.cosh(x), "cosh", (input, lambda g: g * np.sinh(x)))


@quiet
def asinh(input: TensorLike) -> Tensor:
    """The inverse of sinh; derivative 1 / sqrt(x**2 + 1)."""
    x = as_float(input)
    return record(np.arcsinh(x), "asinh", (input, lambda g: g / np.sqrt(x * x + 1)))


@quiet
def acosh(input: TensorLike) -> Tensor:
    """The inverse of cosh; derivative 1 / sqrt(x**2 - 1)."""
    x = as_float(input)
    return record(np.arccosh(x), "acosh", (input, lambda g: g / np.sqrt(x * x - 1)))


@quiet
def atanh(input: TensorLike) -> Tensor:
    """The inverse of tanh; derivative 1 / (1 - x**2)."""
    x = as_float(input)
    return record(np.arctanh(x), "atanh", (input, lambda g: g / (1 - x * x)))


def sign(input: TensorLike) -> Tensor:
    """-1, 0 or 1, for NaN 0; derivative 0."""
    return _step(_sign(np.array(to_array(input))), "sign", input)


sgn = sign


def _rounded(input: TensorLike, name: str, function: Any) -> Tensor:
    x = needs_numbers(input, name)
    return _step(function(x) if x.dtype.kind == "f" else x.copy(), name, input)


def floor(input: TensorLike) -> Tensor:
    """The largest whole number not above; derivative 0."""
    return _rounded(input, "floor", np.floor)


def ceil(input: TensorLike) -> Tensor:
    """The smallest whole number not below; derivative 0."""
    return _rounded(input, "ceil", np.ceil)


def round(input: TensorLike, *, decimals: int = 0) -> Tensor:
    """The nearest whole number, halves to the even one; derivative 0."""
    return _rounded(input, "round", lambda x: np.round(x, decimals))


def trunc(input: TensorLike) -> Tensor:
    """The whole number towards 0; derivative 0."""
    return _rounded(input, "trunc", np.trunc)


fix = trunc


@quiet
def frac(input: TensorLike) -> Tensor:
    """What is behind the point, with the sign of ``input``; derivative 1."""
    x = to_array(input)
    return record(x - np.trunc(x), "frac", (input, lambda g: g))
