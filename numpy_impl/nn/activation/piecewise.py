"""Activations made of straight lines.

Which side a joint belongs to, and what NaN's gradient is, is torch's choice (that of its vectorised
loops, where they and its loops over the rest of an array differ).
"""

import math
import warnings

import numpy as np

from numpy_impl.kernels import elementwise as kernels
from numpy_impl.kernels.elementwise import elementwise
from numpy_impl.kernels.masks import where
from numpy_impl.nn.activation.elementwise import Elementwise, InPlace
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


@elementwise
def hardtanh(
    x: Array, min_val: float = -1.0, max_val: float = 1.0, out: Array | None = None
) -> Array:
    """x, but at least ``min_val`` and at most ``max_val``."""
    return np.minimum(np.maximum(x, min_val), max_val, out=out)


@elementwise
def hardtanh_backward(
    dy: Array, x: Array, min_val: float = -1.0, max_val: float = 1.0, out: Array | None = None
) -> Array:
    """dy where min_val < x < max_val, else 0."""
    return where(np.greater(x, min_val) & np.less(x, max_val), dy, out=out)


class Hardtanh(Elementwise):
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

    _pair, _options = (hardtanh, hardtanh_backward), ("min_val", "max_val")

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
                warnings.warn(f"{name}ue is deprecated: use {name}", FutureWarning, stacklevel=3)
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


@elementwise
def hardsigmoid(x: Array, out: Array | None = None) -> Array:
    """(x + 3) / 6, but at least 0 and at most 1."""
    return np.divide(np.minimum(np.maximum(x + 3, 0), 6), 6, out=out)


@elementwise
def hardsigmoid_backward(dy: Array, x: Array, out: Array | None = None) -> Array:
    """dy / 6 where abs(x) < 3, else 0."""
    return where(np.less(np.abs(x), 3), dy / 6, out=out)


class Hardsigmoid(InPlace):
    r""":math:`y = \min(\max((x + 3) / 6, 0), 1)`, with derivative 0 at -3 and 3.

    Args:
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Hardsigmoid.html
    """

    _pair = hardsigmoid, hardsigmoid_backward

    def extra_repr(self) -> str:
        return ""  # torch's does not show inplace


@elementwise
def hardswish(x: Array, out: Array | None = None) -> Array:
    """x * min(max(x + 3, 0), 6) / 6."""
    return np.divide(x * np.minimum(np.maximum(x + 3, 0), 6), 6, out=out)


@elementwise
def hardswish_backward(dy: Array, x: Array) -> Array:
    """0 where x <= -3, dy where x >= 3, between them dy * (x / 3 + 1/2); NaN where x is NaN."""
    return np.where(x <= -3, 0, np.where(x >= 3, dy, dy * (x / 3 + 0.5)))


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


@elementwise
def hardshrink(x: Array, lambd: float = 0.5, out: Array | None = None) -> Array:
    """x, but 0 where abs(x) <= lambd."""
    return where(np.logical_not(np.abs(x) <= lambd), x, out=out)


@elementwise
def shrink_backward(dy: Array, x: Array, lambd: float = 0.5, out: Array | None = None) -> Array:
    """dy where abs(x) > lambd, else 0: hardshrink's and softshrink's."""
    return where(np.greater(np.abs(x), lambd), dy, out=out)


class _Shrink(Elementwise):
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

    _pair = hardshrink, shrink_backward


@elementwise
def softshrink(x: Array, lambd: float = 0.5, out: Array | None = None) -> Array:
    """x, brought nearer to 0 by lambd: x - min(max(x, -lambd), lambd)."""
    return np.subtract(x, np.minimum(np.maximum(x, -lambd), lambd), out=out)


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

    _pair = softshrink, shrink_backward

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd)
        if not 0 <= lambd < math.inf:
            raise ValueError(f"lambd must be finite and not negative, got {lambd}")


@elementwise
def threshold(
    x: Array, threshold: float = 0.0, value: float = 0.0, out: Array | None = None
) -> Array:
    """x, but ``value`` where x <= threshold."""
    return where(np.less_equal(x, threshold), x.dtype.type(value), x, out)


@elementwise
def threshold_backward(
    dy: Array,
    x: Array,
    threshold: float = 0.0,
    value: float = 0.0,
    out: Array | None = None,
) -> Array:
    """dy, but 0 where x <= threshold."""
    return where(np.logical_not(x <= threshold), dy, out=out)


class Threshold(Elementwise):
    r""":math:`y = x` where :math:`x > t`, else v.

    Args:
        threshold: t.
        value: v.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Threshold.html
    """

    _pair, _options = (threshold, threshold_backward), ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace
