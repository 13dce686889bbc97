"""LeakyReLU, PReLU, RReLU: x above 0, a slope below, which is given, learned or drawn."""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels import elementwise as kernels
from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.masks import as_opposite_mask, select
from numpy_impl.kernels.products import sum_along
from numpy_impl.nn.activation.elementwise import Elementwise
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.random import rand
from numpy_impl.tensor.views import arrays_changed
from numpy_impl.types import Array, DType


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else ``negative_slope * x``."""
    return kernels.leak(x, negative_slope)


def leaky_relu_backward(dy: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """dy where x > 0, else ``negative_slope * dy``."""
    return kernels.scale_negative(dy, x, negative_slope)


class LeakyReLU(Elementwise):
    r""":math:`y = x` where x > 0, else :math:`a x`.

    Args:
        negative_slope: a.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.LeakyReLU.html
    """

    _pair, _options = (leaky_relu, leaky_relu_backward), ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace


def prelu(x: Array, weight: Array) -> Array:
    """x where x > 0, else ``w * x``; x (N, C, S...), w (C,), or of any shape and (1,)."""
    if weight.size == 1:
        return kernels.leak(x, weight.item())
    return kernels.scale_negative(x, x, _by_channel(weight, x))


@silently
def prelu_backward(
    dy: Array, x: Array, weight: Array, needs: tuple[bool, ...] = (True, True)
) -> tuple[Array | None, Array | None]:
    """Gradients for x and w, where x <= 0: ``w * dy``, and the sum of ``x * dy`` over N, S..."""
    dx = dw = None
    if needs[0]:
        dx = kernels.scale_negative(dy, x, _by_channel(weight, x))
    if needs[1]:
        products = np.asarray(x * dy)
        select(products, as_opposite_mask(np.asarray(x > 0)), products)
        axes = None if weight.size == 1 else (0, *range(2, x.ndim))
        dw = np.asarray(sum_along(products, axes)).reshape(weight.shape)
    return dx, dw


def _by_channel(weight: Array, x: Array) -> Array:
    """w (C,) as (C, 1...), so that it broadcasts with x (N, C, S...); (1,) as ()."""
    return weight.reshape(() if weight.size == 1 else (-1, *(1,) * (x.ndim - 2)))


def check_slopes(input: Array, weight: Array) -> None:
    """Raise ValueError unless there is one slope, or one for each channel."""
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.size not in (1, channels):
        raise ValueError(
            f"weight must hold one slope, or one for each of input's {channels} channels, "
            f"got shape {weight.shape} for input {input.shape}"
        )


class PReLU(Module):
    r""":math:`y = x` where x > 0, else :math:`w x`, with a learned w.

    As in torch, decay of the weights had better leave w out.

    Args:
        num_parameters: 1 for one w, or the number C of channels for one each.
        init: the value that w starts from.
        device: None or ``"cpu"``.
        dtype: of the parameter: float32 (unless given) or float64.

    Shape:
        (N, C, S...), kept; any other with one w.

    Raises:
        ValueError: if there is neither one w nor one for each channel.

    Source: He et al. 2015, https://arxiv.org/abs/1502.01852;
    https://pytorch.org/docs/stable/generated/torch.nn.PReLU.html
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: DType = None
    ) -> None:
        super().__init__()
        self.num_parameters = check_int(num_parameters, "num_parameters", 0)
        self.init = init
        self.weight = Parameter(np.empty(self.num_parameters, float_dtype(dtype, device)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set every w to ``init``."""
        self.weight.data[...] = self.init
        arrays_changed()

    def forward(self, input: Array) -> Array:
        weight = self.weight.data
        input = check_array(input, "input", weight.dtype)
        check_slopes(input, weight)
        output = prelu(input, weight)
        self.save_for_backward(output, input)
        return output

    def backward(self, grad_output: Array) -> Array | None:
        grad_output, input = self.saved_for_backward(grad_output)
        grads = prelu_backward(grad_output, input, self.weight.data, self.needs_grads("weight"))
        return self.accumulate_grads(grads, "weight")

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


@silently
def rrelu(x: Array, slopes: Array) -> Array:
    """x times the slopes, which are 1 where x > 0."""
    return np.asarray(x * slopes)


@silently
def rrelu_backward(dy: Array, slopes: Array) -> Array:
    """dy times the same slopes."""
    return np.asarray(dy * slopes)


class RReLU(Module):
    r""":math:`y = x` where x > 0, else :math:`a x`, with a drawn anew for each element.

    In training, a is uniform over [l, u): torch's own numbers under the same seed, drawn for those
    elements alone that are not positive, in the logical order of the array. In evaluation, a is
    (l + u) / 2.

    (torch takes that mean for a in backward also in training, if u - l is at most 1e-6; here a is
    what was drawn.)

    Args:
        lower: l.
        upper: u, not below l.
        inplace: accepted for torch's sake; inputs are never modified.

    Shape:
        any, kept.

    Raises:
        ValueError: if l > u, or one is not finite.

    Source: Xu et al. 2015, https://arxiv.org/abs/1505.00853;
    https://pytorch.org/docs/stable/generated/torch.nn.RReLU.html
    """

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        if not -math.inf < lower <= upper < math.inf:
            raise ValueError(
                f"lower must be at most upper, both finite, got lower={lower}, upper={upper}"
            )
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def _slopes(self, input: Array) -> Array:
        ones = np.ones_like(input)
        if not self.training:
            return kernels.scale_negative(ones, input, (self.lower + self.upper) / 2)
        falls = input <= 0
        # drawn in float64 between bounds in the input's dtype
        lower, upper = (float(input.dtype.type(bound)) for bound in (self.lower, self.upper))
        uniform = rand(int(np.count_nonzero(falls)), dtype=np.float64)
        ones[falls] = uniform * (upper - lower) + lower
        return ones

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input")
        slopes = self._slopes(input)
        output = rrelu(input, slopes)
        self.save_for_backward(output, slopes)
        return output

    def backward(self, grad_output: Array) -> Array:
        return rrelu_backward(*self.saved_for_backward(grad_output))

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}" + ", inplace=True" * self.inplace
