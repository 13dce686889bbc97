"""What adds up many numbers, and at which size :mod:`parity_tests.accuracy` runs it.

Each row is one program for both libraries: ``t`` is ``torch`` or ``numpy_impl``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
MEAN = 1000.0  # "far": values around it, with a deviation of 1


class Draws:
    """Random float32 arrays."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def uniform(self, *shape: int) -> Array:
        return self._rng.random(shape, np.float32)

    def normal(self, *shape: int) -> Array:
        return self._rng.standard_normal(shape, np.float32)

    def far(self, *shape: int) -> Array:
        return self.normal(*shape) + np.float32(MEAN)

    def signs(self, *shape: int) -> Array:
        return self._rng.choice(np.array([-1, 1], np.float32), shape)

    def integers(self, high: int, *shape: int) -> Array:
        return self._rng.integers(0, high, shape)


@dataclass(frozen=True)
class Row:
    """``run(t, *inputs)`` of Tensors, for ``inputs(draws, size)``: forward and all gradients.

    Attributes:
        size: how many numbers are added up, or how many steps follow one another.
        names: of the inputs whose gradients count, in their order; "" leaves one out.
    """

    name: str
    size: int
    names: str
    inputs: Callable[[Draws, int], list[Array]]
    run: Callable[..., Any]


def _recurrent(name: str) -> Callable[..., Any]:
    def run(t: Any, x: Any) -> Any:
        t.manual_seed(0)
        return _like(getattr(t.nn, name)(x.shape[2], 8), t, x)(x)[0]

    return run


def _like(module: Any, t: Any, x: Any) -> Any:
    return module.double() if x.dtype == t.float64 else module


def _running(t: Any, x: Any, which: int, norm: str = "batch_norm") -> Any:
    """The running mean or variance after one batch."""
    channels = x.shape[1]
    running = t.zeros(channels, dtype=x.dtype), t.ones(channels, dtype=x.dtype)
    getattr(t.nn.functional, norm)(x, *running, None, None, True, 0.1)
    return running[which]


def _stepped(optimizer: str, **options: Any) -> Callable[..., Any]:
    """The parameter after as many steps as there are gradients."""

    def run(t: Any, p: Any, grads: Any) -> Any:
        parameter = t.nn.Parameter(p.detach().clone())
        stepper = getattr(t.optim, optimizer)([parameter], **options)
        for grad in grads:
            parameter.grad = grad
            stepper.step()
        return parameter.detach()

    return run


def _clipped(t: Any, p: Any, grad: Any) -> Any:
    parameter = t.nn.Parameter(p.detach().clone())
    parameter.grad = grad.clone()
    return t.nn.utils.clip_grad_norm_([parameter], 1.0)


def _of_logits(r: Draws, n: int) -> list[Array]:
    return [r.normal(4, n), r.integers(n, 4)]


def _norm_inputs(r: Draws, *shape: int) -> list[Array]:
    return [r.far(*shape), r.uniform(shape[1]) + np.float32(0.5), r.normal(shape[1])]


def _inside(r: Draws, n: int) -> Array:
    """Between 0 and 1, and not near either."""
    return r.uniform(n) * np.float32(0.9) + np.float32(0.05)


def _of_parameter(r: Draws, n: int) -> list[Array]:
    return [r.normal(1000), r.normal(n, 1000)]


def _call(name: str, **options: Any) -> Callable[..., Any]:
    """The function of ``nn.functional``."""
    return lambda t, *inputs: getattr(t.nn.functional, name)(*inputs, **options)


def _loss(name: str, inputs: Callable[[Draws, int], list[Array]]) -> Row:
    """The mean over 10^7 values."""
    return Row(name, 10**7, "x", inputs, _call(name))


ROWS = [
    # -- tensor operations
    Row("sum", 10**7, "x", lambda r, n: [r.uniform(n)], lambda t, x: x.sum()),
    Row("sum of columns", 10**6, "x", lambda r, n: [r.uniform(n, 8)], lambda t, x: x.sum(0)),
    Row("sum of the middle axis", 10**6, "x", lambda r, n: [r.uniform(2, n, 3)],
        lambda t, x: x.sum(1)),
    Row("mean", 10**7, "x", lambda r, n: [r.far(n)], lambda t, x: x.mean()),
    Row("mean of columns", 10**6, "x", lambda r, n: [r.far(n, 8)], lambda t, x: x.mean(0)),
    Row("var", 10**7, "x", lambda r, n: [r.far(n)], lambda t, x: x.var()),
    Row("var of columns", 10**6, "x", lambda r, n: [r.far(n, 8)], lambda t, x: x.var(0)),
    Row("std", 10**7, "x", lambda r, n: [r.far(n)], lambda t, x: x.std()),
    Row("norm", 10**7, "x", lambda r, n: [r.normal(n)], lambda t, x: x.norm()),
    Row("norm of columns", 10**6, "x", lambda r, n: [r.normal(n, 8)], lambda t, x: t.norm(x, 2, 0)),
    Row("1-norm", 10**7, "x", lambda r, n: [r.normal(n)], lambda t, x: t.norm(x, 1)),
    Row("logsumexp", 10**7, "x", lambda r, n: [r.normal(n)], lambda t, x: t.logsumexp(x, 0)),
    Row("logsumexp of columns", 10**6, "x", lambda r, n: [r.normal(n, 8)],
        lambda t, x: t.logsumexp(x, 0)),
    Row("cumsum", 10**6, "x", lambda r, n: [r.uniform(n)], lambda t, x: x.cumsum(0)),
    Row("cumsum of columns", 10**5, "x", lambda r, n: [r.uniform(n, 8)], lambda t, x: x.cumsum(0)),
    Row("prod", 10**5, "x", lambda r, n: [1 + (r.uniform(n) - 0.5) / 1000], lambda t, x: x.prod()),
    Row("cumprod", 10**4, "x", lambda r, n: [1 + (r.uniform(n) - 0.5) / 1000],
        lambda t, x: x.cumprod(0)),
    Row("dot", 10**7, "x y", lambda r, n: [r.uniform(n), r.uniform(n)],
        lambda t, x, y: t.dot(x, y)),
    Row("matmul", 10**6, "x y", lambda r, n: [r.uniform(4, n), r.uniform(n, 4)],
        lambda t, x, y: x @ y),
    Row("bmm", 10**5, "x y", lambda r, n: [r.uniform(4, 4, n), r.uniform(4, n, 4)],
        lambda t, x, y: t.bmm(x, y)),
    Row("einsum", 10**6, "x y", lambda r, n: [r.uniform(n, 4), r.uniform(n, 4)],
        lambda t, x, y: t.einsum("ki,ki->i", x, y)),
    Row("broadcast addition", 10**6, " y", lambda r, n: [r.normal(n, 8), r.normal(8)],
        lambda t, x, y: x + y),
    Row("expand", 10**6, "x", lambda r, n: [r.normal(1, 8), r.integers(2, n, 8)],
        lambda t, x, i: x.expand(i.shape)),
    Row("index_select", 10**6, "x", lambda r, n: [r.normal(4, 8), r.integers(4, n)],
        lambda t, x, i: x.index_select(0, i)),
    # -- linear and convolution
    Row("Linear, wide", 10**6, "x weight bias",
        lambda r, n: [r.uniform(4, n), r.uniform(4, n), r.normal(4)], _call("linear")),
    Row("Linear, many rows", 10**6, "x weight bias",
        lambda r, n: [r.uniform(n, 4), r.uniform(4, 4), r.normal(4)], _call("linear")),
    Row("Bilinear", 10**5, "x1 x2 weight bias",
        lambda r, n: [r.uniform(n, 4), r.uniform(n, 4), r.uniform(4, 4, 4), r.normal(4)],
        _call("bilinear")),
    Row("Conv2d, many channels", 10**5, "x weight bias",
        lambda r, n: [r.uniform(1, n, 4, 4), r.uniform(2, n, 3, 3), r.normal(2)], _call("conv2d")),
    Row("Conv2d, many positions", 10**6, "x weight bias",
        lambda r, n: [r.uniform(4, 2, 500, n // 2000), r.uniform(3, 2, 3, 3), r.normal(3)],
        _call("conv2d")),
    Row("Conv1d, depthwise", 10**6, "x weight bias",
        lambda r, n: [r.uniform(4, 8, n // 4), r.uniform(8, 1, 3), r.normal(8)],
        _call("conv1d", groups=8)),
    Row("ConvTranspose2d, many positions", 10**6, "x weight bias",
        lambda r, n: [r.uniform(4, 2, 500, n // 2000), r.uniform(2, 3, 3, 3), r.normal(3)],
        _call("conv_transpose2d")),
    Row("PReLU", 10**6, "x weight", lambda r, n: [r.normal(n, 4), r.uniform(4)], _call("prelu")),
    # -- normalization, far from zero
    Row("BatchNorm1d, far", 10**6, "x weight bias", lambda r, n: _norm_inputs(r, n, 4),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True)),
    Row("BatchNorm2d, far", 10**6, "x weight bias",
        lambda r, n: _norm_inputs(r, 4, 4, 500, n // 2000),
        lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True)),
    Row("BatchNorm's running mean, far", 10**6, "", lambda r, n: [r.far(n, 4)],
        lambda t, x: _running(t, x, 0)),
    Row("BatchNorm's running variance, far", 10**6, "", lambda r, n: [r.far(n, 4)],
        lambda t, x: _running(t, x, 1)),
    Row("InstanceNorm1d, far", 10**6, "x weight bias", lambda r, n: _norm_inputs(r, 2, 2, n),
        lambda t, x, w, b: t.nn.functional.instance_norm(x, None, None, w, b)),
    Row("GroupNorm, far", 10**6, "x weight bias", lambda r, n: _norm_inputs(r, 2, 4, n // 2),
        lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b)),
    Row("LayerNorm, far", 10**6, "x weight bias", lambda r, n: _norm_inputs(r, 4, n),
        lambda t, x, w, b: t.nn.functional.layer_norm(x, x.shape[1:], w, b)),
    Row("LayerNorm, many rows", 10**6, "x weight bias",
        lambda r, n: [r.normal(n, 8), r.uniform(8), r.normal(8)],
        lambda t, x, w, b: t.nn.functional.layer_norm(x, [8], w, b)),
    Row("RMSNorm, far", 10**6, "x weight", lambda r, n: _norm_inputs(r, 4, n)[:2],
        lambda t, x, w: t.nn.functional.rms_norm(x, x.shape[1:], w)),
    Row("RMSNorm, many rows", 10**6, "x weight", lambda r, n: [r.normal(n, 8), r.uniform(8)],
        lambda t, x, w: t.nn.functional.rms_norm(x, [8], w)),
    Row("normalize", 10**6, "x", lambda r, n: [r.normal(4, n)], _call("normalize")),
    # -- pooling and sparse
    Row("AvgPool1d", 10**6, "x", lambda r, n: [r.uniform(1, 4, n)],
        lambda t, x: t.nn.functional.avg_pool1d(x, x.shape[2])),
    Row("AvgPool2d", 10**6, "x", lambda r, n: [r.uniform(1, 4, 1000, n // 1000)],
        lambda t, x: t.nn.functional.avg_pool2d(x, tuple(x.shape[2:]))),
    Row("AdaptiveAvgPool2d", 10**6, "x", lambda r, n: [r.uniform(1, 4, 1000, n // 1000)],
        lambda t, x: t.nn.functional.adaptive_avg_pool2d(x, 1)),
    Row("LPPool1d", 10**6, "x", lambda r, n: [r.uniform(1, 4, n)],
        lambda t, x: t.nn.functional.lp_pool1d(x, 2, x.shape[2])),
    Row("EmbeddingBag, sum", 10**6, " weight",
        lambda r, n: [r.integers(10, 1, n), r.uniform(10, 4)], _call("embedding_bag", mode="sum")),
    Row("EmbeddingBag, mean", 10**6, " weight",
        lambda r, n: [r.integers(10, 1, n), r.uniform(10, 4)],
        _call("embedding_bag", mode="mean")),
    Row("Embedding", 10**6, " weight", lambda r, n: [r.integers(10, n), r.uniform(10, 4)],
        _call("embedding")),
    # -- many classes, many samples
    Row("softmax", 10**5, "x", lambda r, n: [r.normal(4, n)],
        lambda t, x: t.nn.functional.softmax(x, 1)),
    Row("softmax of columns", 10**5, "x", lambda r, n: [r.normal(n, 4)],
        lambda t, x: t.nn.functional.softmax(x, 0)),
    Row("log_softmax", 10**5, "x", lambda r, n: [r.normal(4, n)],
        lambda t, x: t.nn.functional.log_softmax(x, 1)),
    Row("log_softmax of columns", 10**5, "x", lambda r, n: [r.normal(n, 4)],
        lambda t, x: t.nn.functional.log_softmax(x, 0)),
    Row("cross_entropy, classes", 10**5, "x", _of_logits, _call("cross_entropy")),
    Row("cross_entropy, smoothed", 10**5, "x", _of_logits,
        _call("cross_entropy", label_smoothing=0.1)),
    Row("cross_entropy, shares", 10**5, "x y",
        lambda r, n: [r.normal(4, n), r.uniform(4, n) / np.float32(n / 2)],
        _call("cross_entropy")),
    Row("cross_entropy, samples", 10**6, "x", lambda r, n: [r.normal(n, 4), r.integers(4, n)],
        _call("cross_entropy")),
    Row("cross_entropy, weighted samples", 10**6, "x",
        lambda r, n: [r.normal(n, 4), r.integers(4, n), r.uniform(4)], _call("cross_entropy")),
    # -- losses
    _loss("mse_loss", lambda r, n: [r.normal(n), r.normal(n)]),
    _loss("l1_loss", lambda r, n: [r.normal(n), r.normal(n)]),
    _loss("smooth_l1_loss", lambda r, n: [r.normal(n), r.normal(n)]),
    _loss("huber_loss", lambda r, n: [r.normal(n), r.normal(n)]),
    _loss("binary_cross_entropy", lambda r, n: [_inside(r, n), r.uniform(n)]),
    _loss("binary_cross_entropy_with_logits", lambda r, n: [r.normal(n), r.uniform(n)]),
    _loss("soft_margin_loss", lambda r, n: [r.normal(n), r.signs(n)]),
    _loss("kl_div", lambda r, n: [np.log(_inside(r, n)), _inside(r, n)]),
    _loss("poisson_nll_loss", lambda r, n: [r.normal(n), r.uniform(n)]),
    _loss("gaussian_nll_loss", lambda r, n: [r.normal(n), r.normal(n), _inside(r, n)]),
    _loss("hinge_embedding_loss", lambda r, n: [r.normal(n), r.signs(n)]),
    Row("nll_loss, samples", 10**6, "x", lambda r, n: [r.normal(n, 4), r.integers(4, n)],
        _call("nll_loss")),
    Row("multi_margin_loss, samples", 10**6, "x", lambda r, n: [r.normal(n, 4), r.integers(4, n)],
        _call("multi_margin_loss")),
    Row("multilabel_soft_margin_loss, classes", 10**5, "x",
        lambda r, n: [r.normal(4, n), r.integers(2, 4, n).astype(np.float32)],
        _call("multilabel_soft_margin_loss")),
    Row("triplet_margin_loss, wide", 10**6, "anchor positive negative",
        lambda r, n: [r.normal(4, n), r.normal(4, n), r.normal(4, n)],
        _call("triplet_margin_loss")),
    Row("cosine_embedding_loss, wide", 10**6, "x1 x2",
        lambda r, n: [r.uniform(4, n), r.uniform(4, n), r.signs(4)],
        _call("cosine_embedding_loss")),
    Row("ctc_loss, steps", 1000, "x",
        lambda r, n: [r.normal(n, 2, 5), 1 + r.integers(4, 2, n // 4),
                      *np.array([[n, n], [n // 4] * 2])],
        lambda t, x, *a: t.nn.functional.ctc_loss(t.nn.functional.log_softmax(x, 2), *a)),
    # -- distances
    Row("cosine_similarity", 10**6, "x1 x2", lambda r, n: [r.uniform(4, n), r.uniform(4, n)],
        _call("cosine_similarity")),
    Row("cosine_similarity of columns", 10**6, "x1 x2",
        lambda r, n: [r.uniform(n, 4), r.uniform(n, 4)], _call("cosine_similarity", dim=0)),
    Row("pairwise_distance", 10**6, "x1 x2", lambda r, n: [r.uniform(4, n), r.uniform(4, n)],
        _call("pairwise_distance")),
    Row("cdist", 10**5, "x1 x2", lambda r, n: [r.uniform(4, n), r.uniform(4, n)],
        lambda t, *a: t.cdist(*a)),
    Row("pdist", 10**5, "x", lambda r, n: [r.uniform(4, n)], lambda t, x: t.nn.functional.pdist(x)),
    # -- attention, recurrence, optimizers
    Row("attention, keys", 4096, "query key value",
        lambda r, n: [r.normal(1, 2, 64, 16), r.normal(1, 2, n, 16), r.normal(1, 2, n, 16)],
        _call("scaled_dot_product_attention")),
    Row("attention, queries and keys", 2048, "query key value",
        lambda r, n: [r.normal(1, 1, n, 16), r.normal(1, 1, n, 16), r.normal(1, 1, n, 16)],
        _call("scaled_dot_product_attention", is_causal=True)),
    Row("LSTM, steps", 1000, "x", lambda r, n: [r.normal(n, 2, 4)], _recurrent("LSTM")),
    Row("GRU, steps", 1000, "x", lambda r, n: [r.normal(n, 2, 4)], _recurrent("GRU")),
    Row("RNN, steps", 1000, "x", lambda r, n: [r.normal(n, 2, 4)], _recurrent("RNN")),
    Row("SGD, steps", 1000, "", _of_parameter, _stepped("SGD", lr=0.01, momentum=0.9)),
    Row("Adam, steps", 1000, "", _of_parameter, _stepped("Adam", lr=0.01)),
    Row("AdamW, steps", 1000, "", _of_parameter, _stepped("AdamW", lr=0.01)),
    Row("RMSprop, steps", 1000, "", _of_parameter, _stepped("RMSprop", lr=0.01)),
    Row("Adagrad, steps", 1000, "", _of_parameter, _stepped("Adagrad", lr=0.01)),
    Row("Adadelta, steps", 1000, "", _of_parameter, _stepped("Adadelta")),
    Row("NAdam, steps", 1000, "", _of_parameter, _stepped("NAdam", lr=0.01)),
    Row("RAdam, steps", 1000, "", _of_parameter, _stepped("RAdam", lr=0.01)),
    Row("Adamax, steps", 1000, "", _of_parameter, _stepped("Adamax", lr=0.01)),
    Row("clip_grad_norm_", 10**7, "", lambda r, n: [r.normal(n), r.normal(n)], _clipped),
]  # fmt: skip
