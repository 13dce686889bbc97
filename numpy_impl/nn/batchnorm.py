"""BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm.

How it is defined: ``textbook.batch_norm`` and ``textbook.batch_norm_backward``. The pair here sums
over batch and positions for each of C channels (``kernels/channels.py``): M = N * P values each,
P the product of the sizes after (N, C).
"""

import math
from typing import Any, Protocol

import numpy as np

from numpy_impl.kernels import channels as kernels
from numpy_impl.kernels.elementwise import silently
from numpy_impl.kernels.groups import inverse_root
from numpy_impl.kernels.windows import MAXDIMS
from numpy_impl.nn.checks import check_array, check_int, float_dtype
from numpy_impl.nn.module import Module
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.tensor import to_array
from numpy_impl.tensor.views import arrays_changed
from numpy_impl.types import Array


class ProcessGroup(Protocol):
    """Processes that share a batch: all that :class:`SyncBatchNorm` asks of them."""

    def sum(self, array: Array) -> Array:
        """The sum of the arrays that the processes hand in, the same in each; of their dtype."""
        ...


@silently
def batch_norm(
    input: Array,
    weight: Array | None,
    bias: Array | None,
    running_mean: Array | None,
    running_var: Array | None,
    training: bool,
    momentum: float,
    eps: float,
    group: ProcessGroup | None = None,
) -> tuple[Array, tuple[Any, ...]]:
    r""":math:`y = w\,(x - \mu) / \sqrt{v + \epsilon} + b`; in training of the batch's statistics.

    The running ones, if there are any, then move in place; else they serve. The batch is that of
    all processes of a ``group``.

    Returns:
        y, and what :func:`batch_norm_backward` needs.
    """
    check_statistics(running_mean, running_var, training)
    if eps <= 0 and (training or eps < 0):
        allowed = "positive for the batch's statistics" if training else "at least 0"
        raise ValueError(f"eps must be {allowed}, got {eps}")
    channels = input.shape[1]
    x = kernels.view_of(input)
    count = len(input) * math.prod(input.shape[2:]) if training else 0
    if training:
        mean, residual, var = kernels.moments(x, channels)
        if group is not None:
            mean, residual, var, count = moments_of_all(group, mean, residual, var, count)
        if count == 1:
            raise ValueError(
                "the batch's statistics need more than 1 value per channel, "
                f"got input of shape {input.shape}"
            )
        if count:  # a batch of nothing moves nothing
            move_statistics(running_mean, running_var, mean, residual, var, count, momentum)
    else:
        # copies: a later call may move them before this one's backward
        mean, var = np.array(running_mean), np.array(running_var)
        residual = np.zeros_like(mean)
    inverse_std = inverse_root(var, eps)
    scale = inverse_std if weight is None else inverse_std * weight
    shift = -residual * scale if bias is None else bias - residual * scale
    output = kernels.from_view(kernels.scale_shift(x, mean, scale, shift), input.shape)
    return output, (x, mean, residual, inverse_std, count, group)


