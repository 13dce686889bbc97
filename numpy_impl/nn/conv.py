r"""Conv1d, Conv2d, Conv3d: cross-correlation of any number of dimensions.

Arrays are (N, C, S...) to the caller and channels-last in memory, so that a row of the kernel
times its channels is one contiguous run: a convolution is a copy of its windows (``_im2col``) and
matrix products, done in blocks that stay in the cache.

Letters in shape comments: N batch, C input channels, O... output sizes, K... kernel sizes,
M = N * prod(O...) output positions, P = prod(K...) kernel positions, G groups, F filters.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl import _threads
from numpy_impl.nn import init
from numpy_impl.nn._im2col import Block, geometry, group_rows
from numpy_impl.nn._window import (
    Ints,
    Pads,
    batched,
    channels_first,
    channels_last,
    interior,
    ntuple,
    window_slices,
    with_batch,
    without_batch,
)
from numpy_impl.nn.linear import sum_rows
from numpy_impl.nn.module import Module, float_dtype
from numpy_impl.nn.padding import PADDING_MODES, pad, pad_backward
from numpy_impl.nn.parameter import Parameter, aligned_empty

Array = np.ndarray
# rows shorter than this meet the next one of another array in a slow loop
_SHORT_ROW = 32
# axes of a weight (G, F/G, C/G, K...) as GEMM takes it, by those of (F, C/G, K...)
_TAPS_FIRST = {n: (0, *range(3, n + 1), 2, 1) for n in (3, 4, 5)}


def _filters(weight: Array, groups: int) -> Array:
    """Weight (F, C/G, K...) -> (G, P*C/G, F/G): each column a filter."""
    shape = weight.shape
    split = weight.reshape(groups, shape[0] // groups, *shape[1:])
    # contiguous: GEMM takes it a third faster than its transpose
    taps_first = split.transpose(_TAPS_FIRST[len(shape)])
    return taps_first.reshape(groups, -1, shape[0] // groups)


def _is_depthwise(weight: Array, groups: int) -> bool:
    """One channel in, one filter out in every group: sums over taps alone, no GEMM."""
    return groups > 1 and len(weight) == groups and weight.shape[1] == 1


def _depthwise_axes(n: int) -> tuple[list[int], list[int], list[int]]:
    """einsum's labels for windows (N, O..., K..., C), weight (K..., C), output (N, O..., C)."""
    outputs, kernel, channel = [*range(n + 1)], [*range(n + 1, 2 * n + 1)], [2 * n + 1]
    return outputs + kernel + channel, kernel + channel, outputs + channel


def convolve(
    input: Array,
    weight: Array,
    bias: Array | None,
    stride: Ints,
    pads: Pads,
    dilation: Ints,
    groups: int,
) -> Array:
    """Cross-correlation: (N, C, S...) and (F, C/G, K...) -> (N, O..., F)."""
    last = channels_last(input)
    kernel = weight.shape[2:]
    described = (last.shape, last.itemsize, len(weight), kernel, stride, pads, dilation, groups)
    windows = geometry(*described)
    output = np.empty((len(last), *windows.outputs, len(weight)), last.dtype)
    if bias is not None and len(bias) < _SHORT_ROW:
        # a row of positions meets its bias as one long row
        bias = bias[None].repeat(math.prod(windows.outputs[1:]), 0).reshape(-1)

    def add_bias(rows: Array) -> None:
        if bias is not None:
            rows = rows.reshape(-1, len(bias))
            np.add(rows, bias, out=rows)

    if _is_depthwise(weight, groups):
        view_axes, weight_axes, output_axes = _depthwise_axes(len(kernel))
        taps = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))  # (K..., C)
        whole = windows.windows(last)

        def sum_taps(images: slice) -> None:
            # (no order="C": einsum would then walk the axes in that order, five times as slow)
            output[images] = np.einsum(whole[images], view_axes, taps, weight_axes, output_axes)
            add_bias(output[images])

        _threads.over_slices(sum_taps, len(input), output.size)
        return output
    first, *others = _filters(weight, groups).reshape(windows.filters_shape)
    view = windows.windows_of_blocks(last)

    def product(block: Block) -> None:
        part = output[block]
        rows = windows.rows(part)
        matrix, *matrices = windows.matrices(view(block))
        np.matmul(matrix, first, out=rows)
        if others:
            summand = np.empty_like(rows)
            for matrix, filters in zip(matrices, others, strict=True):
                rows += np.matmul(matrix, filters, out=summand)
        add_bias(part)

    _threads.run_each(product, windows.blocks)
    return output


