r"""Conv1d, Conv2d, Conv3d: cross-correlation of any number of dimensions.

Arrays are (N, C, S...) to the caller and channels-last in memory, so that a row of the kernel
times its channels is one contiguous run: a convolution is a copy of its windows (``_im2col``) and
matrix products, done in blocks that stay in the cache.

Letters in shape comments: N batch, C input channels, O... output sizes, K... kernel sizes,
M = N * prod(O...) output positions, P = prod(K...) kernel positions, G groups, F filters.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from numpy_impl import _threads
from numpy_impl.nn import init
from numpy_impl.nn._im2col import Steps, geometry, group_rows
from numpy_impl.nn._window import (
    Ints,
    Pads,
    batched,
    cached,
    channels_first,
    channels_last,
    interior,
    ntuple,
    window_slices,
    with_batch,
    without_batch,
)
from numpy_impl.nn.checks import float_dtype
from numpy_impl.nn.linear import sum_rows
from numpy_impl.nn.module import Module
from numpy_impl.nn.padding import check_mode, pad, pad_backward
from numpy_impl.nn.parameter import Parameter, aligned_empty

Array = np.ndarray


def _is_depthwise(weight: Array, groups: int) -> bool:
    """One channel in, one filter out in every group: sums over taps alone, no GEMM."""
    return groups > 1 and len(weight) == groups and weight.shape[1] == 1


def _depthwise_axes(n: int) -> tuple[list[int], list[int], list[int]]:
    """einsum's labels for windows (N, O..., K..., C), weight (K..., C), output (N, O..., C)."""
    outputs, kernel, channel = [*range(n + 1)], [*range(n + 1, 2 * n + 1)], [2 * n + 1]
    return outputs + kernel + channel, kernel + channel, outputs + channel


def convolve(input: Array, weight: Array, bias: Array | None, steps: Steps) -> Array:
    """Cross-correlation: (N, C, S...) and (F, C/G, K...) -> (N, O..., F)."""
    last, shape = channels_last(input), weight.shape
    windows = geometry(last.shape, last.itemsize, shape[0], shape[2:], steps)
    size = (len(last), *windows.outputs, shape[0])
    if windows.is_small:
        return windows.product(last, weight, bias).reshape(size)
    output = np.empty(size, last.dtype)
    if _is_depthwise(weight, steps.groups):
        _sum_taps(windows.windows(last), weight, bias, output)
        return output
    first, *others = windows.filters(weight, bias)

    def product(view: Array, part: Array) -> None:
        rows = windows.rows(part)
        matrix, *matrices = windows.matrices(view, bias is not None)
        np.matmul(matrix, first, out=rows)
        if others:
            summand = np.empty_like(rows)
            for matrix, filters in zip(matrices, others, strict=True):
                rows += np.matmul(matrix, filters, out=summand)

    if len(windows.blocks) == 1:
        product(windows.windows(last), output)
    else:
        view = windows.windows_of_blocks(last)
        _threads.run_each(lambda block: product(view(block), output[block]), windows.blocks)
    return output


def _sum_taps(windows: Array, weight: Array, bias: Array | None, output: Array) -> None:
    """One filter a channel: windows (N, O..., K..., C) -> ``output`` (N, O..., C)."""
    view_axes, weight_axes, output_axes = _depthwise_axes(weight.ndim - 2)
    taps = np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))  # (K..., C)

    def sum_taps(images: slice) -> None:
        # (no order="C": einsum would then walk the axes in that order, five times as slow)
        output[images] = np.einsum(windows[images], view_axes, taps, weight_axes, output_axes)
        if bias is not None:
            output[images] += bias

    _threads.over_slices(sum_taps, len(output), output.size)


def _weight_grad(
    upstream: Array, input: Array, weight: Array, with_bias: bool, steps: Steps
) -> tuple[Array, Array | None]:
    """dW = X^T dY, with X the matrix of :func:`convolve`, and db; upstream is (N, O..., F)."""
    filters, _, *kernel = weight.shape
    last = channels_last(input)
    windows = geometry(last.shape, last.itemsize, filters, tuple(kernel), steps)
    if _is_depthwise(weight, steps.groups):
        view_axes, weight_axes, output_axes = _depthwise_axes(len(kernel))
        # (K..., C)
        taps = np.einsum(windows.windows(last), view_axes, upstream, output_axes, weight_axes)
        grad_bias = sum_rows(group_rows(upstream, 1)) if with_bias else None
        return np.ascontiguousarray(np.moveaxis(taps, -1, 0)[:, None]), grad_bias
    # sums of their own for runs of blocks, as many whatever the number of threads
    view, blocks = windows.windows_of_blocks(last), windows.blocks
    runs = [r for r in (blocks[i :: _threads.PARTS] for i in range(_threads.PARTS)) if r]
    sums: list[Sequence[Array]] = [[] for _ in runs]

    def accumulate(number: int) -> None:
        for block in runs[number]:
            part = upstream[block]
            rows = windows.rows(part)
            products = [
                windows.sum_products(matrix, rows, len(part))
                for matrix in windows.matrices(view(block), with_bias)
            ]
            sums[number] = _add(sums[number], products)

    _threads.run_each(accumulate, range(len(runs)))
    return windows.unfiltered(functools.reduce(_add, sums), with_bias)


