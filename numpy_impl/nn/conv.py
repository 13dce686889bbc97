r"""Conv1d, 2d, 3d: cross-correlation over any number of axes; ConvTranspose...: its way back.

How they are defined: ``textbook.conv``, ``textbook.conv_transpose`` and their backwards; how they
are computed fast: ``kernels/convolution.py``.
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


def conv_transpose(input: Array, weight: Array, bias: Array | None, steps: Steps) -> Array:
    """Transposed convolution: (N, C, I...) and (C, F/groups, K...) -> (N, F, O...).

    C and F, I and O have changed places with those of :func:`conv`, of which this is the way back
    to the input; ``steps`` are that one's.
    """
    channels, _, *kernel = weight.shape
    if input.shape[1] != channels:
        raise ValueError(f"input must have in_channels={channels} channels, got {input.shape[1]}")
    if 0 in input.shape[2:]:
        raise ValueError(f"input must have positions along every axis, got shape {input.shape}")
    sizes = _transposed_sizes(input.shape[2:], tuple(kernel), steps)
    if min(sizes) < 1:
        raise ValueError(f"padding must leave an output, got {steps.pads} for output size {sizes}")
    return convolution.convolve_transposed(input, weight, bias, steps, sizes)


def conv_transpose_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    steps: Steps,
    needs: tuple[bool, ...] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients for input, weight and bias; ``needs`` says which (None for the others).

    The way back of the way back is :func:`conv`.
    """
    return convolution.convolve_transposed_backward(grad_output, input, weight, steps, needs)


def _transposed_sizes(inputs: Ints, kernel: Ints, steps: Steps) -> Ints:
    """O... = (I - 1) stride + dilation (K - 1) + 1 - pads: what all windows span, less padding."""
    return tuple(
        (i - 1) * s + d * (k - 1) + 1 - low - high
        for i, k, s, (low, high), d in zip(inputs, kernel, *steps[:3], strict=True)
    )


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


def _checked_transposed_steps(
    weight: Ints, stride: Any, padding: Any, output_padding: Any, groups: Any, dilation: Any
) -> Steps:
    """The same for a transposed convolution, as those of the convolution it is the way back of.

    Raises:
        TypeError: if they are no ints.
        ValueError: for sizes out of range, channels that groups do not divide.
    """
    channels, _, *kernel = weight
    n = len(kernel)
    groups = check_int(groups, "groups", 1)
    if channels % groups:
        raise ValueError(f"in_channels must be divisible by groups={groups}, got {channels}")
    strides = ntuple(stride, n, "stride", broadcast=True)
    dilations = ntuple(dilation, n, "dilation", broadcast=True)
    paddings = ntuple(padding, n, "padding", 0, broadcast=True)
    extras = ntuple(output_padding, n, "output_padding", 0, broadcast=True)
    if any(e >= max(s, d) for e, s, d in zip(extras, strides, dilations, strict=True)):
        raise ValueError(
            f"output_padding must be smaller than stride {strides} or dilation {dilations}, "
            f"got {output_padding}"
        )
    # elements more behind the output are so many less in its high padding
    pads = tuple((p, p - extra) for p, extra in zip(paddings, extras, strict=True))
    return Steps(strides, pads, dilations, groups)


