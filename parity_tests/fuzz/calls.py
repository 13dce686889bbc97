"""Layers that take several values or return several: how they are made, and how called."""

import math
from collections.abc import Callable
from functools import partial

from parity_tests.fuzz.draw import Draw, Unfit
from parity_tests.fuzz.layers import attention_sizes, encoder_layer, made


def _recurrent(d: Draw, name: str) -> tuple[str, str]:
    d.needs(2, 3)
    hidden, both = d(1, 2, 3), d.chance(0.3)
    arguments = f"{d.shape[-1]}, {hidden}" + d.options(
        num_layers=[2], batch_first=[True], bias=[False], dropout=[0.3]
    )
    arguments += ", bidirectional=True" * both
    if name == "LSTM" and hidden > 1 and d.chance(0.3):
        arguments += f", proj_size={hidden - 1}"
    if name == "RNN":
        arguments += d.options(nonlinearity=["relu"])
    found = f"({d.y}h, {d.y}c)" if name == "LSTM" else f"{d.y}h"
    return made(name, arguments), f"{d.y}, {found} = {d.f}({d.x})"


def _cell(d: Draw, name: str) -> tuple[str, str]:
    d.needs(1, 2)
    make = made(name, f"{d.shape[-1]}, {d(1, 2, 3)}{d.options(bias=[False])}")
    state = d.y.replace("x", "state")  # of an LSTM two values
    last = f"{d.y}, {d.y}c" if name == "LSTMCell" else d.y
    return make, f"{state} = {d.f}({d.x}); {last} = {d.f}({d.other}, {state})"


def _attention(d: Draw) -> tuple[str, str]:
    width, heads = attention_sizes(d)
    arguments = f"{width}, {heads}" + d.options(
        dropout=[0.3], bias=[False], add_bias_kv=[True], add_zero_attn=[True], batch_first=[True]
    )
    call = f"{d.f}({d.x}, {d.other}, {d.other}{d.options(average_attn_weights=[False])})"
    if d.chance(0.5):
        return made("MultiheadAttention", arguments), f"{d.y}, {d.y}w = {call}"
    call = call.replace(")", ", need_weights=False)") if call.count(")") == 1 else call
    return made("MultiheadAttention", arguments), f"{d.y} = {call}[0]"


def _decoder_layer(d: Draw) -> str:
    return f"nn.TransformerDecoderLayer({encoder_layer(d)}, dtype=float64)"


def _transformer(d: Draw) -> str:
    width, heads = attention_sizes(d)
    return made("Transformer", f"{width}, {heads}, 1, 1, 3{d.options(norm_first=[True])}")


def _embedding(d: Draw, name: str) -> tuple[str, str]:
    """Of integer places that the values choose."""
    if math.prod(d.shape) > 60:
        raise Unfit
    bag = name == "EmbeddingBag"
    d.needs(*((2,) if bag else (1, 2, 3)))
    arguments = f"{d(5, 8)}, {d(1, 2, 3)}" + d.options(
        padding_idx=[0, -1],
        sparse=[True],
        max_norm=[1.0],
        **({"mode": ["sum", "mean"]} if bag else {"scale_grad_by_freq": [True]}),
    )
    return made(name, arguments), f"{d.y} = {d.f}(({d.x}.detach() * 3).long().clamp(0, 4))"


def _unpool(d: Draw, n: int) -> tuple[str, str]:
    d.channels(n)
    pair = f'{{"pool": nn.MaxPool{n}d(2, return_indices=True), "unpool": nn.MaxUnpool{n}d(2)}}'
    pooled = f'{d.y}p, {d.y}i = {d.f}["pool"]({d.x})'
    back = f'{d.y} = {d.f}["unpool"]({d.y}p.tanh(), {d.y}i, {d.x}.shape)'
    return f"nn.ModuleDict({pair})", f"{pooled}; {back}"


def _with_other(name: str, arguments: Callable[[Draw], str]) -> Callable[[Draw], tuple[str, str]]:
    def drawn(d: Draw) -> tuple[str, str]:
        return made(name, arguments(d)), f"{d.y} = {d.f}({d.x}, {d.other})"

    return drawn


def _width(d: Draw) -> int:
    if not d.shape:
        raise Unfit
    return d.shape[-1]


_BUFFER = "nn.Buffer(torch.ones(1, dtype=float64))"
# the text that makes one, and the line that calls it
CALLED: dict[str, Callable[[Draw], tuple[str, str]]] = {
    **{name: partial(_recurrent, name=name) for name in ("RNN", "LSTM", "GRU")},
    **{name: partial(_cell, name=name) for name in ("RNNCell", "LSTMCell", "GRUCell")},
    **{name: partial(_embedding, name=name) for name in ("Embedding", "EmbeddingBag")},
    **{f"MaxUnpool{n}d": partial(_unpool, n=n) for n in (1, 2, 3)},
    "MultiheadAttention": _attention,
    "Bilinear": _with_other("Bilinear", lambda d: f"{_width(d)}, {_width(d)}, {d(1, 2, 3)}"),
    "CosineSimilarity": _with_other("CosineSimilarity", lambda d: f"dim={d.dim()}"),
    "PairwiseDistance": _with_other(
        "PairwiseDistance", lambda d: f"p={d(1.0, 2.0, 3.0)}{d.options(keepdim=[True])}"
    ),
    "TransformerDecoderLayer": lambda d: (_decoder_layer(d), f"{d.y} = {d.f}({d.x}, {d.other})"),
    "TransformerDecoder": lambda d: (
        f"nn.TransformerDecoder({_decoder_layer(d)}, {d(1, 2)})",
        f"{d.y} = {d.f}({d.x}, {d.other})",
    ),
    "Transformer": lambda d: (_transformer(d), f"{d.y} = {d.f}({d.x}, {d.other})"),
    "ModuleList": lambda d: (
        f"nn.ModuleList([{made('Linear', f'{_width(d)}, {_width(d)}')}, nn.Tanh()])",
        f"{d.y} = {d.f}[1]({d.f}[0]({d.x}))",
    ),
    "ParameterList": lambda d: (
        f"nn.ParameterList([torch.randn({_width(d)}, dtype=float64), {_BUFFER}])",
        f"{d.y} = {d.x} * {d.f}[0] + {d.f}[1]",
    ),
    "ParameterDict": lambda d: (
        f'nn.ParameterDict({{"scale": torch.randn({_width(d)}, dtype=float64)}})',
        f'{d.y} = {d.x} * {d.f}["scale"]',
    ),
}