def _add(totals: Sequence[Array], terms: Sequence[Array]) -> Sequence[Array]:
    """Add each term to its total, in place; no totals are zeros."""
    if not totals:
        return terms
    for total, term in zip(totals, terms, strict=True):
        total += term
    return totals


def convolve_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    steps: Steps,
    needs: tuple[bool, bool, bool] = (True, True, True),
) -> tuple[Array | None, Array | None, Array | None]:
    """Gradients for input, weight and bias; ``needs`` says which (None for the others).

    The weight's is one more GEMM over the same windows, and the bias's comes with it; the input's
    is a convolution itself (stride 1), or what im2col took, added back.
    """
    upstream = np.ascontiguousarray(channels_last(grad_output))  # (N, O..., F)
    grad_input = grad_weight = grad_bias = None
    if needs[1] or needs[2]:
        grad_weight, grad_bias = _weight_grad(upstream, input, weight, needs[2], steps)
    if needs[0] and not input.size:
        grad_input = np.zeros_like(input)
    elif needs[0] and all(s == 1 for s in steps.stride):
        grad_input = _input_grad_by_convolution(upstream, weight, steps)
    elif needs[0]:
        grad_input = _input_grad_by_scattering(upstream, input.shape, weight, steps)
    return grad_input, grad_weight, grad_bias