@silently
def batch_norm_backward(
    dy: Array,
    weight: Array | None,
    saved: tuple[Any, ...],
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    r"""Gradients for input, weight and bias (C,); ``needs`` says which (None for the others).

    With :math:`\hat x = (x - \mu)/\sigma`: :math:`db = \sum dy,\; dw = \sum dy\,\hat x`. Where the
    statistics are the batch's own they depend on x too, which takes two projections off:
    :math:`dx = \frac{w}{\sigma}\,(dy - \frac{1}{M} db - \frac{1}{M} \hat x\, dw)`.
    """
    x, mean, residual, inverse_std, count, group = saved
    through_statistics = count > 0 and needs[0]  # in evaluation, or of nothing, it is 0
    channels, shape, dy = len(inverse_std), dy.shape, kernels.view_like(dy, x)
    dx = dw = db = None
    if not dy.size:
        inverse_std = np.zeros_like(inverse_std)  # nothing adds up to 0, whatever the deviation
    if through_statistics or needs[1]:
        db, products = kernels.product_sums(dy, x, mean)
        dw = inverse_std * (products - residual * db)
    elif needs[2]:
        db = kernels.channel_sums(dy, channels)
    if needs[0]:
        scale = inverse_std if weight is None else inverse_std * weight
        if through_statistics:
            m = dy.dtype.type(count)
            of_all = (dw, db) if group is None else group.sum(np.array([dw, db]))
            slope = scale * (inverse_std * of_all[0] / m)
            offset = scale * of_all[1] / m - residual * slope  # x - mean less the residual
            dx = kernels.scale_less(dy, scale, x, mean, slope, offset)
        else:
            dx = kernels.scale_by(dy, scale)
        dx = kernels.from_view(dx, shape)
    return dx, dw if needs[1] else None, db if needs[2] else None


def moments_of_all(
    group: ProcessGroup, mean: Array, residual: Array, var: Array, count: int
) -> tuple[Array, Array, Array, int]:
    """Each process's mean, what is left of it, variance and count -> those of all together.

    About a mean p that all share, a process's own mean lies at r and its mean square at v + r^2.
    """
    sums = group.sum(np.concatenate([[count], count * mean.astype(np.float64)]))
    total = int(sums[0])
    shared = (sums[1:] / max(total, 1)).astype(mean.dtype)
    own = mean.astype(np.float64) - shared + residual
    own, squares = group.sum(count * np.stack([own, var + own * own])) / max(total, 1)
    return shared, own.astype(mean.dtype), (squares - own * own).astype(mean.dtype), total


def check_statistics(mean: Array | None, var: Array | None, may_be_none: bool) -> None:
    """Both of the running statistics, or where the batch's own serve neither."""
    if (mean is None) != (var is None):
        raise ValueError("running_mean and running_var must both be None, or neither")
    if mean is None and not may_be_none:
        raise ValueError("running_mean and running_var must not be None in evaluation")


def move_statistics(
    running_mean: Array | None,
    running_var: Array | None,
    mean: Array,
    residual: Array,
    var: Array,
    count: int,
    momentum: float,
) -> None:
    """Towards those of a batch of ``count`` values each; the variance kept is the unbiased."""
    if running_mean is None or running_var is None:
        return
    exact = np.add(mean, residual, out=mean.copy(), where=np.isfinite(mean))
    for running, value in ((running_mean, exact), (running_var, var * (count / (count - 1)))):
        running *= 1 - momentum
        running += momentum * value


class NormBase(Module):
    """Arguments, parameters and running statistics of BatchNorm and InstanceNorm."""

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
        self.num_features = check_int(num_features, "num_features", 0)
        dtype = float_dtype(dtype, device)
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
        arrays_changed()

    def own_dtype(self) -> np.dtype | None:
        """Of parameters or statistics; None if there are none."""
        owned = self.running_mean if self.weight is None else self.weight.data
        return None if owned is None else owned.dtype

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


class _BatchNorm(NormBase):
    """Forward and backward of the four."""

    process_group: ProcessGroup | None = None

    def forward(self, input: Array) -> Array:
        weight, bias = to_array(self.weight), to_array(self.bias)
        mean, var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        tracks = self.training and self.track_running_stats
        input = check_array(input, "input", self.own_dtype(), self._ndims)
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"input must have num_features={self.num_features} channels, "
                f"got shape {input.shape}"
            )
        if self.training and not tracks:
            mean = var = None
        momentum = self.momentum
        if momentum is None:  # a plain average over all batches
            momentum = 0.0 if batches is None else 1 / (batches.item() + 1)
        training = self.training or (mean is None and var is None)
        group = self.process_group if self.training else None
        options = training, momentum, self.eps, group
        output, saved = batch_norm(input, weight, bias, mean, var, *options)
        if tracks and batches is not None:
            batches += 1
        self.save_for_backward(output, saved)
        return output

    def backward(self, grad_output: Array) -> Array | None:
        dy, saved = self.saved_for_backward(grad_output)
        needs = self.needs_grads("weight", "bias")
        grads = batch_norm_backward(dy, to_array(self.weight), saved, needs)
        return self.accumulate_grads(grads, "weight", "bias")


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


class SyncBatchNorm(_BatchNorm):
    r"""BatchNorm of a batch whose rows are shared out among processes: see :class:`BatchNorm2d`.

    In training :math:`\mu, v` are those of all processes' rows together, and so are the two sums
    in the gradient for the input; a process without any rows takes part. The gradients for weight
    and bias are of the process's own rows, to be added up with all others'. In evaluation, and
    without a group, it is BatchNorm.

    torch's own takes GPU tensors only, and the group of its own distributed package.

    Args:
        num_features, eps, momentum, affine, track_running_stats: as :class:`BatchNorm2d`'s.
        process_group: an object with a method ``sum(array)``: over all processes, in each of them;
            None for this process alone.
        device, dtype, bias: as :class:`BatchNorm2d`'s.

    Shape:
        (N, C, S...), kept.

    Raises:
        ValueError, TypeError: as :class:`BatchNorm2d`.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.SyncBatchNorm.html
    """

    _ndims = tuple(range(2, MAXDIMS + 1))

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: ProcessGroup | None = None,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check_int(num_features, "num_features", 1)
        if process_group is not None and not callable(getattr(process_group, "sum", None)):
            raise TypeError(
                f"process_group must have a method sum(array), or be None, got {process_group!r}"
            )
        options = eps, momentum, affine, track_running_stats, device, dtype
        super().__init__(num_features, *options, bias=bias)
        self.process_group = process_group

    @classmethod
    def convert_sync_batchnorm(
        cls, module: Module, process_group: ProcessGroup | None = None
    ) -> Module:
        """``module`` with every BatchNorm in it replaced; its parameters and buffers stay.

        Args:
            module: changed in place, unless it is a BatchNorm itself.
            process_group: of the new layers.
        """
        if isinstance(module, _BatchNorm):
            sync = cls(
                module.num_features,
                module.eps,
                module.momentum,
                module.affine,
                module.track_running_stats,
                process_group,
            )
            for name in ("weight", "bias"):
                setattr(sync, name, getattr(module, name))
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                setattr(sync, name, getattr(module, name))
            return sync.train(module.training)
        for name, child in list(module.named_children()):
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module
