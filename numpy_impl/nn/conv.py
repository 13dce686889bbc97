r"""Conv1d, Conv2d, Conv3d: cross-correlation over any number of axes.

How it is defined: ``textbook.conv`` and ``textbook.conv_backward``; how it is computed fast:
``kernels/convolution.py``.
"""

import math
from typing import Any

import numpy as np

from numpy_impl.kernels import convolution
from numpy_impl.kernels.im2col import Steps
from numpy_impl.kernels.memory import aligned_empty
from numpy_impl.kernels.windows import Ints, Pads
from numpy_impl.nn import init
from numpy_impl.nn.batched import Batched
from numpy_impl.nn.checks import cached, check_int, float_dtype, ntuple
from numpy_impl.nn.padding import check_mode, pad, pad_backward
from numpy_impl.nn.parameter import Parameter
from numpy_impl.tensor.tensor import to_array

Array = np.ndarray


def conv(input: Array, weight: Array, bias: Array | None, steps: Steps) -> Array:
    """Cross-correlation: (N, C, S...) and (F, C/groups, K...) -> (N, F, O...)."""
    channels = weight.shape[1] * steps.groups
    if input.shape[1] != channels:
        raise ValueError(f"input must have in_channels={channels} channels, got {input.shape[1]}")
    return convolution.convolve(input, weight, bias, steps)