def _input_grad_by_convolution(upstream: Array, weight: Array, steps: Steps) -> Array:
    """Stride 1: the upstream gradient, padded, convolved with the flipped, transposed kernel."""
    filters, per_group, *kernel = weight.shape
    groups, dilation = steps.groups, steps.dilation
    flipped = np.flip(weight, tuple(range(2, weight.ndim)))
    by_group = flipped.reshape(groups, filters // groups, per_group, *kernel).swapaxes(1, 2)
    transposed = by_group.reshape(groups * per_group, filters // groups, *kernel)
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    around = tuple((r - low, r - high) for r, (low, high) in zip(reach, steps.pads, strict=True))
    return channels_first(
        convolve(channels_first(upstream), transposed, None, steps._replace(pads=around))
    )


def _input_grad_by_scattering(upstream: Array, shape: Ints, weight: Array, steps: Steps) -> Array:
    """Any stride: dX = dY W^T, each column added back to the element im2col took it from."""
    batch, channels, *sizes = shape
    filters, per_group, *kernel = weight.shape
    stride, pads, dilation, groups = steps
    windows = geometry((batch, *sizes, channels), weight.itemsize, filters, tuple(kernel), steps)
    by_column = np.concatenate(windows.filters(weight, None), -2).swapaxes(-1, -2)
    offsets = list(np.ndindex(*kernel))
    padded_sizes = [low + size + high for size, (low, high) in zip(sizes, pads, strict=True)]
    padded = np.zeros((batch, *padded_sizes, groups, per_group), upstream.dtype)

    def scatter(images: slice) -> None:
        part = upstream[images]
        columns = group_rows(part, groups) @ by_column
        taps = columns.reshape(groups, *part.shape[:-1], len(offsets), per_group)
        taps = np.moveaxis(taps, 0, -2)  # (N, O..., P, G, C/G)
        for p, offset in enumerate(offsets):
            where = window_slices(offset, stride, dilation, windows.outputs)
            padded[images][where] += taps[..., p, :, :]

    # as many elements an image as im2col would copy
    columns_size = math.prod(windows.outputs) * len(offsets) * channels
    _threads.run_each(scatter, _threads.pieces(batch, columns_size))
    padded = padded.reshape(batch, *padded_sizes, channels)
    return np.array(channels_first(padded[interior(pads, sizes)]), order="K")


def _symmetric(padding: Ints) -> Pads:
    return tuple((p, p) for p in padding)


def _checked_steps(
    owner: str, weight: Ints, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Steps:
    """What torch's arguments mean for a weight of that shape, checked.

    Raises:
        TypeError: if they are no ints.
        ValueError: for sizes out of range, filters that groups do not divide.
    """
    filters, _, *kernel = weight
    n = len(kernel)
    (groups,) = ntuple(groups, 1, "groups", owner)
    if filters % groups:
        raise ValueError(
            f"{owner}: out_channels must be divisible by groups={groups}, got {filters}"
        )
    strides = ntuple(stride, n, "stride", owner, spread=True)
    dilations = ntuple(dilation, n, "dilation", owner, spread=True)
    if isinstance(padding, str):
        pads = _named_pads(padding, tuple(kernel), strides, dilations, owner)
    else:
        pads = _symmetric(ntuple(padding, n, "padding", owner, 0, spread=True))
    return Steps(strides, pads, dilations, groups)


_steps = cached(_checked_steps)


def _functional(n: int) -> Any:
    """The pure pair ``conv{n}d``, ``conv{n}d_backward``."""
    owner = f"conv{n}d"

    def forward(
        input: Array,
        weight: Array,
        bias: Array | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Array:
        steps = _steps(owner, weight.shape, stride, padding, dilation, groups)
        input, added = batched(input, n, owner, weight.dtype)
        if input.shape[1] != weight.shape[1] * groups:
            raise ValueError(
                f"{owner}: input must have {weight.shape[1] * groups} channels for weight "
                f"{weight.shape} and groups={groups}, got shape {input.shape}"
            )
        return without_batch(channels_first(convolve(input, weight, bias, steps)), added)

    def backward(
        grad_output: Array,
        input: Array,
        weight: Array,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        needs: tuple[bool, bool, bool] = (True, True, True),
    ) -> tuple[Array | None, Array | None, Array | None]:
        steps = _steps(owner, weight.shape, stride, padding, dilation, groups)
        input, added = batched(input, n, owner, weight.dtype)
        grads = convolve_backward(with_batch(grad_output, added), input, weight, steps, needs)
        return without_batch(grads[0], added), grads[1], grads[2]

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


def _repeated(value: Any, n: int) -> Ints:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * n


def _are_all(value: Any, number: int) -> bool:
    return all(v == number for v in (value if isinstance(value, tuple | list) else (value,)))


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
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        owner, n = type(self).__name__, self._n
        (self.in_channels,) = ntuple(in_channels, 1, "in_channels", owner)
        (self.out_channels,) = ntuple(out_channels, 1, "out_channels", owner)
        (self.groups,) = ntuple(groups, 1, "groups", owner)
        if in_channels % groups:
            raise ValueError(
                f"{owner}: in_channels must be divisible by groups={groups}, got {in_channels}"
            )
        self.kernel_size = ntuple(kernel_size, n, "kernel_size", owner)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        steps = _checked_steps(owner, shape, stride, padding, dilation, groups)
        check_mode(padding_mode, owner)
        if padding_mode != "zeros" and not isinstance(padding, str):
            ntuple(padding, n, "padding", owner, minimum=0)  # here a tuple of one means one axis
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

    def forward(self, input: Array) -> Array:
        own = self._parameters  # self.weight would take Python's longest way to an attribute
        weight, bias = own["weight"].data, own["bias"]
        owner = type(self).__name__
        input, added = batched(input, self._n, owner, weight.dtype)
        padding: Any = self.padding
        around = None
        if self.padding_mode != "zeros":
            check_mode(self.padding_mode, owner)
            padding, around = 0, (self._pads, input.shape[2:], self.padding_mode)
        steps = _steps(owner, weight.shape, self.stride, padding, self.dilation, self.groups)
        channels = weight.shape[1] * steps.groups
        if input.shape[1] != channels:
            raise ValueError(
                f"{owner}: input must have in_channels={channels} channels, "
                f"got shape {input.shape[1:] if added else input.shape}"
            )
        if around is not None:
            input = pad(input, self._pads, self.padding_mode)
        try:
            rows = convolve(input, weight, None if bias is None else bias.data, steps)
        except ValueError as error:
            raise ValueError(f"{owner}: {error}") from None
        output = without_batch(channels_first(rows), added)
        self.save_for_backward(output, added, input, steps, around)
        return output

    def backward(self, grad_output: Array) -> Array | None:
        grad_output, added, input, steps, around = self.saved_for_backward(grad_output)
        weight, bias = self.weight, self.bias
        needs = (self.needs_grad(), weight.requires_grad, bias is not None)
        grad_input, grad_weight, grad_bias = convolve_backward(
            with_batch(grad_output, added), input, weight.data, steps, needs
        )
        if grad_weight is not None:
            weight.accumulate_grad(grad_weight)
        if grad_bias is not None:
            bias.accumulate_grad(grad_bias)
        if grad_input is not None and around is not None:
            grad_input = pad_backward(grad_input, *around)
        return without_batch(grad_input, added)

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
