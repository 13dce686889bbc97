"""LocalResponseNorm, CrossMapLRN2d, LayerNorm, GroupNorm, RMSNorm.

How the last three are defined: ``textbook.layer_norm``, ``textbook.group_norm``. Here each is its
view of the input for one pair of kernels (``kernels/groups.py``): N samples, G groups of K
channels, P positions, a mean and a variance for each sample and group.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_impl.kernels import groups as kernels
from numpy_impl.kernels.elementwise import silently
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.tensor import to_array
from numpy_impl.tensor.views import arrays_changed
from numpy_impl.types import Array, DType

Ints = tuple[int, ...]
Saved = tuple[Any, ...]  # what forward keeps for backward


@silently
def normalise(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    shape: Ints,
    eps: float,
    centres: bool = True,
) -> tuple[Array, Saved]:
    r""":math:`y = w\,(x - \mu) / \sqrt{v + \epsilon} + b`, the input seen as (N, G, K, P).

    Returns:
        y, and what :func:`normalise_backward` needs.
    """
    x = input.reshape(shape)
    of_channels = (*shape[1:3], 1)
    w, b = (None if v is None else v.reshape(of_channels) for v in (weight, bias))
    output, statistics = kernels.normalise(x, w, b, eps, centres)
    owned = next((v.shape for v in (weight, bias) if v is not None), of_channels)
    return output.reshape(input.shape), (x, statistics, eps, owned)


@silently
def normalise_backward(
    dy: Array,
    weight: Array | None,
    saved: Saved,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    r"""Gradients for input, weight and bias; ``needs`` says which (None for the others).

    With :math:`z = (x - \mu)/\sigma`: :math:`db = \sum dy,\; dw = \sum dy\,z,\; dz = w\,dy`, and
    two projections take off what would move mean and variance, each a mean over the group:
    :math:`dx = \frac{1}{\sigma}(dz - \overline{dz} - z\,\overline{dz\,z})`.
    """
    x, statistics, eps, owned = saved
    w = None if weight is None else weight.reshape(*x.shape[1:3], 1)
    dx, dw, db = kernels.normalise_backward(dy.reshape(x.shape), x, w, statistics, eps, needs)
    return (
        None if dx is None else dx.reshape(dy.shape),
        None if dw is None else dw.reshape(owned),
        None if db is None else db.reshape(owned),
    )


class _Norm(Module):
    """What the three share: parameters of ones and zeros, and the backward."""

    _learned: tuple[str, ...] = ("weight", "bias")

    def _make_parameters(
        self, shape: Ints, learned: Sequence[bool], dtype: DType, device: Any
    ) -> None:
        checked = float_dtype(dtype, device)
        for name, wanted in zip(self._learned, learned, strict=True):
            self.register_parameter(name, Parameter(np.empty(shape, checked)) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        for name in self._learned:
            parameter = getattr(self, name)
            if parameter is not None:
                parameter.data.fill(name == "weight")
        arrays_changed()

    def _checked(self, input: Array) -> Array:
        return check_array(input, "input", None if self.weight is None else self.weight.dtype)

    def backward(self, grad_output: Array) -> Array | None:
        dy, saved = self.saved_for_backward(grad_output)
        needs = *self.needs_grads(*self._learned), False
        grads = normalise_backward(dy, to_array(self.weight), saved, needs[:3])
        return self.accumulate_grads(grads[: len(self._learned) + 1], *self._learned)


def features_of(value: Any) -> Ints:
    """``normalized_shape``, an int or several, as a tuple."""
    sizes = tuple(value) if isinstance(value, Sequence) else (value,)
    return tuple(check_int(size, "normalized_shape", 0) for size in sizes)


def over_features(input: Array, normalized_shape: Ints) -> Ints:
    """The view of (\\*, F...) for :func:`normalise`: one group of all features, one position."""
    if not normalized_shape:
        raise ValueError("normalized_shape must have at least one axis, got ()")
    if input.shape[-len(normalized_shape) :] != normalized_shape:
        raise ValueError(
            f"input's last axes must be normalized_shape={normalized_shape}, "
            f"got shape {input.shape}"
        )
    return math.prod(input.shape[: -len(normalized_shape)]), 1, math.prod(normalized_shape), 1


def over_groups(input: Array, num_groups: int) -> Ints:
    """The view of (N, C, S...) for :func:`normalise`: groups of C / G channels."""
    if input.ndim < 2:
        raise ValueError(f"input must have at least 2 axes, got shape {input.shape}")
    samples, channels, *sizes = input.shape
    if channels % num_groups:
        raise ValueError(
            f"num_groups must divide the input's {channels} channels, got {num_groups}"
        )
    if samples * (channels // num_groups) * math.prod(sizes) == 1:
        raise ValueError(
            f"the statistics need more than 1 value per group, got input of shape {input.shape}"
        )
    return samples, num_groups, channels // num_groups, math.prod(sizes)


class LayerNorm(_Norm):
    r"""Normalises each sample over its last axes.

    .. math::
        y = w\,\frac{x-\mu}{\sqrt{v+\epsilon}} + b

    with mean and variance (biased: divided by the number of features) over the last axes F... In
    evaluation as in training: no statistics are kept.

    Args:
        normalized_shape: the sizes F... of these axes; an int is one axis.
        eps: added to the variance, inside the root.
        elementwise_affine: False leaves w and b out.
        bias: False leaves b alone out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        (\*, F...), kept; weight, bias (F...).

    Weight starts at 1, bias at 0.

    Raises:
        ValueError: if a size is negative, or the input's last axes are not ``normalized_shape``.
        TypeError: if the input's dtype is not the parameters'.

    Source: https://arxiv.org/abs/1607.06450
    (https://pytorch.org/docs/stable/generated/torch.nn.LayerNorm.html)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = features_of(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        learned = elementwise_affine, elementwise_affine and bias
        self._make_parameters(self.normalized_shape, learned, dtype, device)

    def forward(self, input: Array) -> Array:
        shape = over_features(self._checked(input), self.normalized_shape)
        parameters = to_array(self.weight), to_array(self.bias)
        output, saved = normalise(input, *parameters, shape, self.eps)
        self.save_for_backward(output, saved)
        return output

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, "
            f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        )