transposed_steps_of = cached(_checked_transposed_steps)


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

    _least_in_channels = 1
    _backward = staticmethod(conv_backward)
    output_padding: int | tuple[int, ...] = 0

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
        self.in_channels = check_int(in_channels, "in_channels", self._least_in_channels)
        self.out_channels = check_int(out_channels, "out_channels", 1)
        self.groups = check_int(groups, "groups", 1)
        if in_channels % groups:
            raise ValueError(f"in_channels must be divisible by groups={groups}, got {in_channels}")
        if out_channels % groups:
            raise ValueError(
                f"out_channels must be divisible by groups={groups}, got {out_channels}"
            )
        self.kernel_size = ntuple(kernel_size, n, "kernel_size")
        shape = self._weight_shape()
        steps = _checked_steps((out_channels, 1, *shape[2:]), stride, padding, dilation, groups)
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

    def _weight_shape(self) -> Ints:
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

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
        grads = self._backward(grad_output, input, self.weight.data, steps, needs)
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
        if not _are_all(self.output_padding, 0):
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _ConvTransposeNd(_ConvNd):
    """What differs for ConvTranspose1d, ConvTranspose2d, ConvTranspose3d."""

    _backward = staticmethod(conv_transpose_backward)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: int | tuple[int, ...] = 0,
        output_padding: int | tuple[int, ...] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, ...] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros', got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"padding must be an int or a tuple of ints, got {padding!r}")
        options = (stride, padding, dilation, groups, bias, padding_mode, device, dtype)
        super().__init__(in_channels, out_channels, kernel_size, *options)
        _checked_transposed_steps(
            self._weight_shape(), stride, padding, output_padding, groups, dilation
        )
        self.output_padding = _repeated(output_padding, self._n)

    def _weight_shape(self) -> Ints:
        return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)

    def forward_batch(self, input: Array, output_size: Any = None) -> tuple[Any, ...]:
        weight, output_padding = self.weight.data, self.output_padding
        if self.padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros', got {self.padding_mode!r}")
        if output_size is not None:
            output_padding = self._output_padding(input.shape[2:], output_size)
        steps = transposed_steps_of(
            weight.shape, self.stride, self.padding, output_padding, self.groups, self.dilation
        )
        return conv_transpose(input, weight, to_array(self.bias), steps), input, steps, None

    def _output_padding(self, inputs: Ints, output_size: Any) -> Ints:
        """What makes the output that size, which is O... or has (N, C) or (C,) before them."""
        n, shape = self._n, self.weight.shape
        if len(output_size) not in (n, n + 1, n + 2):
            raise ValueError(
                f"output_size must have {n} elements, or the output's shape's {n + 1} or {n + 2}, "
                f"got {output_size}"
            )
        wanted = ntuple(tuple(output_size)[-n:], n, "output_size", 0)
        options = (self.stride, self.padding, 0, self.groups, self.dilation)
        steps = transposed_steps_of(shape, *options)
        least = _transposed_sizes(inputs, shape[2:], steps)
        most = tuple(size + s - 1 for size, s in zip(least, steps.stride, strict=True))
        if any(not a <= w <= b for a, w, b in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"output_size must be from {least} to {most} for an input of {inputs}, got {wanted}"
            )
        return tuple(w - a for w, a in zip(wanted, least, strict=True))


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


class ConvTranspose1d(_ConvTransposeNd):
    r"""Transposed convolution over one axis; see :class:`ConvTranspose2d`.

    Shape:
        input (N, C, L) or (C, L) -> (N, F, L'); weight (C, F/groups, K), bias (F,).

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose1d.html
    """

    _n = 1


class ConvTranspose2d(_ConvTransposeNd):
    r"""Transposed convolution: the gradient of :class:`Conv2d` for its input, as a layer.

    Each input element adds the kernel, times itself, to a window of the output:

    .. math::
        y[n,f,\,s_h i + d_h u - p_h,\,s_w j + d_w v - p_w] \mathrel{+}=
            \sum_c w[c,f,u,v]\,x[n,c,i,j] \quad\text{for all } i,j,u,v; \quad y \mathrel{+}= b[f]

    Args:
        in_channels: C.
        out_channels: F.
        kernel_size: (Kh, Kw), or one int for both; so are stride, paddings, dilation.
        stride: s, the step between windows of the output.
        padding: p elements less on both sides of the output.
        output_padding: elements more on its high side, less than stride or dilation: of the sizes
            that Conv2d takes to the same one, it says which.
        groups: channels are split into this many independent transposed convolutions.
        bias: False leaves b out.
        dilation: d, the step between the kernel's elements.
        padding_mode: ``"zeros"``, there is no other.
        device: None or "cpu".
        dtype: of the parameters; float32 unless given.

    Shape:
        input (N, C, H, W) or (C, H, W) -> (N, F, H', W'),
        H' = (H - 1) s - 2 p + d (Kh - 1) + output_padding + 1;
        weight (C, F/groups, Kh, Kw), bias (F,).

    ``forward(input, output_size)`` chooses H', W' in place of output_padding. Both parameters
    start from :math:`U(-1/\sqrt{n}, 1/\sqrt{n})` with n = F/groups * Kh * Kw.

    Raises:
        ValueError: for sizes out of range, channels that groups do not divide, an input with
            another number of channels or no positions, an output_size that no output_padding
            reaches, an output of no size.
        TypeError: if the input's dtype is not the parameters'.

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose2d.html
    """

    _n = 2


class ConvTranspose3d(_ConvTransposeNd):
    r"""Transposed convolution over three axes; see :class:`ConvTranspose2d`.

    Shape:
        input (N, C, D, H, W) or (C, D, H, W) -> (N, F, D', H', W');
        weight (C, F/groups, Kd, Kh, Kw), bias (F,).

    Source: https://pytorch.org/docs/stable/generated/torch.nn.ConvTranspose3d.html
    """

    _n = 3