def _weight_grad(
    upstream: Array,
    input: Array,
    weight: Array,
    stride: Ints,
    pads: Pads,
    dilation: Ints,
    groups: int,
) -> Array:
    """dW = X^T dY, with X the im2col matrix of :func:`convolve`; upstream is (N, O..., F)."""
    filters, per_group, *kernel = weight.shape
    last = channels_last(input)
    described = (last.shape, last.itemsize, filters, tuple(kernel), stride, pads, dilation, groups)
    windows = geometry(*described)
    if _is_depthwise(weight, groups):
        view_axes, weight_axes, output_axes = _depthwise_axes(len(kernel))
        # (K..., C)
        taps = np.einsum(windows.windows(last), view_axes, upstream, output_axes, weight_axes)
        return np.ascontiguousarray(np.moveaxis(taps, -1, 0)[:, None])
    # sums of their own for runs of blocks, as many whatever the number of threads
    view, blocks = windows.windows_of_blocks(last), windows.blocks
    runs = [r for r in (blocks[i :: _threads.PARTS] for i in range(_threads.PARTS)) if r]
    partial = np.zeros((len(runs), *windows.filters_shape), input.dtype)

    def accumulate(number: int) -> None:
        for block in runs[number]:
            part = upstream[block]
            rows = windows.summands(windows.rows(part), len(part))
            for matrix, total in zip(windows.matrices(view(block)), partial[number], strict=True):
                products = windows.summands(matrix, len(part)).swapaxes(-1, -2) @ rows
                total += products.reshape(-1, *total.shape).sum(0)

    _threads.run_each(accumulate, range(len(runs)))
    total = partial.sum(0).reshape(groups, -1, filters // groups)
    by_filter = total.transpose(0, 2, 1).reshape(filters, *kernel, per_group)
    return np.ascontiguousarray(channels_first(by_filter))


def convolve_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    stride: Ints,
    pads: Pads,
    dilation: Ints,
    groups: int,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients for input, weight and bias; ``needs`` says which (None for the others).

    The weight's is one more GEMM over the same windows; the input's is a convolution itself
    (stride 1), or what im2col took, added back; the bias's is the sum over positions.
    """
    upstream = np.ascontiguousarray(channels_last(grad_output))  # (N, O..., F)
    steps = (stride, pads, dilation, groups)
    grad_input = grad_weight = grad_bias = None
    if needs[2]:
        grad_bias = sum_rows(group_rows(upstream, 1)[0])
    if needs[1]:
        grad_weight = _weight_grad(upstream, input, weight, *steps)
    if needs[0] and all(s == 1 for s in stride):
        grad_input = _input_grad_by_convolution(upstream, weight, pads, dilation, groups)
    elif needs[0]:
        grad_input = _input_grad_by_scattering(upstream, input.shape[2:], weight, *steps)
    return grad_input, grad_weight, grad_bias


def _input_grad_by_convolution(
    upstream: Array, weight: Array, pads: Pads, dilation: Ints, groups: int
) -> Array:
    """Stride 1: the upstream gradient, padded, convolved with the flipped, transposed kernel."""
    filters, per_group, *kernel = weight.shape
    flipped = np.flip(weight, tuple(range(2, weight.ndim)))
    by_group = flipped.reshape(groups, filters // groups, per_group, *kernel).swapaxes(1, 2)
    transposed = by_group.reshape(groups * per_group, filters // groups, *kernel)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    around = tuple((r - low, r - high) for r, (low, high) in zip(reach, pads, strict=True))
    ones = (1,) * len(kernel)
    return channels_first(
        convolve(channels_first(upstream), transposed, None, ones, around, dilation, groups)
    )


def _input_grad_by_scattering(
    upstream: Array,
    sizes: Sequence[int],
    weight: Array,
    stride: Ints,
    pads: Pads,
    dilation: Ints,
    groups: int,
) -> Array:
    """Any stride: dX = dY W^T, each column added back to the element im2col took it from."""
    batch, outputs = len(upstream), upstream.shape[1:-1]
    _, per_group, *kernel = weight.shape
    columns = group_rows(upstream, groups) @ _filters(weight, groups).transpose(0, 2, 1)
    taps = columns.reshape(groups, batch, *outputs, math.prod(kernel), per_group)
    taps = np.moveaxis(taps, 0, -2)  # (N, O..., P, G, C/G)
    padded_sizes = [low + size + high for size, (low, high) in zip(sizes, pads, strict=True)]
    padded = np.zeros((batch, *padded_sizes, groups, per_group), upstream.dtype)
    for p, offset in enumerate(np.ndindex(*kernel)):
        padded[window_slices(offset, stride, dilation, outputs)] += taps[..., p, :, :]
    padded = padded.reshape(batch, *padded_sizes, groups * per_group)
    return np.array(channels_first(padded[interior(pads, sizes)]), order="K")


def _symmetric(padding: Ints) -> Pads:
    return tuple((p, p) for p in padding)


def _functional(n: int) -> Any:
    """The pure pair ``conv{n}d``, ``conv{n}d_backward``."""
    owner = f"conv{n}d"

    def normalise(
        kernel: Ints, stride: Any, padding: Any, dilation: Any
    ) -> tuple[Ints, Pads, Ints]:
        strides = ntuple(stride, n, "stride", owner)
        dilations = ntuple(dilation, n, "dilation", owner)
        if isinstance(padding, str):
            return strides, _named_pads(padding, kernel, strides, dilations, owner), dilations
        return strides, _symmetric(ntuple(padding, n, "padding", owner, 0)), dilations

    def forward(
        input: Array,
        weight: Array,
        bias: Array | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Array:
        strides, pads, dilations = normalise(weight.shape[2:], stride, padding, dilation)
        return channels_first(convolve(input, weight, bias, strides, pads, dilations, groups))

    def backward(
        grad_output: Array,
        input: Array,
        weight: Array,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> tuple[Array | None, Array | None, Array | None]:
        strides, pads, dilations = normalise(weight.shape[2:], stride, padding, dilation)
        return convolve_backward(grad_output, input, weight, strides, pads, dilations, groups)

    forward.__name__, backward.__name__ = owner, f"{owner}_backward"
    forward.__doc__ = (
        f"Cross-correlation over {n} axes: the arguments and layouts of "
        f"torch.nn.functional.conv{n}d; input (N, C, S...), weight (F, C/groups, K...)."
    )
    backward.__doc__ = (
        f"Gradients for input, weight and bias of :func:`conv{n}d`, from the upstream gradient, "
        "the input, the weight and the same arguments."
    )
    return forward, backward


def _named_pads(name: str, kernel: Ints, stride: Ints, dilation: Ints, owner: str) -> Pads:
    """'valid' pads nothing; 'same' keeps the size, an odd element going to the high side."""
    if name not in ("same", "valid"):
        raise ValueError(f"{owner}: padding must be 'same', 'valid' or ints, got {name!r}")
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if any(s != 1 for s in stride):
        raise ValueError(f"{owner}: padding='same' needs stride 1, got {stride}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


conv1d, conv1d_backward = _functional(1)
conv2d, conv2d_backward = _functional(2)
conv3d, conv3d_backward = _functional(3)


class _ConvNd(Module):
    """Arguments, parameters, forward and backward of Conv1d, Conv2d, Conv3d."""

    _n: int

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
        dtype: Any = None,
    ) -> None:
        super().__init__()
        owner, n = type(self).__name__, self._n
        (self.in_channels,) = ntuple(in_channels, 1, "in_channels", owner)
        (self.out_channels,) = ntuple(out_channels, 1, "out_channels", owner)
        (self.groups,) = ntuple(groups, 1, "groups", owner)
        for name, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if value % groups:
                raise ValueError(
                    f"{owner}: {name} must be divisible by groups={groups}, got {value}"
                )
        self.kernel_size = ntuple(kernel_size, n, "kernel_size", owner)
        self.stride = ntuple(stride, n, "stride", owner)
        self.dilation = ntuple(dilation, n, "dilation", owner)
        if padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{owner}: padding_mode must be one of {', '.join(PADDING_MODES)}, "
                f"got {padding_mode!r}"
            )
        self.padding_mode = padding_mode
        if isinstance(padding, str):
            self.padding: Ints | str = padding
            self._pads = _named_pads(padding, self.kernel_size, self.stride, self.dilation, owner)
        else:
            self.padding = ntuple(padding, n, "padding", owner, minimum=0)
            self._pads = _symmetric(self.padding)
        dtype = float_dtype(dtype)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
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

    def forward(self, input: Array) -> Array:
        own = self._parameters  # self.weight would take Python's longest way to an attribute
        weight, bias = own["weight"].data, own["bias"]
        input, added = batched(input, self._n, type(self).__name__, weight.dtype)
        if input.shape[1] != self.in_channels:
            raise ValueError(
                f"{type(self).__name__}: input must have in_channels={self.in_channels} channels, "
                f"got shape {input.shape[1:] if added else input.shape}"
            )
        sizes, pads = input.shape[2:], self._pads
        if self.padding_mode != "zeros":
            input, pads = pad(input, pads, self.padding_mode), ((0, 0),) * self._n
        biases = None if bias is None else bias.data
        try:
            rows = convolve(input, weight, biases, self.stride, pads, self.dilation, self.groups)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from None
        output = without_batch(channels_first(rows), added)
        self.save_for_backward(output, added, input, pads, sizes)
        return output

    def backward(self, grad_output: Array) -> Array | None:
        grad_output, added, input, pads, sizes = self.saved_for_backward(grad_output)
        weight, bias = self.weight, self.bias
        needs = (self._needs_input_grad, weight.requires_grad, bias is not None)
        grad_input, grad_weight, grad_bias = convolve_backward(
            with_batch(grad_output, added),
            input,
            weight.data,
            self.stride,
            pads,
            self.dilation,
            self.groups,
            needs,
        )
        if grad_weight is not None:
            weight.accumulate_grad(grad_weight)
        if grad_bias is not None:
            bias.accumulate_grad(grad_bias)
        if grad_input is not None and self.padding_mode != "zeros":
            grad_input = pad_backward(grad_input, self._pads, sizes, self.padding_mode)
        return without_batch(grad_input, added)

    def extra_repr(self) -> str:
        parts = [
            f"{self.in_channels}, {self.out_channels}",
            f"kernel_size={self.kernel_size}",
            f"stride={self.stride}",
        ]
        if self.padding != (0,) * self._n:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * self._n:
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
