"""BatchNorm1d, BatchNorm2d, BatchNorm3d.

Letters in shape comments: N batch, C channels, P positions (the product of the sizes after
(N, C)), M = N * P. Memory is channels-last, seen as (N, P*C): one long row for each sample, so
that a per-channel value, tiled P times, meets it without short inner loops.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpy_impl._threads import over_parts, over_slices
from numpy_impl.nn._window import channels_first, channels_last
from numpy_impl.nn.checks import check_array, float_dtype
from numpy_impl.nn.linear import sum_rows
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter

Array = np.ndarray
# a decorator: overflow and x / 0 give what they give, as in torch, without a warning
_silently = np.errstate(divide="ignore", over="ignore", invalid="ignore")


def _channel_sums(function: Callable[[slice], Sequence[Array]], flat: Array) -> list[Array]:
    """Sums over batch and positions of what ``function`` makes of slices of the batch.

    It returns arrays whose last axis is (P*C) or C; their sums are (C,).
    """
    parts: dict[int, list[Array]] = {}

    def part(samples: slice) -> None:
        parts[samples.start] = list(function(samples))

    over_parts(part, len(flat), flat.size)
    # in the order of the batch, whichever thread was first
    columns = zip(*(parts[i] for i in sorted(parts)), strict=True)
    return [sum(column[1:], column[0]) for column in columns]


def _by_channel(flat: Array, channels: int) -> Array:
    """(N, P*C) -> (N*P, C), a view; also where that is nothing."""
    return flat.reshape(flat.size // max(channels, 1), channels)


def _tile(values: Array, positions: int) -> Array:
    """(C,) -> (P*C,)."""
    if positions == 1:
        return values
    return values[None].repeat(positions, 0).reshape(-1)  # a third of the time of np.tile


def centre(flat: Array, channels: int) -> tuple[Array, Array, Array, Array]:
    """(N, P*C) -> the centred values, what is left of their mean, mean and variance (C,).

    The float32 mean of values far from 0 is off by more than their deviations resolve: x minus
    that mean has a mean of its own, which is what is left. It belongs to neither side's rounding.
    Of no values all are 0.
    """
    positions = flat.shape[1] // max(channels, 1)
    count = flat.dtype.type(max(len(flat) * positions, 1))
    (total,) = _channel_sums(lambda s: [sum_rows(_by_channel(flat[s], channels))], flat)
    mean = total / count
    tiled = _tile(mean, positions)
    centred = np.empty_like(flat)

    def moments(samples: slice) -> Sequence[Array]:
        np.subtract(flat[samples], tiled, out=centred[samples])
        values = _by_channel(centred[samples], channels)
        return sum_rows(values), sum_rows(np.square(values))

    total, squares = _channel_sums(moments, flat)
    rest, var = total / count, squares / count
    # an infinite mean has no rest; from an infinite variance none is taken off
    np.add(mean, rest, out=mean, where=np.isfinite(mean))
    np.subtract(var, rest * rest, out=var, where=var != np.inf)
    return centred, rest, mean, var


def batch_norm(
    centred: Array,
    rest: Array,
    var: Array,
    weight: Array | None,
    bias: Array | None,
    eps: float,
) -> tuple[Array, Array]:
    r"""(N, P*C) of x - mean + rest -> :math:`y = w\,(x - \mu) / \sqrt{v + \epsilon} + b`.

    Returns:
        y, and 1 / sqrt(var + eps), which backward needs.
    """
    positions = centred.shape[1] // max(len(var), 1)
    # eps as it is: float32 has no 1e-50, and the root of 0 would be divided by
    inverse_std = (1 / np.sqrt(var + np.float64(eps))).astype(var.dtype)
    scale = inverse_std if weight is None else inverse_std * weight
    shift = -rest * scale if bias is None else bias - rest * scale
    scale, shift = _tile(scale, positions), _tile(shift, positions)
    output = np.empty_like(centred)

    def normalise(samples: slice) -> None:
        values = np.multiply(centred[samples], scale, out=output[samples])
        values += shift

    over_slices(normalise, len(centred), centred.size)
    return output, inverse_std


def batch_norm_backward(
    upstream: Array,
    centred: Array,
    rest: Array,
    inverse_std: Array,
    weight: Array | None,
    through_statistics: bool,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    r"""Gradients for input (N, P*C), weight and bias (C,); ``needs`` says which.

    With :math:`\hat x = (x - \mu)/\sigma`: :math:`db = \sum dy,\; dw = \sum dy\,\hat x`. Where the
    statistics are the batch's own they depend on x too, which takes two projections off:
    :math:`dx = \frac{w}{\sigma}\,(dy - \frac{1}{M} db - \frac{1}{M} \hat x\, dw)`.
    """
    channels = len(inverse_std)
    through_statistics = through_statistics and needs[0]
    if not upstream.size:  # nothing adds up to 0, whatever the deviation
        zeros = np.zeros_like(inverse_std)
        return (
            upstream.copy() if needs[0] else None,
            zeros if needs[1] else None,
            zeros.copy() if needs[2] else None,
        )
    positions = upstream.shape[1] // channels
    grad_weight = grad_bias = None

    def sums(samples: slice) -> Sequence[Array]:
        dy = upstream[samples]
        along = dy * centred[samples]
        return sum_rows(_by_channel(dy, channels)), sum_rows(_by_channel(along, channels))

    if through_statistics or needs[1]:
        grad_bias, along = _channel_sums(sums, upstream)
        grad_weight = inverse_std * (along - rest * grad_bias)
    elif needs[2]:
        (grad_bias,) = _channel_sums(
            lambda s: [sum_rows(_by_channel(upstream[s], channels))], upstream
        )
    own = (grad_weight if needs[1] else None, grad_bias if needs[2] else None)
    if not needs[0]:
        return None, *own
    scale = inverse_std if weight is None else inverse_std * weight
    slope = offset = None
    if through_statistics:
        count = upstream.dtype.type(len(upstream) * positions)
        per_value = scale * (inverse_std * grad_weight / count)
        # -(x - mean) * per_value, with x - mean = centred - rest
        slope = _tile(per_value, positions)
        offset = _tile(scale * grad_bias / count - rest * per_value, positions)
    scale = _tile(scale, positions)
    grad = np.empty_like(upstream)

    def back(samples: slice) -> None:
        dx = np.multiply(upstream[samples], scale, out=grad[samples])
        if slope is not None:
            dx -= centred[samples] * slope
            dx -= offset

    over_slices(back, len(upstream), upstream.size)
    return grad, *own


class _BatchNorm(Module):
    """Arguments, parameters, buffers, forward and backward of the three."""

    _ndims: tuple[int, ...]

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if not isinstance(num_features, int) or num_features < 0:
            raise ValueError(f"num_features must be an int of at least 0, got {num_features!r}")
        dtype = float_dtype(dtype, device)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter(
            "weight", Parameter(np.ones(num_features, dtype)) if affine else None
        )
        self.register_parameter(
            "bias", Parameter(np.zeros(num_features, dtype)) if affine and bias else None
        )
        tracked = track_running_stats
        self.register_buffer("running_mean", np.zeros(num_features, dtype) if tracked else None)
        self.register_buffer("running_var", np.ones(num_features, dtype) if tracked else None)
        self.register_buffer("num_batches_tracked", np.zeros((), np.int64) if tracked else None)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batch seen."""
        if self.track_running_stats:
            self.running_mean.fill(0)
            self.running_var.fill(1)
            self.num_batches_tracked.fill(0)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the running statistics as new."""
        self.reset_running_stats()
        if self.weight is not None:
            self.weight.data.fill(1)
        if self.bias is not None:
            self.bias.data.fill(0)

    def _track(
        self,
        running_mean: Array | None,
        running_var: Array | None,
        mean: Array,
        var: Array,
        count: int,
    ) -> None:
        """Move the running statistics towards the batch's; the variance kept is the unbiased.

        A batch of nothing is counted, and moves nothing.
        """
        momentum, batches = self.momentum, self.num_batches_tracked
        if batches is not None:
            batches += 1
        if momentum is None:  # a plain average over all batches
            momentum = 0.0 if batches is None else 1 / batches.item()
        if running_mean is None or running_var is None or not count:
            return
        for running, value in (
            (running_mean, mean),
            (running_var, var * (count / (count - 1))),
        ):
            running *= 1 - momentum
            running += momentum * value

    @_silently
    def forward(self, input: Array) -> Array:
        owner = type(self).__name__
        weight, bias = self.weight, self.bias
        running_mean, running_var = self.running_mean, self.running_var
        owned = running_mean if weight is None else weight.data
        input = check_array(
            input, "input", owner, None if owned is None else owned.dtype, self._ndims
        )
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"{owner}: input must have num_features={self.num_features} channels, "
                f"got shape {input.shape}"
            )
        tracks = self.training and self.track_running_stats
        if (running_mean is None) != (running_var is None) and (tracks or not self.training):
            raise ValueError(f"{owner}: running_mean and running_var must both be None, or neither")
        use_batch = self.training or running_mean is None
        if self.eps <= 0 and (use_batch or self.eps < 0):
            allowed = "positive for the batch's statistics" if use_batch else "at least 0"
            raise ValueError(f"{owner}: eps must be {allowed}, got {self.eps}")
        last = channels_last(input)
        positions = math.prod(input.shape[2:])
        flat = last.reshape(len(input), positions * self.num_features)
        if use_batch:
            count = len(input) * positions
            if count == 1:
                raise ValueError(
                    f"{owner}: the batch's statistics need more than 1 value per channel, "
                    f"got input of shape {input.shape}"
                )
            centred, rest, mean, var = centre(flat, self.num_features)
            if tracks:
                self._track(running_mean, running_var, mean, var, count)
        else:
            var, rest = running_var, np.zeros_like(running_var)
            centred = flat - _tile(running_mean, positions)
        values, inverse_std = batch_norm(
            centred,
            rest,
            var,
            None if weight is None else weight.data,
            None if bias is None else bias.data,
            self.eps,
        )
        output = channels_first(values.reshape(last.shape))
        self.save_for_backward(output, centred, rest, inverse_std, use_batch)
        return output

    @_silently
    def backward(self, grad_output: Array) -> Array | None:
        grad_output, centred, rest, inverse_std, use_batch = self.saved_for_backward(grad_output)
        upstream = channels_last(grad_output)
        weight, bias = self.weight, self.bias
        needs_weight = weight is not None and weight.requires_grad
        needs_bias = bias is not None and bias.requires_grad
        grad, grad_weight, grad_bias = batch_norm_backward(
            upstream.reshape(centred.shape),
            centred,
            rest,
            inverse_std,
            None if weight is None else weight.data,
            use_batch,
            (self.needs_grad(), needs_weight, needs_bias),
        )
        if grad_weight is not None:
            weight.accumulate_grad(grad_weight)
        if grad_bias is not None:
            bias.accumulate_grad(grad_bias)
        return None if grad is None else channels_first(grad.reshape(upstream.shape))

    def _upgrade_state_dict(self, state_dict: dict[str, Any], prefix: str) -> None:
        """PyTorch before 0.4.1 counted no batches: the count stays as it is then."""
        if self.track_running_stats and self.num_batches_tracked is not None:
            state_dict.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    r"""Normalises each channel over the batch (and positions); see :class:`BatchNorm2d`.

    Shape:
        (N, C) or (N, C, L), kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html
    """

    _ndims = (2, 3)


class BatchNorm2d(_BatchNorm):
    r"""Normalises each channel over batch and positions.

    .. math::
        y = w\,\frac{x-\mu}{\sqrt{v+\epsilon}} + b

    In training :math:`\mu, v` are the batch's own (v biased, divided by M); the running statistics
    move towards them: ``running = (1 - momentum) * running + momentum * batch``, with the
    *unbiased* variance (M - 1). In evaluation they are the running ones, and gradients still
    flow. Without running statistics the batch's own serve always. An empty batch is counted, and
    moves no statistics.

    Args:
        num_features: C.
        eps: added to the variance, inside the root.
        momentum: of the running statistics (torch's sense: the weight of the new value); None
            keeps a plain average over all batches.
        affine: False leaves w and b out.
        track_running_stats: False keeps none.
        device: None or "cpu".
        dtype: of parameters and statistics; float32 unless given.
        bias: False leaves b alone out.

    Shape:
        (N, C, H, W), kept; weight, bias, running_mean, running_var (C,).

    Raises:
        ValueError: for another number of channels or dimensions; where the batch's statistics are
            used, for a single value per channel and for an eps of 0.
        TypeError: if the input's dtype is not the parameters'.

    Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167;
    https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """

    _ndims = (4,)


class BatchNorm3d(_BatchNorm):
    """Normalises each channel over batch and positions; see :class:`BatchNorm2d`.

    Shape:
        (N, C, D, H, W), kept.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm3d.html
    """

    _ndims = (5,)
