"""Convolutions."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import layer_probes, normal
from torch_ref.checking.probe import Array, Kind, Probe


def _draw(axes: int) -> Callable[..., list[Probe]]:
    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        channels = args[0] if args else kwargs["in_channels"]
        sizes, other = (7, 6, 5)[:axes], (8, 9, 6)[:axes]
        inputs = [(normal(3, channels, *sizes), ""), (normal(2, channels, *other), "another size")]
        return layer_probes(f"Conv{axes}d", inputs, args, kwargs)

    return draw


SPELLINGS = {
    "in_channels": (
        "in_channels",
        "input_channels",
        "in_ch",
        "n_in",
        "channels",
        "c_in",
        "cin",
        "in_c",
        "num_channels",
        "n_channels",
        "input_depth",
        "depth",
        "n_c_prev",
    ),
    "out_channels": (
        "out_channels",
        "output_channels",
        "out_ch",
        "n_out",
        "filters",
        "n_filters",
        "num_filters",
        "c_out",
        "cout",
        "out_c",
        "n_kernels",
        "num_kernels",
        "f",
        "n_c",
        "depth",
    ),
    "kernel_size": (
        "kernel_size",
        "filter_size",
        "ksize",
        "kernel",
        "k",
        "size",
        "hh",
        "kernel_shape",
    ),
    "stride": ("stride", "strides", "s"),
    "padding": ("padding", "pad", "p"),
    "bias": ("bias", "use_bias"),
}


def _kind(axes: int, *aliases: str) -> Kind:
    configurations: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
        ((2, 4, 3), {"padding": 1}),
        ((2, 4, 3), {}),
        ((2, 4, 3), {"stride": 2}),
    )
    like = f"Conv{axes}d"
    return Kind(like, "layer", aliases, configurations, _draw(axes), SPELLINGS)


KINDS = (
    _kind(2, "conv2d", "convolution2d", "convolutional", "convolution", "convlayer", "conv"),
    _kind(1, "conv1d", "convolution1d"),
)
_CONVS = tuple(kind.like for kind in KINDS)


def _options(case: Case) -> dict[str, Any]:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding")
    given = {**dict(zip(names, case.probe.args, strict=False)), **case.probe.kwargs}
    return {name: given.get(name, default) for name, default in (("stride", 1), ("padding", 0))}


def _axes(case: Case) -> int:
    return case.x.ndim - 2


def _conv(case: Case, x: Array, w: Array, bias: bool = True, **options: Any) -> Array:
    function = {1: F.conv1d, 2: F.conv2d}[_axes(case)]
    tensors = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(w))
    b = torch.from_numpy(case["bias"]) if bias and "bias" in case.probe.parameters else None
    return function(*tensors, b, **{**_options(case), **options}).numpy()


def _flipped(case: Case, w: Array) -> Array:
    return np.flip(w, tuple(range(2, w.ndim)))


def _with_grads(case: Case, w: Array) -> tuple[Array, Array]:
    """Gradients for input and weight of the convolution by ``w``."""
    function = {1: F.conv1d, 2: F.conv2d}[_axes(case)]
    x = torch.from_numpy(np.array(case.x)).requires_grad_()
    kernel = torch.from_numpy(np.ascontiguousarray(w)).requires_grad_()
    function(x, kernel, **_options(case)).backward(torch.from_numpy(np.array(case.dy)))
    assert x.grad is not None
    assert kernel.grad is not None
    return x.grad.numpy(), kernel.grad.numpy()


def _scatter(
    case: Case, assign: bool = False, step: int | None = None, keep: bool = False
) -> Array:
    """dx window by window, as loops do it: overlaps added or assigned, windows every ``step``."""
    options, w, dy = _options(case), case["weight"], case.dy
    stride, padding = int(options["stride"]), int(options["padding"])
    step = stride if step is None else step
    kernel, outputs = w.shape[2:], dy.shape[2:]
    n, c = case.x.shape[:2]
    dx = np.zeros((n, c, *(size + 2 * padding for size in case.x.shape[2:])))
    for place in np.ndindex(*outputs):
        window = tuple(slice(o * step, o * step + k) for o, k in zip(place, kernel, strict=True))
        where = (slice(None), slice(None), *window)
        values = np.tensordot(dy[(slice(None), slice(None), *place)], w, (1, 0))
        if assign:
            dx[where] = values
        else:
            dx[where] += values
    if padding and not keep:
        dx = dx[(slice(None), slice(None), *(slice(padding, -padding),) * len(kernel))]
    return dx


def _cover(case: Case) -> Array:
    """In how many windows an input is; at least 1."""
    ones = np.ones((1, 1, *case["weight"].shape[2:]))
    plain = {"weight": ones}
    rows = dataclasses.replace(
        case.probe,
        parameters=plain,
        inputs=(case.x[:1, :1],),
        upstream=np.ones_like(case.dy[:1, :1]),
    )
    return np.maximum(_scatter(Case(rows, {}, {})), 1)


def _sliced_away(case: Case, part: str) -> Array | None:
    """What [p:-p] leaves at p = 0: nothing."""
    if _options(case)["padding"]:
        return None
    return np.zeros((*case.x.shape[:2], *(0,) * _axes(case)))


def _flip_in_grad_input(case: Case, part: str) -> Array:
    return _with_grads(case, _flipped(case, case["weight"]))[0]


def _flip_in_grad_weight(case: Case, part: str) -> Array:
    return _flipped(case, case.expected[part])


def _bias(axes: Callable[[int], tuple[int, ...]]) -> Callable[[Case, str], Array]:
    return lambda case, part: case.dy.sum(axes(case.dy.ndim))


def _explanation(
    key: str, part: str, says: str, value: Any, textbook: str = "conv_backward"
) -> Any:
    return Explanation(key, part, says, value, _CONVS, textbook=textbook)


EXPLANATIONS = (
    _explanation(
        "kernel flipped",
        "output",
        "The kernel is flipped: this is the mathematicians' convolution, PyTorch's (and nearly "
        "every "
        "network's) is a correlation, which does not flip.",
        lambda c, p: _conv(c, c.x, _flipped(c, c["weight"])),
        "conv",
    ),
    _explanation(
        "bias missing",
        "output",
        "The bias is not added.",
        lambda c, p: _conv(c, c.x, c["weight"], bias=False),
        "conv",
    ),
    _explanation(
        "padding twice",
        "output",
        "The padding is counted twice.",
        lambda c, p: _conv(c, c.x, c["weight"], padding=2 * _options(c)["padding"]),
        "conv",
    ),
    _explanation(
        "padding ignored",
        "output",
        "The padding is ignored.",
        lambda c, p: _conv(c, c.x, c["weight"], padding=0),
        "conv",
    ),
    _explanation(
        "stride ignored",
        "output",
        "The stride is ignored: windows start at every position.",
        lambda c, p: _conv(c, c.x, c["weight"], stride=1),
        "conv",
    ),
    _explanation(
        "kernel flipped",
        "grad input",
        "The kernel is flipped once too often (or not at all) on the way back: each tap takes the "
        "gradient of the outputs that it helped to make.",
        _flip_in_grad_input,
    ),
    _explanation(
        "kernel flipped",
        "grad weight",
        "The gradient for the kernel is flipped: tap k gets the sum of dy * x at the places it "
        "saw.",
        _flip_in_grad_weight,
    ),
    _explanation(
        "overlaps assigned",
        "grad input",
        "Windows overlap, and an input in several of them gets the sum of their gradients: dx += "
        "for "
        "dx =.",
        lambda c, p: _scatter(c, assign=True),
    ),
    _explanation(
        "overlaps averaged",
        "grad input",
        "An input in several windows gets the average of their gradients: it must be the sum.",
        lambda c, p: c.expected[p] / _cover(c),
    ),
    _explanation(
        "stride ignored on the way back",
        "grad input",
        "The stride is ignored on the way back: window o starts at o * stride.",
        lambda c, p: _scatter(c, step=1) if _options(c)["stride"] != 1 else None,
    ),
    _explanation(
        "[p:-p] at p = 0",
        "grad input",
        "The padding is cut off by [p:-p], which leaves nothing at p = 0: use [p:p + size].",
        _sliced_away,
    ),
    _explanation(
        "padding not removed",
        "grad input",
        "The gradient still has the padding: cut it off, dx[:, :, p:p + height, p:p + width].",
        lambda c, p: _scatter(c, keep=True),
    ),
    _explanation(
        "bias gradient not summed",
        "grad bias",
        "The gradient for the bias must be summed over batch and positions; the sum over the "
        "batch is "
        "missing or the positions are kept.",
        _bias(lambda ndim: tuple(range(2, ndim))),
    ),
    _explanation(
        "bias gradient not summed",
        "grad bias",
        "The gradient for the bias must be summed over batch and positions; here the positions are "
        "kept.",
        _bias(lambda ndim: (0,)),
    ),
    _explanation(
        "one sample only",
        "grad weight",
        "The gradient for the kernel is that of the last sample: it is assigned, sample after "
        "sample, "
        "instead of added.",
        lambda c, p: _last_sample(c),
    ),
    _explanation(
        "one sample only",
        "grad bias",
        "The gradient for the bias is that of the last sample: it is assigned, sample after "
        "sample, "
        "instead of added.",
        lambda c, p: c.dy[-1].sum(tuple(range(1, c.dy.ndim - 1))),
    ),
)


def _last_sample(case: Case) -> Array:
    function = {1: F.conv1d, 2: F.conv2d}[_axes(case)]
    kernel = torch.from_numpy(np.array(case["weight"])).requires_grad_()
    x = torch.from_numpy(np.array(case.x[-1:]))
    function(x, kernel, **_options(case)).backward(torch.from_numpy(np.array(case.dy[-1:])))
    assert kernel.grad is not None
    return kernel.grad.numpy()