def conv_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    steps: Steps,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients for input, weight and bias; ``needs`` says which (None for the others)."""
    return convolution.convolve_backward(grad_output, input, weight, steps, needs)


def _checked_steps(weight: Ints, stride: Any, padding: Any, dilation: Any, groups: Any) -> Steps:
    """What torch's arguments mean for a weight of that shape, checked.

    Raises:
        TypeError: if they are no ints.
        ValueError: for sizes out of range, filters that groups do not divide.
    """
    filters, _, *kernel = weight
    n = len(kernel)
    groups = check_int(groups, "groups", 1)
    if filters % groups:
        raise ValueError(f"out_channels must be divisible by groups={groups}, got {filters}")
    strides = ntuple(stride, n, "stride", broadcast=True)
    dilations = ntuple(dilation, n, "dilation", broadcast=True)
    if isinstance(padding, str):
        pads = _named_pads(padding, tuple(kernel), strides, dilations)
    else:
        pads = tuple((p, p) for p in ntuple(padding, n, "padding", 0, broadcast=True))
    return Steps(strides, pads, dilations, groups)


steps_of = cached(_checked_steps)


def _named_pads(name: str, kernel: Ints, stride: Ints, dilation: Ints) -> Pads:
    """'valid' pads nothing; 'same' keeps the size, an odd element going to the high side."""
    if name not in ("same", "valid"):
        raise ValueError(f"padding must be 'same', 'valid' or ints, got {name!r}")
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if any(s != 1 for s in stride):
        raise ValueError(f"padding='same' needs stride 1, got {stride}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def _repeated(value: Any, n: int) -> Ints:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n


def _are_all(value: Any, number: int) -> bool:
    return all(v == number for v in (value if isinstance(value, tuple | list) else (value,)))


class _ConvNd(Batched):
    """Arguments, parameters, forward and backward of Conv1d, Conv2d, Conv3d."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] | str = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        n = self._n
        self.in_channels = check_int(in_channels, "in_channels", 1)
        self.out_channels = check_int(out_channels, "out_channels", 1)
        self.groups = check_int(groups, "groups", 1)
        if in_channels % groups:
            raise ValueError(f"in_channels must be divisible by groups={groups}, got {in_channels}")
        self.kernel_size = ntuple(kernel_size, n, "kernel_size")
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        steps = _checked_steps(shape, stride, padding, dilation, groups)
        check_mode(padding_mode)
        if padding_mode != "zeros" and not isinstance(padding, str):
            ntuple(padding, n, "padding", minimum=0)  # here a tuple of one means one axis
        # as given, as torch shows them
        self.stride = _repeated(stride, n)
        self.dilation = _repeated(dilation, n)
        self.padding = padding if isinstance(padding, str) else _repeated(padding, n)
        self.padding_mode = padding_mode
        # for the other modes, whatever becomes of the attribute: torch takes the first padding
        self._pads = steps.pads
        dtype = float_dtype(dtype, device)
        self.weight = Parameter(aligned_empty(shape, dtype))
        if bias:
            self.bias = Parameter(np.empty(out_channels, dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, in torch's order."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # the same as U(-1/√fan_in, 1/√fan_in)
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def forward_batch(self, input: Array) -> tuple[Any, ...]:
        weight, padded_as = self.weight.data, None
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            check_mode(self.padding_mode)
            padded_as = (self._pads, self.padding_mode)
            input, padding = pad(input, self._pads, self.padding_mode), 0
        steps = steps_of(weight.shape, self.stride, padding, self.dilation, self.groups)
        return conv(input, weight, to_array(self.bias), steps), input, steps, padded_as

    def backward_batch(
        self, grad_output: Array, input: Array, steps: Steps, padded_as: tuple[Any, ...] | None
    ) -> Array | None:
        needs = self.needs_grads("weight", "bias")
        grads = conv_backward(grad_output, input, self.weight.data, steps, needs)
        grad_input = self.accumulate_grads(grads, "weight", "bias")
        if grad_input is None or padded_as is None:
            return grad_input
        return pad_backward(grad_input, *padded_as)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if not _are_all(self.padding, 0):
            parts.append(f"padding={self.padding}")
        if not _are_all(self.dilation, 1):
            parts.append(f"dilation={self.dilation}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class Conv1d(_ConvNd):
    r"""Cross-correlation over one axis; see :class:`Conv2d` for the equation and arguments.

    Shape:
        input (N, C, L) or (C, L) -> (N, F, L'); weight (F, C/groups, K), bias (F,).

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Conv1d.html
    """

    _n = 1


class Conv2d(_ConvNd):
    r"""Cross-correlation over two axes (the kernel is not flipped, as everywhere in the field).

    .. math::
        y[n,f,i,j] = b[f] +
            \sum_{c,u,v} w[f,c,u,v]\,x[n,c,\,s_h i + d_h u - p_h,\,s_w j + d_w v - p_w]

    Args:
        in_channels: C.
        out_channels: F, the number of filters.
        kernel_size: (Kh, Kw), or one int for both; so are stride, padding and dilation.
        stride: s, the step between windows.
        padding: p elements on both sides, ``"valid"`` (none), or ``"same"`` (the output has the
            input's size; stride 1 only; an odd element goes to the high side).
        dilation: d, the step between the kernel's elements.
        groups: channels and filters are split into this many independent convolutions.
        bias: False leaves b out.
        padding_mode: what the padding holds: ``"zeros"``, ``"reflect"``, ``"replicate"``,
            ``"circular"``.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (N, C, H, W) or (C, H, W) -> (N, F, H', W'),
        H' = floor((H + 2 p - d (Kh - 1) - 1) / s) + 1; weight (F, C/groups, Kh, Kw), bias (F,).

    Both start from :math:`U(-1/\sqrt{n}, 1/\sqrt{n})` with n = C/groups * Kh * Kw.

    Raises:
        ValueError: for sizes out of range, channels that groups do not divide, an input with
            another number of channels or smaller than the kernel.
        TypeError: if the input's dtype is not the parameters'.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
    """

    _n = 2


class Conv3d(_ConvNd):
    r"""Cross-correlation over three axes; see :class:`Conv2d` for the equation and arguments.

    Shape:
        input (N, C, D, H, W) or (C, D, H, W) -> (N, F, D', H', W');
        weight (F, C/groups, Kd, Kh, Kw), bias (F,).

    Source: https://pytorch.org/docs/stable/generated/torch.nn.Conv3d.html
    """

    _n = 3
