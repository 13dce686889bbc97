"""Which layers may follow a value, and their random arguments, as text.

These are called with one value and return one: they may stand in a ``Sequential``. The others are
in ``calls``.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial

import torch

from parity_tests.fuzz.draw import Draw, Unfit

_ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "CELU": ("", "alpha=0.5"),  # torch's gradient has 1 / alpha in float32, in float64 too
    "ELU": ("", "alpha=0.7"),
    "GELU": ("", "approximate='tanh'"),
    "Hardshrink": ("", "lambd=0.2"),
    "Hardsigmoid": ("",),
    "Hardswish": ("",),
    "Hardtanh": ("", "min_val=-0.4, max_val=0.6"),
    "Identity": ("",),
    "LeakyReLU": ("", "negative_slope=0.2"),
    "LogSigmoid": ("",),
    "Mish": ("",),
    "RReLU": ("", "lower=0.1, upper=0.5"),
    "ReLU": ("",),
    "ReLU6": ("",),
    "SELU": ("",),
    "SiLU": ("",),
    "Sigmoid": ("",),
    "Softplus": ("", "beta=2.0, threshold=1.5"),
    "Softshrink": ("", "lambd=0.2"),
    "Softsign": ("",),
    "Tanh": ("",),
    "Tanhshrink": ("",),
    "Threshold": ("0.1, -0.2",),
    "Dropout": ("", "0.2"),
    "AlphaDropout": ("0.2",),
    "FeatureAlphaDropout": ("0.2",),
}


def _softmax(d: Draw) -> str:
    return f"dim={d.dim()}"


def _glu(d: Draw) -> str:
    dim = d.dim()
    if d.shape[dim] % 2:
        raise Unfit
    return f"dim={dim}"


def _linear(d: Draw) -> str:
    return f"{d.shape[-1] if d.shape else 1}, {d(1, 2, 3, 4, 6)}{d.options(bias=[False])}"


def _conv(d: Draw, n: int) -> str:
    inside, outside = d.channels(n), d(1, 2, 3, 4, 6)
    padding = "same" if d.chance(0.15) else d.sizes(n, 0, 1, 2)
    stride = "" if padding == "same" else d.options(stride=[2, d.sizes(n, 1, 2)])
    return f"{inside}, {outside}, {d.sizes(n, 1, 2, 3)}{stride}, padding={padding!r}" + d.options(
        dilation=[2, d.sizes(n, 1, 2)],
        groups=[d.divisor(inside, outside)],
        bias=[False],
        padding_mode=["reflect", "replicate", "circular"],
    )


def _conv_transpose(d: Draw, n: int) -> str:
    inside, outside = d.channels(n), d(1, 2, 3, 4)
    return f"{inside}, {outside}, {d.sizes(n, 1, 2, 3)}" + d.options(
        stride=[2, d.sizes(n, 1, 2)],
        padding=[1, d.sizes(n, 0, 1)],
        output_padding=[1],
        groups=[d.divisor(inside, outside)],
        bias=[False],
        dilation=[2],
    )


def _batch_norm(d: Draw, n: int) -> str:
    d.needs(*((2, 3) if n == 1 else (n + 2,)))
    return f"{d.shape[1]}" + d.options(
        momentum=[None, 0.5], affine=[False], track_running_stats=[False], eps=[0.1]
    )


def _instance_norm(d: Draw, n: int) -> str:
    return f"{d.channels(n)}" + d.options(affine=[True], track_running_stats=[True], momentum=[0.3])


def _without_first(arguments: Callable[[Draw, int], str]) -> Callable[[Draw, int], str]:
    """Those of a lazy layer, which finds its channels itself."""

    def lazy(d: Draw, n: int) -> str:
        return arguments(d, n).partition(", ")[2]

    return lazy


def _pool(d: Draw, n: int, **more: list[bool]) -> str:
    d.channels(n)
    kernel = d.sizes(n, 2, 3)
    return f"{kernel}" + d.options(stride=[1, d.sizes(n, 1, 2, 3)], padding=[1], **more)


def _lp_pool(d: Draw, n: int) -> str:
    d.channels(n)
    return f"{d(1, 2, 3.5)}, {d.sizes(n, 2, 3)}" + d.options(stride=[1, 2], ceil_mode=[True])


def _adaptive_pool(d: Draw, n: int) -> str:
    d.channels(n)
    sizes = d.sizes(n, 1, 2, 3, 4)
    return f"{(*sizes[:-1], None) if n > 1 and isinstance(sizes, tuple) else sizes}"


def _fractional_pool(d: Draw, n: int) -> str:
    d.channels(n)
    if d.chance(0.5):
        return f"2, output_ratio={d(0.5, 0.7)}"
    return f"{d.sizes(n, 1, 2)}, output_size={tuple(max(1, s // 2) for s in d.shape[-n:])}"


def _pad(d: Draw, n: int, constant: bool = False) -> str:
    d.channels(n)
    sizes = d(1, tuple(d(0, 1, 2) for _ in range(2 * n)))
    return f"{sizes}, {d(0.0, 0.7)}" if constant else f"{sizes}"


def _upsample(d: Draw) -> str:
    d.needs(3, 4, 5)
    smooth = {3: ["linear"], 4: ["bilinear", "bicubic"], 5: ["trilinear"]}[len(d.shape)]
    mode = d("nearest", *smooth)
    corners = d("", ", align_corners=True") if mode != "nearest" else ""
    size = d("scale_factor=2", "scale_factor=1.5", f"size={(5, 3, 4)[: len(d.shape) - 2]}")
    return f"{size}, mode={mode!r}{corners}"


def _channels_last(d: Draw) -> str:
    """Axes at the end that a norm goes over."""
    dims = d(1, 1, 2)
    if len(d.shape) <= dims:
        raise Unfit
    return f"{d.shape[-dims:]}" + d.options(elementwise_affine=[False], eps=[1e-2])


def _group_norm(d: Draw) -> str:
    d.needs(2, 3, 4, 5)
    return f"{d.divisor(d.shape[1])}, {d.shape[1]}" + d.options(affine=[False], eps=[0.1])


def _response_norm(d: Draw) -> str:
    return f"{d(1, 2, 3)}" + d.options(alpha=[0.1], beta=[0.5], k=[2.0])


def _cross_map_norm(d: Draw) -> str:
    """With a window over all channels: of others torch's gradient is one channel off."""
    d.needs(4)
    return f"{2 * d.shape[1] + 1}" + d.options(alpha=[0.1], beta=[0.5], k=[2.0])


