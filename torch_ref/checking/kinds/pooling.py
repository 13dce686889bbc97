"""Pooling."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import layer_probes, normal, tied
from torch_ref.checking.probe import Array, Kind, Probe


def _draw(like: str) -> Callable[..., list[Probe]]:
    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        inputs = [
            (normal(3, 2, 6, 8), ""),
            (tied(2, 3, 6, 6), "several maxima in a window") if like == "MaxPool2d" else None,
            (normal(2, 2, 7, 7), "a size that leaves a rest"),
            (lambda rng: -1 - rng.random((2, 2, 6, 6)), "negative inputs"),
        ]
        return layer_probes(like, [i for i in inputs if i is not None], args, kwargs)

    return draw


class _GlobalMean(torch.nn.Module):
    """AdaptiveAvgPool2d(1), flattened."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, 1).flatten(1)


def _draw_global(*args: Any, **kwargs: Any) -> list[Probe]:
    return layer_probes(
        "GlobalAvgPool2d", [(normal(3, 2, 4, 5), "")], args, kwargs, make=_GlobalMean
    )


_SPELLINGS = {
    "kernel_size": (
        "kernel_size",
        "pool_size",
        "size",
        "k",
        "ksize",
        "kernel",
        "pool_shape",
        "f",
        "window",
        "filter_size",
        "pool_h",
        "pool_w",
        "pool_height",
        "pool_width",
    ),
    "stride": ("stride", "strides", "s"),
    "padding": ("padding", "pad", "p"),
}
_CONFIGURATIONS: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    ((2,), {"stride": 2}),
    ((3,), {"stride": 2}),
    ((2,), {"stride": 2, "padding": 1}),
)
KINDS = (
    Kind(
        "MaxPool2d",
        "layer",
        ("maxpool2d", "maxpooling2d", "maxpool", "maxpooling", "pool2d", "pool"),
        _CONFIGURATIONS,
        _draw("MaxPool2d"),
        _SPELLINGS,
    ),
    Kind(
        "AvgPool2d",
        "layer",
        ("avgpool2d", "averagepool", "averagepooling", "avgpool", "meanpool"),
        _CONFIGURATIONS,
        _draw("AvgPool2d"),
        _SPELLINGS,
    ),
    Kind(
        "GlobalAvgPool2d",
        "layer",
        ("globalavgpool2d", "globalaveragepooling2d", "globalavgpool", "globalaveragepool", "gap"),
        (((), {}),),
        _draw_global,
        twin=_GlobalMean,
    ),
)


def _sizes(case: Case) -> tuple[int, int, int]:
    """Kernel, stride, padding."""
    names = ("kernel_size", "stride", "padding")
    given = {**dict(zip(names, case.probe.args, strict=False)), **case.probe.kwargs}
    kernel = given["kernel_size"]
    return kernel, given.get("stride") or kernel, given.get("padding", 0)


