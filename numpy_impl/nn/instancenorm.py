"""InstanceNorm1d, InstanceNorm2d, InstanceNorm3d: GroupNorm with a group for each channel."""

import math
from typing import Any

from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.products import sum_along
from numpy_impl.nn.batchnorm import (
    NormBase,
    batch_norm,
    batch_norm_backward,
    check_statistics,
    move_statistics,
)
from numpy_impl.nn.checks import check_array, warn
from numpy_impl.nn.normalization import normalise, normalise_backward
from numpy_impl.tensor.tensor import to_array
from numpy_impl.types import Array, DType

Grads = tuple[Array | None, Array | None, Array | None]


@silently
def instance_norm(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
) -> tuple[Array, tuple[Any, ...]]:
    r""":math:`y = w\,(x - \mu) / \sqrt{v + \epsilon} + b`, each sample's channels by themselves.

    With the input's statistics the running ones, if there are any, move in place towards their
    means over the batch (NaN for an empty one, as torch's); else the running ones serve.

    Returns:
        y, and what :func:`instance_norm_backward` needs.
    """
    check_statistics(running_mean, running_var, use_input_stats)
    samples, channels, *sizes = input.shape
    count = math.prod(sizes)
    if not use_input_stats:
        given = weight, bias, running_mean, running_var, False, momentum, eps
        output, saved = batch_norm(input, *given)
        return output, (batch_norm_backward, saved)
    if count == 1:
        raise ValueError(
            f"the input's statistics need more than 1 position, got input of shape {input.shape}"
        )
    shape = samples, channels, 1, count
    output, saved = normalise(input, weight, bias, shape, eps)
    if running_mean is not None and count:  # no positions move nothing
        own = (v.reshape(samples, channels) for v in saved[1])
        mean, residual, var = (sum_along(v, 0) / samples for v in own)
        move_statistics(running_mean, running_var, mean, residual, var, count, momentum)
    return output, (normalise_backward, saved)


def instance_norm_backward(
    dy: Array,
    weight: Array | None,
    saved: tuple[Any, ...],
    needs: tuple[bool, ...] = (True, True, True),
) -> Grads:
    """Gradients for input, weight and bias; ``needs`` says which (None for the others).

    Of the given statistics as of BatchNorm's in evaluation, else as of GroupNorm.
    """
    backward, saved = saved
    grads: Grads = backward(dy, weight, saved, needs)
    return grads


class _InstanceNorm(NormBase):
    """Defaults, forward and backward of the three."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: DType = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias
        )

    def forward(self, input: Array) -> Array:
        input = check_array(input, "input", self.own_dtype(), self._ndims)
        is_single = input.ndim == self._ndims[0]
        x = input[None] if is_single else input
        mean, var = self.running_mean, self.running_var
        if x.shape[1] != self.num_features:
            message = f"num_features={self.num_features} channels, got shape {input.shape}"
            if self.own_dtype() is not None:
                raise ValueError(f"input must have {message}")
            warn(f"input should have {message}")
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        parameters = to_array(self.weight), to_array(self.bias)
        y, saved = instance_norm(x, *parameters, mean, var, own, momentum, self.eps)
        output = y[0] if is_single else y
        self.save_for_backward(output, is_single, saved)
        return output

    def backward(self, grad_output: Array) -> Array | None:
        dy, is_single, saved = self.saved_for_backward(grad_output)
        grads = instance_norm_backward(
            dy[None] if is_single else dy,
            to_array(self.weight),
            saved,
            self.needs_grads("weight", "bias"),
        )
        dx = self.accumulate_grads(grads, "weight", "bias")
        return dx[0] if is_single and dx is not None else dx


class InstanceNorm1d(_InstanceNorm):
    """Normalises each channel of each sample over its positions; see :class:`InstanceNorm2d`.

    Shape:
        (N, C, L) or (C, L), kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.InstanceNorm1d.html
    """

    _ndims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    r"""Normalises each channel of each sample over its positions.

    .. math::
        y = w\,\frac{x-\mu}{\sqrt{v+\epsilon}} + b

    with mean and variance (biased) over the positions. Running statistics, where they are kept,
    move towards the means of these over the batch: ``running = (1 - momentum) * running +
    momentum * batch``, with the *unbiased* variances, and serve in evaluation.

    Args:
        num_features: C.
        eps: added to the variance, inside the root.
        momentum: of the running statistics (torch's sense: the weight of the new value); None
            leaves them as they are (as torch, which counts no batches here).
        affine: True has w and b.
        track_running_stats: True keeps running statistics.
        device: None or "cpu".
        dtype: of parameters and statistics; float32 unless given.
        bias: False leaves b alone out.

    Shape:
        (N, C, H, W) or (C, H, W), kept; weight, bias, running_mean, running_var (C,).

    Raises:
        ValueError: if the input has another number of axes, other channels than the parameters or
            statistics (without either there is a warning), or one position.
        TypeError: if the input's dtype is not the parameters'.

    Source: https://arxiv.org/abs/1607.08022
    (https://pytorch.org/docs/stable/generated/torch.nn.InstanceNorm2d.html)
    """

    _ndims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Normalises each channel of each sample over its positions; see :class:`InstanceNorm2d`.

    Shape:
        (N, C, D, H, W) or (C, D, H, W), kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.InstanceNorm3d.html
    """

    _ndims = (4, 5)
