"""Activations made of straight lines.

Which side a joint belongs to, and what NaN's gradient is, is torch's choice (that of its vectorised
loops, where they and its loops over the rest of an array differ).
"""

import math

import numpy as np

from numpy_impl.kernels import elementwise as kernels
from numpy_impl.kernels.elementwise import elementwise, gate
from numpy_impl.kernels.masks import as_mask, as_opposite_mask, choose, select
from numpy_impl.nn.activation.elementwise import Gate, InPlace
from numpy_impl.nn.checks import warn
from numpy_impl.types import Array


def relu(x: Array) -> Array:
    """max(x, 0); NaN stays NaN."""
    return kernels.positive_part(x)


def relu_backward(dy: Array, is_positive: Array) -> Array:
    """dy where x > 0, else 0 (also at x = 0); through NaN the gradient passes, as in torch."""
    return kernels.where_mask(is_positive, dy)


class ReLU(InPlace):
    r""":math:`y = \max(x, 0)`, with derivative 0 at 0.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReLU.html
    """

    _pair = relu, relu_backward

    def _kept(self, input: Array, output: Array) -> Array:
        return kernels.is_positive(input)


@gate
def hardtanh(
    x: Array, y: Array, mask: Array | None, min_val: float = -1.0, max_val: float = 1.0
) -> None:
    """x, but at least ``min_val`` and at most ``max_val``; the mask: min_val < x < max_val."""
    x.clip(min_val, max_val, out=y)
    if mask is not None:
        np.greater(x, min_val, out=mask)
        mask &= np.less(x, max_val)
        as_mask(mask)


class Hardtanh(Gate):
    r""":math:`y = \min(\max(x, a), b)`, with derivative 0 at both ends.

    Args:
        min_val: a.
        max_val: b, larger than a.
        inplace: accepted for torch's sake; inputs are never modified.
        min_value, max_value: deprecated names of the first two, as in torch.

    Shape:
        any, kept.

    Raises:
        ValueError: unless ``min_val`` is below ``max_val``.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Hardtanh.html
    """

    _function, _options = hardtanh, ("min_val", "max_val")

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
        min_value: float | None = None,
        max_value: float | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("min_val", min_value), ("max_val", max_value)):
            if value is not None:
                warn(f"{name}ue is deprecated: use {name}", FutureWarning)
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.min_val < self.max_val:
            raise ValueError(
                f"min_val must be below max_val, got min_val={self.min_val}, max_val={self.max_val}"
            )


class ReLU6(Hardtanh):
    r""":math:`y = \min(\max(x, 0), 6)`, with derivative 0 at 0 and at 6.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ReLU6.html
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


@gate
def hardsigmoid(x: Array, y: Array, mask: Array | None) -> None:
    """(x + 3) / 6, but at least 0 and at most 1; the mask: abs(x) < 3."""
    if mask is not None:
        as_mask(np.less(np.abs(x, out=y), 3, out=mask))
    np.add(x, 3, out=y)
    y.clip(0, 6, out=y)
    y /= 6


class Hardsigmoid(InPlace, Gate):
    r""":math:`y = \min(\max((x + 3) / 6, 0), 1)`, with derivative 0 at -3 and 3.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Hardsigmoid.html
    """

    _function, _slope = hardsigmoid, 1 / 6

    def extra_repr(self) -> str:
        return ""  # torch's does not show inplace


@elementwise
def hardswish(x: Array, out: Array | None = None) -> Array:
    """x * min(max(x + 3, 0), 6) / 6."""
    y = np.add(x, 3, out=out)
    y = np.clip(y, 0, 6, out=out)
    y *= x
    y *= 1 / 6
    return y


@elementwise
def hardswish_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """0 where x <= -3, dy where x >= 3, between them dy * (x / 3 + 1/2); NaN where x is NaN."""
    dx = np.asarray(np.multiply(x, 1 / 3, out=out))
    dx += 0.5
    dx *= dy
    # quick where it is seldom so
    np.copyto(dx, 0, where=np.less_equal(x, -3))
    np.copyto(dx, dy, where=np.greater_equal(x, 3))
    return dx


class Hardswish(InPlace):
    r""":math:`y = x \min(\max(x + 3, 0), 6) / 6`; derivative 0 at -3 and 1 at 3.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Minus infinity gives NaN (it is multiplied by 0), as in torch.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Hardswish.html;
    Howard et al. 2019, https://arxiv.org/abs/1905.02244
    """

    _pair = hardswish, hardswish_backward

    def extra_repr(self) -> str:
        return ""  # torch's does not show inplace


@gate
def hardshrink(x: Array, y: Array, mask: Array | None, lambd: float = 0.5) -> None:
    """x, but 0 where abs(x) <= lambd; the mask: abs(x) > lambd."""
    np.abs(x, out=y)
    stays = as_opposite_mask(np.less_equal(y, lambd))
    if mask is not None:
        as_mask(np.greater(y, lambd, out=mask))
    select(x, stays, y)


class _Shrink(Gate):
    _options = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Hardshrink(_Shrink):
    r""":math:`y = x` where :math:`|x| > \lambda`, else 0.

    Args:
        lambd: :math:`\lambda`.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Hardshrink.html
    """

    _function = hardshrink


@gate
def softshrink(x: Array, y: Array, mask: Array | None, lambd: float = 0.5) -> None:
    """x, brought nearer to 0 by lambd: x - min(max(x, -lambd), lambd); the mask: abs(x) > lambd."""
    if mask is not None:
        as_mask(np.greater(np.abs(x, out=y), lambd, out=mask))
    x.clip(-lambd, lambd, out=y)
    np.subtract(x, y, out=y)


class Softshrink(_Shrink):
    r""":math:`y = x - \lambda` where :math:`x > \lambda`, :math:`x + \lambda` where
    :math:`x < -\lambda`, else 0.

    Args:
        lambd: :math:`\lambda`, finite and not negative.

    Shape:
        any, kept.

    Raises:
        ValueError: for another lambd.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Softshrink.html
    """

    _function = softshrink

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd)
        if not 0 <= lambd < math.inf:
            raise ValueError(f"lambd must be finite and not negative, got {lambd}")


@gate
def threshold(
    x: Array, y: Array, mask: Array | None, threshold: float = 0.0, value: float = 0.0
) -> None:
    """x, but ``value`` where x <= threshold; the mask: not that."""
    stays = as_opposite_mask(np.less_equal(x, threshold, out=mask))
    if value == 0:
        select(x, stays, y)
    else:
        choose(x, np.full((), value, x.dtype), stays, y)


class Threshold(Gate):
    r""":math:`y = x` where :math:`x > t`, else v.

    Args:
        threshold: t.
        value: v.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Threshold.html
    """

    _function, _options = threshold, ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace
