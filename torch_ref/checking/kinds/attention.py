"""Attention, and softmax behind a causal mask."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import generator
from torch_ref.checking.probe import Array, Kind, Probe

Tensor = torch.Tensor


class _Attention(torch.nn.Module):
    def __init__(self, is_causal: bool) -> None:
        super().__init__()
        self.is_causal = is_causal

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=self.is_causal)


class _CausalSoftmax(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.ones_like(x, dtype=torch.bool).triu(1)
        return x.masked_fill(hidden, -torch.inf).softmax(-1)


def _draw(like: str) -> Callable[..., list[Probe]]:
    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        probes = []
        for rows, size in ((2, 4), (1, 5)):
            rng = generator(like, rows)
            shapes = [(rows, size, size)] if like == "CausalSoftmax" else [(rows, size, 3)] * 3
            given = tuple(rng.standard_normal(shape) for shape in shapes)
            upstream = rng.standard_normal(given[-1].shape)
            probes.append(Probe(args, kwargs, given, upstream=upstream))
        return probes

    return draw


def _kind(like: str, twin: Callable[..., Any], more: tuple[str, ...], *aliases: str) -> Kind:
    return Kind(like, "layer", aliases, (((), {}),), _draw(like), twin=twin, more_inputs=more)


KINDS = (
    _kind("CausalSoftmax", _CausalSoftmax, (), "maskedsoftmax", "causalsoftmax"),
    _kind(
        "CausalAttention", lambda: _Attention(True), ("key", "value"),
        "causalattention", "maskedattention", "causalselfattention", "maskedselfattention",
    ),
    _kind(
        "Attention", lambda: _Attention(False), ("key", "value"),
        "attention", "scaleddotproductattention", "selfattention", "dotproductattention",
    ),
)  # fmt: skip
_CAUSAL = ("CausalSoftmax", "CausalAttention")


def _behind(fill: float, reverse: bool = True, late: bool = False) -> Callable[[Case, str], Array]:
    """What comes out behind another mask: the reversed one, or one put on after softmax."""

    def value(case: Case, part: str) -> Array:
        tensors = [torch.from_numpy(np.array(v)) for v in case.probe.inputs]
        is_alone = len(tensors) == 1
        scores = tensors[0]
        if not is_alone:
            scores = tensors[0] @ tensors[1].mT / tensors[0].shape[-1] ** 0.5
        seen = torch.ones_like(scores, dtype=torch.bool).tril()
        if late:
            weights = scores.softmax(-1) * seen
        else:
            weights = scores.masked_fill(seen if reverse else ~seen, fill).softmax(-1)
        return (weights if is_alone else weights @ tensors[2]).numpy()

    return value


def _unscaled(case: Case, part: str) -> Array:
    q, k, v = (torch.from_numpy(np.array(value)) for value in case.probe.inputs)
    scale = q.shape[-1] ** 0.5
    causal = not np.allclose(case.y[0, 0], _whole(case)[0, 0])
    return F.scaled_dot_product_attention(q * scale, k, v, is_causal=causal).numpy()


def _whole(case: Case) -> Array:
    q, k, v = (torch.from_numpy(np.array(value)) for value in case.probe.inputs)
    return F.scaled_dot_product_attention(q, k, v).numpy()


_REVERSED = (
    "The mask is the wrong way round: what may be seen is filled with -inf, and what comes later "
    "is seen. Fill where the mask is 0."
)
EXPLANATIONS = (
    *(
        Explanation("masked_fill reversed", "output", _REVERSED, _behind(fill), _CAUSAL)
        for fill in (-1e9, float("-inf"))
    ),
    Explanation(
        "mask after softmax",
        "output",
        "The mask is put on after softmax: rows no longer sum to 1. Fill with -inf before softmax.",
        _behind(0.0, late=True),
        _CAUSAL,
    ),
    Explanation(
        "mask filled with 0",
        "output",
        "What is hidden is filled with 0, which exp makes 1: fill with -inf.",
        _behind(0.0, reverse=False),
        _CAUSAL,
    ),
    Explanation(
        "mask missing",
        "output",
        "Later positions are seen: the causal mask is missing.",
        lambda c, p: _whole(c),
        ("CausalAttention",),
    ),
    Explanation(
        "scale missing",
        "output",
        "The scores are not divided by the root of the size of a head: q k^T / sqrt(d).",
        _unscaled,
        ("CausalAttention", "Attention"),
        textbook="attention_weights",
    ),
    Explanation(
        "scale missing on the way back",
        "grad [ik]*",
        "The factor 1 / sqrt(d) is missing on the way back.",
        lambda c, p: c.expected[p] * c.x.shape[-1] ** 0.5,
        ("CausalAttention", "Attention"),
        textbook="attention_backward",
    ),
)