def _flatten(d: Draw) -> str:
    d.needs(2, 3, 4, 5)
    return d("", f"{d(1, -2)}", "0, 1")


def _unflatten(d: Draw) -> str:
    dim = d.dim()
    first = d.divisor(d.shape[dim])
    return f"{dim}, ({first}, {d.shape[dim] // first})"


def _unfold(d: Draw) -> str:
    d.needs(3, 4)
    return f"{d.sizes(2, 1, 2)}" + d.options(stride=[2], padding=[1], dilation=[2])


def _fold(d: Draw) -> str:
    d.needs(3)
    width = d.divisor(d.shape[1])
    return f"(1, {d.shape[2] + width - 1}), (1, {width})"


def _shuffle(d: Draw) -> str:
    d.needs(3, 4, 5)
    return f"{d.divisor(d.shape[1])}"


def attention_sizes(d: Draw) -> tuple[int, int]:
    d.needs(3)
    return d.shape[-1], d.divisor(d.shape[-1])


def encoder_layer(d: Draw) -> str:
    width, heads = attention_sizes(d)
    return f"{width}, {heads}, {d(2, 5)}" + d.options(
        dropout=[0.0, 0.3],
        activation=["gelu"],
        batch_first=[True],
        norm_first=[True],
        bias=[False],
        layer_norm_eps=[1e-2],
    )


