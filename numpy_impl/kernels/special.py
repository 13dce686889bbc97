"""The error function and the normal distribution function, which NumPy does not have."""

import math

import numpy as np

from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.kernels.masks import where
from numpy_impl.types import Array

# Minimax polynomials, lowest power first, by Remez's exchange in arithmetic of 50 digits: they err
# by a quarter of the last place at most.
# erf(x) / x in x**2, for |x| <= 1/2
_NEAR = {
    "float32": (1.128379166, -0.3761260857, 0.1128282282, -0.02675718465, 0.004717990067),
    "float64": (
        *(1.1283791670955126, -0.37612638903183465, 0.11283791670924816, -0.026866170632716322),
        *(0.005223977370332408, -0.0008548297524748163, 0.00012053324323886661),
        *(-1.4845583855143466e-05, 1.4723215353508247e-06),
    ),
}
# log(1 - cdf(x)) in x, from 0 to where cdf(x) rounds to 1; the absolute error of 1 - cdf(x) counts
_TAIL = {
    "float32": (
        *(-0.6931471655, -0.797885686, -0.3182965923, -0.03639370091, 0.004904334644),
        *(-0.0001011096788, -0.0001265292348, 2.676854408e-05, -1.921273475e-06),
    ),
    "float64": (
        *(-0.6931471805599453, -0.7978845608028585, -0.3183098861843025, -0.036335602346266295),
        *(0.004782111631989357, 3.698149669926023e-05, -0.00021202887664953767),
        *(5.216902705518104e-05, -1.6357484499071602e-06, -2.821468200376513e-06),
        *(8.943313018640866e-07, -4.2745201550726804e-08, -6.8604000536275e-08),
        *(3.376260566920504e-08, -9.611335439399364e-09, 1.9547807451294687e-09),
        *(-2.9785382810907733e-10, 3.405859695732125e-11, -2.8499392998717897e-12),
        *(1.6512228254962876e-13, -5.923517205088334e-15, 9.909509500951193e-17),
    ),
}
_END = {"float32": 5.7, "float64": 8.5}
# atanh(2 cdf(x) - 1) / x in x**2: cdf(x) errs by 3e-8 at most (linear programming on a grid), and
# beyond 6 the hyperbolic tangent is 1
_CDF = (
    *(0.7978849414555218, 0.036333084598029954, -3.2594992851358386e-05, -5.5306190038325275e-05),
    *(3.964744254557577e-06, -1.322633595114848e-07, 1.7561721154846486e-09),
)


@elementwise
def normal_cdf(x: Array, out: Array | None = None) -> Array:
    r"""``(1 + erf(x / sqrt(2))) / 2``: :math:`\int_{-\infty}^x e^{-t^2/2} dt / \sqrt{2\pi}`.

    To the last place of 1 (not of itself, where it is small), in the arithmetic of x's dtype.
    """
    if x.dtype == np.float32:
        cdf = _polynomial(_CDF, np.square(x), out)
        cdf *= x
        np.tanh(cdf, out=cdf)
        cdf *= 0.5
        cdf += 0.5
        return cdf
    return np.add(np.copysign(0.5 - _tail(np.abs(x)), x), 0.5, out=out)


@elementwise
def erf(x: Array, out: Array | None = None) -> Array:
    r"""``np.vectorize(math.erf)(x)``: :math:`\int_0^x 2 e^{-t^2} dt / \sqrt\pi`.

    To a few units in the last place, in the arithmetic of x's dtype. Both formulas are worked out
    everywhere: where one does not hold, what it gives is not chosen.
    """
    size = np.abs(x)
    near = x * _polynomial(_NEAR[x.dtype.name], np.square(size))
    far = np.copysign(1 - 2 * _tail(math.sqrt(2) * size), x)
    return where(np.less_equal(size, 0.5), near, far, out)


def _tail(x: Array) -> Array:
    """``1 - normal_cdf(x)`` for x >= 0."""
    exponent = _polynomial(_TAIL[x.dtype.name], np.minimum(x, _END[x.dtype.name]))
    return np.asarray(np.exp(exponent))


def logistic(x: Array, out: Array | None = None) -> Array:
    """``1 / (1 + np.exp(-x))``; where the exponential overflows, 0. Of an array in the cache."""
    out = np.negative(x, out=np.empty_like(x) if out is None else out)
    np.exp(out, out=out)
    out += 1
    return np.divide(1, out, out=out)


def _polynomial(coefficients: tuple[float, ...], x: Array, out: Array | None = None) -> Array:
    """c[0] + c[1] x + c[2] x**2 + ..., by Horner's rule."""
    *others, last = coefficients
    total = np.multiply(x, last, out=np.empty_like(x) if out is None else out)
    total += others[-1]
    for c in others[-2::-1]:
        total *= x
        total += c
    return total


def log_logistic(x: Array, out: Array | None = None) -> Array:
    """``-np.log1p(np.exp(-x))``, without overflow: ``min(x, 0) - log(1 + exp(-abs(x)))``."""
    small = np.abs(x, out=np.empty_like(x))
    np.negative(small, out=small)
    np.exp(small, out=small)
    np.log1p(small, out=small)
    out = np.clip(
        x, -np.inf, 0, out=np.empty_like(x) if out is None else out
    )  # np.minimum, quicker
    return np.subtract(out, small, out=out)
