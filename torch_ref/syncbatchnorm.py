"""SyncBatchNorm on the CPU, which torch's own refuses; its gradient is torch's autograd's."""

from typing import Any

import numpy as np
import torch


class _Sum(torch.autograd.Function):
    """Over all processes: y = sum of x_i, and so dx_i = sum of dy_j."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        return torch.from_numpy(group.sum(x.detach().numpy()))

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.from_numpy(ctx.group.sum(dy.numpy())), None


class SyncBatchNorm(torch.nn.SyncBatchNorm):
    """torch's, for a ``process_group`` with a method ``sum(array)``; see ``numpy_impl``'s."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or self.process_group is None:
            return super().forward(input)
        self._check_input_dim(input)
        axes = [0, *range(2, input.dim())]
        shape = [1, -1] + [1] * (input.dim() - 2)

        def total(values: torch.Tensor) -> torch.Tensor:
            return _Sum.apply(values.sum(axes), self.process_group)

        count = self.process_group.sum(np.array([input[:, :1].numel()])).item()
        if count == 1:
            raise ValueError("the batch's statistics need more than 1 value per channel")
        mean = total(input) / count
        centred = input - mean.view(shape)
        var = total(centred**2) / count
        self._move(mean.detach(), var.detach() * (count / (count - 1)))
        y = centred * (var + self.eps).rsqrt().view(shape)
        if self.weight is not None:
            y = y * self.weight.view(shape)
        return y if self.bias is None else y + self.bias.view(shape)

    def _move(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        if self.running_mean is None or self.running_var is None or not self.track_running_stats:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:  # a plain average over all batches
            momentum = 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(var, momentum)

    @classmethod
    def convert_sync_batchnorm(cls, module: Any, process_group: Any = None) -> Any:
        converted = super().convert_sync_batchnorm(module, process_group)
        for layer in converted.modules():
            if type(layer) is torch.nn.SyncBatchNorm:
                layer.__class__ = cls
        return converted
