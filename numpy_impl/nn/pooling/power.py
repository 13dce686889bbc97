"""LPPool1d/2d/3d: the p-norm of each window."""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels import pooling as kernels
from numpy_impl.kernels.elementwise import elementwise, silently
from numpy_impl.kernels.masks import as_mask, select
from numpy_impl.kernels.pooling import Geometry
from numpy_impl.nn.batched import Batched
from numpy_impl.nn.pooling.fixed import fixed_geometry, fixed_window

Array = np.ndarray


@elementwise
def _power(x: Array, p: float = 2.0) -> Array:
    """x^p; torch's paths, which matter at -infinity, beside NumPy's own (2, 1, 0.5, 0 and -1)."""
    if p == 3:
        return x * x * x
    return 1 / np.sqrt(x) if p == -0.5 else x**p


@elementwise
def _power_backward(grad_output: Array, x: Array, p: float = 2.0) -> Array:
    """d x^p = p x^(p - 1)."""
    return grad_output * (_power(x, p=p - 1) * p)


@elementwise
def _root_backward(grad_output: Array, x: Array, y: Array, p: float = 2.0) -> Array:
    """Of y = x^(1/p): dy / (p y^(p - 1)), but 0 where x is; and as in torch times 0 where NaN."""
    grad = grad_output / (_power(y, p=p - 1) * p)
    grad *= x == x
    return select(grad, as_mask(x != 0))


@elementwise
def _sign(x: Array) -> Array:
    """torch's, by which abs goes back: of NaN it is 0."""
    return np.subtract(x > 0, x < 0, dtype=x.dtype)


@silently
def lp_pool(input: Array, p: float, geometry: Geometry) -> tuple[Array, Any]:
    """(sum x^p)^(1/p) over each window, and what backward needs: (N, C, S...) -> (N, C, O...)."""
    if math.isinf(p):
        sign = math.copysign(1, p)
        output, place = kernels.max_pool(sign * np.abs(input), geometry, need_place=True)
        return sign * output, place
    # torch's sum is a mean times the whole kernel, also of a window that overhangs
    divisors = kernels.divisors(geometry, True, None, input.dtype)
    divisors /= math.prod(geometry.kernel)
    sums = kernels.avg_pool(_power(input, p=p), geometry, divisors)
    sums += 0  # no root of -0
    return _power(sums, p=1 / p), (sums, divisors)


@silently
def lp_pool_backward(
    grad_output: Array, input: Array, output: Array, p: float, geometry: Geometry, saved: Any
) -> Array:
    """dx = dy (x / y)^(p - 1), but 0 where the sum is; of an infinite p through the maximum."""
    if math.isinf(p):
        return kernels.max_pool_backward(grad_output, saved, geometry) * _sign(input)
    sums, divisors = saved
    grad_sums = _root_backward(grad_output, sums, output, p=p)
    return _power_backward(kernels.avg_pool_backward(grad_sums, geometry, divisors), input, p=p)


def _check_norm(norm_type: Any) -> float:
    try:
        p = float(norm_type)
    except (TypeError, ValueError):
        raise TypeError(f"norm_type must be a number, got {norm_type!r}") from None
    if p == 0:
        raise ValueError(f"norm_type must not be 0, got {norm_type!r}")
    return p


class _LPPoolNd(Batched):
    def __init__(
        self,
        norm_type: float,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        _check_norm(norm_type)
        fixed_window(self._n, kernel_size, stride, 0, 1)
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        p = _check_norm(self.norm_type)
        window = (self.kernel_size, self.stride, 0, 1, self.ceil_mode)
        geometry = fixed_geometry(input.shape[2:], *window)
        output, saved = lp_pool(input, p, geometry)
        # a copy of the output, which its owner may write to
        return output, input, output.copy("K"), p, geometry, saved

    def backward_batch(self, grad_output: Array, *saved: Any) -> Array:
        return lp_pool_backward(grad_output, *saved)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPoolNd):
    """The p-norm of windows of one axis; see :class:`LPPool2d`.

    Shape:
        (N, C, L) or (C, L) -> (N, C, L').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LPPool1d.html
    """

    _n = 1


class LPPool2d(_LPPoolNd):
    r"""The p-norm of windows, without absolute values.

    .. math::
        y[n,c,i,j] = \Big(\sum_{u,v} x[n,c,\,s_h i + u,\,\dots]^p\Big)^{1/p}

    Of p = 1 it is the sum, of p = infinity the largest absolute value. As in torch a negative x
    to a broken power is NaN, so is the root of a negative sum; the gradient is 0 where the sum is
    0; and a window that overhangs the input (ceil_mode) counts its elements as if it were full.

    Args:
        norm_type: p, any number but 0.
        kernel_size: (Kh, Kw), or one int for both; so is stride.
        stride: the step between windows; ``kernel_size`` unless given.
        ceil_mode: let a last window overhang the input.

    Shape:
        (N, C, H, W) or (C, H, W) -> (N, C, H', W'), H' = floor((H - Kh) / s) + 1
        (ceil instead of floor with ceil_mode).

    Raises:
        TypeError: if p is no number, or a size no int.
        ValueError: for a p of 0, sizes out of range, a kernel that does not fit the input.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LPPool2d.html
    """

    _n = 2


class LPPool3d(_LPPoolNd):
    """The p-norm of windows of three axes; see :class:`LPPool2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W) -> (N, C, D', H', W').

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LPPool3d.html
    """

    _n = 3