def _by_window(case: Case, share: Callable[[Array, Array], Array], assign: bool = False) -> Array:
    """dx, window by window: ``share(window, dy)`` says what each element gets."""
    kernel, stride, padding = _sizes(case)
    x = np.pad(
        case.x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=-np.inf
    )
    dx = np.zeros_like(x)
    for i, j in np.ndindex(*case.dy.shape[2:]):
        where = np.s_[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        values = share(x[where], case.dy[:, :, i, j, None, None])
        if assign:
            dx[where] = values
        else:
            dx[where] += values
    height, width = case.x.shape[2:]
    return dx[:, :, padding : padding + height, padding : padding + width]


def _largest(window: Array) -> Array:
    return window == window.max((2, 3), keepdims=True)


def _first(window: Array) -> Array:
    flat = window.reshape(*window.shape[:2], -1)
    hot = np.arange(flat.shape[2]) == flat.argmax(2)[..., None]
    return hot.reshape(window.shape)


def _split(window: Array, dy: Array) -> Array:
    hot = _largest(window)
    return dy * hot / hot.sum((2, 3), keepdims=True)


def _assigned(case: Case, part: str) -> Array:
    """Only the winner is written: dx[argmax] = dy."""
    kernel, stride, _ = _sizes(case)
    dx = np.zeros_like(case.x)
    for i, j in np.ndindex(*case.dy.shape[2:]):
        where = np.s_[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        hot = _first(case.x[where])
        dx[where] = np.where(hot, case.dy[:, :, i, j, None, None], dx[where])
    return dx


def _cover(case: Case) -> Array:
    """In how many windows an input is; at least 1."""
    return np.maximum(_by_window(case, lambda window, dy: 0 * window + 1), 1)


def _padded_by_0(case: Case, part: str) -> Array | None:
    kernel, stride, padding = _sizes(case)
    if not padding:
        return None
    x = F.pad(torch.from_numpy(case.x), (padding,) * 4)
    return F.max_pool2d(x, kernel, stride).numpy()


def _explanation(key: str, like: str, part: str, says: str, value: Any, **more: Any) -> Explanation:
    return Explanation(key, part, says, value, (like,), **more)


EXPLANATIONS = (
    _explanation(
        "gradient to every tie",
        "MaxPool2d",
        "grad input",
        "Where a window has several maxima each of them gets the whole gradient: only one may (the "
        "first, as in PyTorch), or they share it.",
        lambda c, p: _by_window(c, lambda window, dy: dy * _largest(window)),
        textbook="max_pool_backward",
    ),
    _explanation(
        "ties share",
        "MaxPool2d",
        "grad input",
        "Where a window has several maxima they share its gradient; in PyTorch the first gets it "
        "all.",
        lambda c, p: _by_window(c, _split),
        then="nothing: the gradient's sum is right, and ties are rare among real numbers",
    ),
    _explanation(
        "overlaps assigned",
        "MaxPool2d",
        "grad input",
        "An input that is the maximum of several windows gets the gradient of the last alone: dx "
        "+= "
        "for dx =.",
        _assigned,
        textbook="max_pool_backward",
    ),
    _explanation(
        "overlaps assigned",
        "MaxPool2d",
        "grad input",
        "Windows overlap, and each overwrites what others left: dx += for dx =.",
        lambda c, p: _by_window(c, lambda window, dy: dy * _first(window), assign=True),
        textbook="max_pool_backward",
    ),
    _explanation(
        "overlaps assigned",
        "MaxPool2d",
        "grad input",
        "Windows overlap, and each overwrites what others left (and each of several maxima gets "
        "the "
        "whole gradient): dx += for dx =.",
        lambda c, p: _by_window(c, lambda window, dy: dy * _largest(window), assign=True),
        textbook="max_pool_backward",
    ),
    _explanation(
        "overlaps assigned",
        "AvgPool2d",
        "grad input",
        "Windows overlap, and an input in several of them gets the sum of their gradients: dx += "
        "for "
        "dx =.",
        lambda c, p: _by_window(
            c, lambda window, dy: dy / window[0, 0].size + 0 * window, assign=True
        ),
        textbook="avg_pool_backward",
    ),
    _explanation(
        "not divided",
        "AvgPool2d",
        "grad input",
        "Each element of a window gets the whole gradient: an average shares it out, dy / "
        "(height * "
        "width of the window).",
        lambda c, p: c.expected[p] * _sizes(c)[0] ** 2,
        textbook="avg_pool_backward",
    ),
    _explanation(
        "not divided",
        "GlobalAvgPool2d",
        "grad input",
        "Each position gets the whole gradient: an average shares it out, dy / (height * width).",
        lambda c, p: c.expected[p] * c.x[0, 0].size,
    ),
    _explanation(
        "overlaps averaged",
        "MaxPool2d",
        "grad input",
        "An input in several windows gets the average of their gradients: it must be the sum.",
        lambda c, p: _by_window(c, lambda window, dy: dy * _first(window)) / _cover(c),
        textbook="max_pool_backward",
    ),
    _explanation(
        "overlaps averaged",
        "AvgPool2d",
        "grad input",
        "An input in several windows gets the average of their gradients: it must be the sum.",
        lambda c, p: c.expected[p] / _cover(c),
        textbook="avg_pool_backward",
    ),
    _explanation(
        "padded by 0",
        "MaxPool2d",
        "output",
        "The padding is 0: among negative inputs it wins. Maxima need -inf.",
        _padded_by_0,
        textbook="max_pool",
    ),
)