class RMSNorm(_Norm):
    r"""Divides each sample by the root of its mean square, over its last axes.

    .. math::
        y = w\,\frac{x}{\sqrt{\overline{x^2}+\epsilon}}

    LayerNorm without the mean: only the sizes of the features are made alike, not their sum.

    Args:
        normalized_shape: the sizes F... of these axes; an int is one axis.
        eps: added to the mean square; None is the dtype's own, the gap between 1 and the next
            number.
        elementwise_affine: False leaves w out.
        device: None or "cpu".
        dtype: of the parameter; float32 unless given.

    Shape:
        (\*, F...), kept; weight (F...).

    Weight starts at 1.

    Raises:
        ValueError: if a size is negative, or the input's last axes are not ``normalized_shape``.
        TypeError: if the input's dtype is not the parameter's.

    Source: https://arxiv.org/abs/1910.07467
    (https://pytorch.org/docs/stable/generated/torch.nn.RMSNorm.html)
    """

    _learned = ("weight",)

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = features_of(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        self._make_parameters(self.normalized_shape, (elementwise_affine,), dtype, device)

    def forward(self, input: Array) -> Array:
        shape = over_features(self._checked(input), self.normalized_shape)
        eps = eps_or_default(self.eps, input)
        output, saved = normalise(input, to_array(self.weight), None, shape, eps, False)
        self.save_for_backward(output, saved)
        return output

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


def eps_or_default(eps: float | None, input: Array) -> float:
    """``eps``, or the gap between 1 and the next number of the input's dtype."""
    return float(np.finfo(input.dtype).eps) if eps is None else eps


class GroupNorm(_Norm):
    r"""Normalises each sample over groups of channels, and positions.

    .. math::
        y = w\,\frac{x-\mu}{\sqrt{v+\epsilon}} + b

    with mean and variance (biased) over the C/G channels of a group and all positions. In
    evaluation as in training: no statistics are kept.

    Args:
        num_groups: G, a divisor of C. G = C is InstanceNorm, G = 1 LayerNorm over (C, S...).
        num_channels: C.
        eps: added to the variance, inside the root.
        affine: False leaves w and b out.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.
        bias: False leaves b alone out.

    Shape:
        (N, C, S...), kept; weight, bias (C,).

    Weight starts at 1, bias at 0.

    Raises:
        ValueError: if G does not divide C, the input has other channels, or a group one value.
        TypeError: if the input's dtype is not the parameters'.

    Source: https://arxiv.org/abs/1803.08494
    (https://pytorch.org/docs/stable/generated/torch.nn.GroupNorm.html)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: DType = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = check_int(num_groups, "num_groups", 1)
        self.num_channels = check_int(num_channels, "num_channels", 0)
        if num_channels % num_groups:
            raise ValueError(
                f"num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.eps = eps
        self.affine = affine
        self._make_parameters((num_channels,), (affine, affine and bias), dtype, device)

    def forward(self, input: Array) -> Array:
        shape = over_groups(self._checked(input), self.num_groups)
        if self.weight is not None and input.shape[1] != self.num_channels:
            raise ValueError(
                f"input must have num_channels={self.num_channels} channels, "
                f"got shape {input.shape}"
            )
        parameters = to_array(self.weight), to_array(self.bias)
        output, saved = normalise(input, *parameters, shape, self.eps)
        self.save_for_backward(output, saved)
        return output

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, "
            f"affine={self.affine}, bias={self.bias is not None}"
        )


@dataclass(frozen=True)
class Neighbours:
    """Which channels c' add up at channel c: from c - before to c + after.

    Attributes:
        keeps_first: whether channel 0 stays in once it was, however far behind.
    """

    before: int
    after: int
    keeps_first: bool = False

    def sums(self, values: Array) -> Array:
        """(N, C, S...) -> the same."""
        total = self._within(values, self.before, self.after)
        if self.keeps_first:
            total[:, self.before + 1 :] += values[:, :1]
        return total

    def sums_backward(self, values: Array) -> Array:
        """Each channel's total of where it was added."""
        total = self._within(values, self.after, self.before)
        if self.keeps_first:
            total[:, 0] += values[:, self.before + 1 :].sum(1)
        return total

    @staticmethod
    def _within(values: Array, before: int, after: int) -> Array:
        total = values.copy(order="K")
        last = values.shape[1] - 1
        for k in range(1, min(before, last) + 1):
            total[:, k:] += values[:, :-k]
        for k in range(1, min(after, last) + 1):
            total[:, :-k] += values[:, k:]
        return total


@silently
def response_norm(
    x: Array, neighbours: Neighbours, scale: float, beta: float, k: float
) -> tuple[Array, Array]:
    r""":math:`y = x\,d^{-\beta},\; d = k + s \sum_{c'} x_{c'}^2`; returns y and d."""
    d = neighbours.sums(np.square(x))
    d *= scale
    d += k
    return x * d**-beta, d


@silently
def response_norm_backward(
    dy: Array, x: Array, d: Array, neighbours: Neighbours, scale: float, beta: float
) -> Array:
    r""":math:`dx = dy\,d^{-\beta} - 2 s \beta\,x \sum_c dy_c\,x_c\,d_c^{-\beta-1}`, c near x."""
    dx = dy * d**-beta
    total = neighbours.sums_backward(dx * x / d)
    total *= x
    total *= 2 * scale * beta
    dx -= total
    return dx


class _ResponseNorm(Module):
    """Arguments, forward and backward of the two."""

    _ndims: Ints = ()

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = check_int(size, "size", 1)
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def _neighbours(self) -> Neighbours:
        return Neighbours(self.size // 2, (self.size - 1) // 2)

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input", ndim=self._ndims)
        if input.ndim < 3:
            raise ValueError(f"input must be at least 3-d, got shape {input.shape}")
        options = self._neighbours(), self.alpha / self.size, self.beta
        output, d = response_norm(input, *options, self.k)
        self.save_for_backward(output, input, d, *options)
        return output

    def backward(self, grad_output: Array) -> Array:
        return response_norm_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalResponseNorm(_ResponseNorm):
    r"""Divides each value by what the channels around it have at its position.

    .. math::
        y_c = x_c \Big(k + \frac{\alpha}{n} \sum_{c'} x_{c'}^2\Big)^{-\beta}

    with c' from :math:`c - \lfloor n/2 \rfloor` to :math:`c + \lfloor (n-1)/2 \rfloor`, as far as
    there are channels; the sum is divided by n everywhere.

    Args:
        size: n, how many channels count.
        alpha, beta, k: as above.

    Shape:
        (N, C, S...) with one axis S or more, kept.

    Raises:
        ValueError: if ``size`` is below 1, or the input has fewer than three axes.

    Source: Krizhevsky, Sutskever and Hinton 2012, section 3.3
    (https://pytorch.org/docs/stable/generated/torch.nn.LocalResponseNorm.html)
    """


class CrossMapLRN2d(_ResponseNorm):
    r"""LocalResponseNorm over images, with torch's own window.

    The channels from c - h to c + h count, :math:`h = \lfloor (n-1)/2 \rfloor`, and channel 0 does
    for all (torch never takes it off its running sum). The gradient is that of this forward;
    torch's is one channel off unless the window covers all.

    Args:
        size: n; the sum is divided by it.
        alpha, beta, k: as of :class:`LocalResponseNorm`.

    Shape:
        (N, C, H, W), kept; at least one channel.

    Raises:
        ValueError: if ``size`` is below 1, or the input is not 4-d or has no channel.

    Source: https://pytorch.org/docs/stable/nn.html (torch.nn.CrossMapLRN2d)
    """

    _ndims = (4,)

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1) -> None:
        super().__init__(size, alpha, beta, k)

    def _neighbours(self) -> Neighbours:
        half = (self.size - 1) // 2
        return Neighbours(half, half, keeps_first=True)

    def forward(self, input: Array) -> Array:
        if input.ndim == 4 and not input.shape[1]:
            raise ValueError(f"input must have at least one channel, got shape {input.shape}")
        return super().forward(input)