def _encoder(d: Draw) -> str:
    layer = f"nn.TransformerEncoderLayer({encoder_layer(d)}, dtype=float64)"
    norm = f", norm=nn.LayerNorm({d.shape[-1]}, dtype=float64)" if d.chance(0.3) else ""
    return f"{layer}, {d(1, 2)}{norm}, enable_nested_tensor=False"


def _over(families: dict[str, Callable[[Draw, int], str]]) -> dict[str, Callable[[Draw], str]]:
    """A family's classes for 1, 2 and 3 axes."""
    return {
        name.format(n): partial(arguments, n=n)
        for name, arguments in families.items()
        for n in (1, 2, 3)
        if not (name.startswith("Fractional") and n == 1)
    }


LAYERS: dict[str, Callable[[Draw], str]] = {
    **{name: lambda d, given=given: d(*given) for name, given in _ACTIVATIONS.items()},
    **dict.fromkeys(["Softmax", "LogSoftmax", "Softmin"], _softmax),
    **_over(
        {
            "Conv{}d": _conv,
            "ConvTranspose{}d": _conv_transpose,
            "LazyConv{}d": _without_first(_conv),
            "LazyConvTranspose{}d": _without_first(_conv_transpose),
            "BatchNorm{}d": _batch_norm,
            "LazyBatchNorm{}d": _without_first(_batch_norm),
            "InstanceNorm{}d": _instance_norm,
            "LazyInstanceNorm{}d": _without_first(_instance_norm),
            "MaxPool{}d": partial(_pool, ceil_mode=[True]),
            "AvgPool{}d": partial(_pool, ceil_mode=[True], count_include_pad=[False]),
            "LPPool{}d": _lp_pool,
            "AdaptiveAvgPool{}d": _adaptive_pool,
            "AdaptiveMaxPool{}d": _adaptive_pool,
            "FractionalMaxPool{}d": _fractional_pool,
            "CircularPad{}d": _pad,
            "ConstantPad{}d": partial(_pad, constant=True),
            "ReflectionPad{}d": _pad,
            "ReplicationPad{}d": _pad,
            "ZeroPad{}d": _pad,
            "Dropout{}d": lambda d, n: f"{d(0.2, 0.5)}" if d.channels(n) else "",
        }
    ),
    "SyncBatchNorm": lambda d: d.needs(2, 3, 4, 5) or _batch_norm(d, max(1, len(d.shape) - 2)),
    "GLU": _glu,
    "Softmax2d": lambda d: d.needs(3, 4) or "",
    "PReLU": lambda d: f"{d(1, d.shape[1] if len(d.shape) > 1 else 1)}",
    "Linear": _linear,
    "LazyLinear": lambda d: _linear(d).partition(", ")[2],
    "LayerNorm": _channels_last,
    "RMSNorm": _channels_last,
    "GroupNorm": _group_norm,
    "LocalResponseNorm": _response_norm,
    "CrossMapLRN2d": _cross_map_norm,
    "Flatten": _flatten,
    "Unflatten": _unflatten,
    "Unfold": _unfold,
    "Fold": _fold,
    "ChannelShuffle": _shuffle,
    "PixelShuffle": lambda d: f"{d(1, 2)}",
    "PixelUnshuffle": lambda d: f"{d(1, 2)}",
    "Upsample": _upsample,
    "UpsamplingNearest2d": lambda d: f"scale_factor={d(1, 2)}",
    "UpsamplingBilinear2d": lambda d: d("scale_factor=2", "size=(3, 5)"),
    "TransformerEncoderLayer": encoder_layer,
    "TransformerEncoder": _encoder,
}


def made(name: str, arguments: str) -> str:
    """The text that makes a layer, in float64 if it has a dtype."""
    parts = [arguments] * bool(arguments) + ["dtype=float64"] * takes_dtype(name)
    return f"nn.{name}({', '.join(parts)})"


@cache
def takes_dtype(name: str) -> bool:
    layer = getattr(torch.nn, name)
    is_recurrent = issubclass(layer, torch.nn.RNNBase)  # takes it among its **kwargs
    return is_recurrent or "dtype" in inspect.signature(layer).parameters
