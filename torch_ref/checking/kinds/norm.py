"""Batch norm and layer norm."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_impl import textbook
from torch_ref.checking.explain import Case, Explanation
from torch_ref.checking.kinds.draws import layer_probes, normal
from torch_ref.checking.kinds.linear import INPUTS
from torch_ref.checking.probe import Array, Kind, Probe


def _draw_batch(like: str, *sizes: int) -> Callable[..., list[Probe]]:
    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        features = args[0] if args else kwargs["num_features"]
        away = lambda rng: 3 + 2 * rng.standard_normal((6, features, *sizes))  # noqa: E731
        return layer_probes(like, [(away, "")], args, kwargs, training=(True, False))

    return draw


def _draw_layer(*args: Any, **kwargs: Any) -> list[Probe]:
    features = args[0] if args else kwargs["normalized_shape"]
    return layer_probes(
        "LayerNorm",
        [(normal(5, features), ""), (normal(2, 3, features), "three axes")],
        args,
        kwargs,
        extra=("three axes",),
    )


_SPELLINGS = {
    "num_features": (
        "num_features",
        "dim",
        "d",
        "n_features",
        "features",
        "channels",
        "num_channels",
        "size",
        "n",
        *INPUTS,
    ),
    "eps": ("eps", "epsilon"),
    "momentum": ("momentum", "gamma", "beta", "decay", "alpha", "rho"),
}
KINDS = (
    Kind(
        "BatchNorm1d",
        "layer",
        ("batchnorm1d", "batchnormalization", "batchnorm", "bn", "spatialbatchnorm"),
        (((4,), {}),),
        _draw_batch("BatchNorm1d"),
        _SPELLINGS,
    ),
    Kind(
        "BatchNorm2d",
        "layer",
        ("batchnorm2d", "batchnormalization2d", "spatialbatchnorm", "bn2d"),
        (((4,), {}),),
        _draw_batch("BatchNorm2d", 3, 2),
        _SPELLINGS,
    ),
    Kind(
        "LayerNorm",
        "layer",
        ("layernorm", "layernormalization"),
        (((4,), {}),),
        _draw_layer,
        {
            "normalized_shape": _SPELLINGS["num_features"] + ("normalized_shape",),
            "eps": _SPELLINGS["eps"],
        },
    ),
)
_BATCH = ("BatchNorm1d", "BatchNorm2d")
_ALL = (*_BATCH, "LayerNorm")


class _Norm:
    """A case's pieces, however it is normalised."""

    def __init__(self, case: Case) -> None:
        self.x, self.dy = case.x, case.dy
        given = {
            **dict(zip(("num_features", "eps", "momentum"), case.probe.args, strict=False)),
            **case.probe.kwargs,
        }
        self.eps, self.momentum = given.get("eps", 1e-5), given.get("momentum", 0.1)
        self.by_layer = not any(name == "running_mean" for name in case.probe.buffers)
        self.axes = (-1,) if self.by_layer else (0, *range(2, self.x.ndim))
        shape = (1, -1) + (1,) * (self.x.ndim - 2)
        spread = (lambda v: v) if self.by_layer else (lambda v: v.reshape(shape))
        self.w, self.b = spread(case["weight"]), spread(case["bias"])
        self.training = case.probe.training or self.by_layer
        if self.training:
            self.mean = self.x.mean(self.axes, keepdims=True)
            self.var = self.x.var(self.axes, keepdims=True)
        else:
            self.mean, self.var = spread(case["running_mean"]), spread(case["running_var"])
        self.count = self.x.size // self.mean.size
        self.root = np.sqrt(self.var + self.eps)
        self.normal = (self.x - self.mean) / self.root
        self.given = case

    def output(self, **changes: Any) -> Array:
        mean, root = changes.get("mean", self.mean), changes.get("root", self.root)
        return self.w * (self.x - mean) / root + self.b

    def to_parameters(self, values: Array) -> Array:
        axes = tuple(range(self.x.ndim - 1)) if self.by_layer else (0, *range(2, self.x.ndim))
        return values.sum(axes)

    def mean_of(self, values: Array) -> Array:
        return values.mean(self.axes, keepdims=True)


def _with(value: Callable[[_Norm], Array | None], training_only: bool = True) -> Callable[..., Any]:
    """As an explanation's value; in evaluation nothing deviates, unless said otherwise."""

    def of(case: Case, part: str) -> Array | None:
        norm = _Norm(case)
        return value(norm) if norm.training or not training_only else None

    return of


def _running(update: Callable[[_Norm, Array, Array], Array]) -> Callable[[Case, str], Array | None]:
    """A running statistic after ``update(norm, old, of the batch)``."""

    def of(case: Case, part: str) -> Array | None:
        if not case.probe.training:
            return None
        norm = _Norm(case)
        batch = norm.mean if part == "running_mean" else norm.var * norm.count / (norm.count - 1)
        return update(norm, case[part], batch.ravel())

    return of


def _biased(norm: _Norm, old: Array, _: Array) -> Array:
    return (1 - norm.momentum) * old + norm.momentum * norm.var.ravel()


def _other_momentum(norm: _Norm, old: Array, batch: Array) -> Array:
    return norm.momentum * old + (1 - norm.momentum) * batch


def _other_momentum_biased(norm: _Norm, old: Array, _: Array) -> Array:
    return norm.momentum * old + (1 - norm.momentum) * norm.var.ravel()


def _any_momentum(case: Case, part: str) -> Array | None:
    """The running statistic after a step of whatever size towards the batch's."""
    if not case.probe.training:
        return None
    norm, old, found = _Norm(case), case[part], case.found[part]
    batch = norm.mean.ravel()
    best: Array | None = None
    for scale in (1.0, norm.count / (norm.count - 1)):
        if part == "running_var":
            batch = norm.var.ravel() * scale
        away = batch - old
        value = old + away * float((found - old) @ away / (away @ away))
        if best is None or np.abs(value - found).max() < np.abs(best - found).max():
            best = value
    return best


def _eps(eps: float) -> tuple[Explanation, ...]:
    def output(norm: _Norm) -> Array:
        return norm.output(root=np.sqrt(norm.var + eps))

    def dx(norm: _Norm) -> Array:
        root = np.sqrt(norm.var + eps)
        dz = norm.dy * norm.w
        if not norm.training:
            return dz / root
        z = (norm.x - norm.mean) / root
        return (dz - norm.mean_of(dz) - z * norm.mean_of(dz * z)) / root

    def dw(norm: _Norm) -> Array:
        return norm.to_parameters(norm.dy * (norm.x - norm.mean) / np.sqrt(norm.var + eps))

    says = f"eps is {eps:g} here, PyTorch's is 1e-05."
    then = "give PyTorch the same eps where you compare or exchange weights"
    return tuple(
        Explanation("another eps", part, says, _with(value, training_only=False), _ALL, then=then)
        for part, value in (("output", output), ("grad input", dx), ("grad weight", dw))
    )


def _dx(norm: _Norm, mean: bool = True, var: bool = True, dz: Array | None = None) -> Array:
    dz = norm.dy * norm.w if dz is None else dz
    dx = dz - (norm.mean_of(dz) if mean else 0)
    return (dx - (norm.normal * norm.mean_of(dz * norm.normal) if var else 0)) / norm.root


def _explanation(
    key: str, part: str, says: str, value: Any, likes: Any = _ALL, **more: Any
) -> Explanation:
    return Explanation(key, part, says, value, likes, **{"textbook": "batch_norm_backward"} | more)


_MOMENTUM_THEN = "PyTorch's momentum is the weight of the new value: pass it 1 minus yours"
EXPLANATIONS = (
    _explanation(
        "gamma's gradient from the output",
        "grad weight",
        "The gradient of gamma is the sum of dy times the *normalised* input; here it is dy "
        "times the "
        "output.",
        _with(lambda n: n.to_parameters(n.dy * n.output()), training_only=False),
    ),
    _explanation(
        "gamma's gradient from the input",
        "grad weight",
        "The gradient of gamma is the sum of dy times the *normalised* input; here the input is "
        "not "
        "normalised.",
        _with(lambda n: n.to_parameters(n.dy * n.x), training_only=False),
    ),
    _explanation(
        "gamma missing",
        "grad input",
        "The gradient for the input lacks gamma: start from dy * gamma.",
        _with(lambda n: _dx(n, n.training, n.training, n.dy), training_only=False),
    ),
    _explanation(
        "gamma outside the sums",
        "grad input",
        "gamma is left out of the sums over the batch: multiply dy by gamma first, everywhere.",
        _with(
            lambda n: (
                (n.dy * n.w - n.mean_of(n.dy) - n.normal * n.mean_of(n.dy * n.normal)) / n.root
            )
        ),
    ),
    _explanation(
        "path through the variance missing",
        "grad input",
        "The variance hangs on the input, too: the term with the mean of dz * z is missing.",
        _with(lambda n: _dx(n, var=False)),
    ),
    _explanation(
        "path through the mean missing",
        "grad input",
        "The mean hangs on the input, too: the term with the mean of dz is missing.",
        _with(lambda n: _dx(n, mean=False)),
    ),
    _explanation(
        "paths through mean and variance missing",
        "grad input",
        "Mean and variance hang on the input, too: this is their gradient as constants.",
        _with(lambda n: _dx(n, mean=False, var=False)),
    ),
    _explanation(
        "batch statistics in evaluation",
        "output",
        "In evaluation the batch's own mean and variance are used: it must be the running ones.",
        lambda c, p: None if c.probe.training else textbook.batch_norm(c.x, c["weight"], c["bias"]),
        _BATCH,
        textbook="batch_norm_evaluation",
    ),
    _explanation(
        "eps outside the root",
        "output",
        "eps stands outside the root: sqrt(var) + eps.",
        _with(lambda n: n.output(root=np.sqrt(n.var) + n.eps), training_only=False),
        then="nothing but a slightly different result",
        textbook="",
    ),
    _explanation(
        "unbiased variance",
        "output",
        "The batch is normalised by its unbiased variance (ddof=1); PyTorch divides by n there.",
        _with(lambda n: n.output(root=np.sqrt(n.var * n.count / (n.count - 1) + n.eps))),
        textbook="batch_norm",
    ),
    _explanation(
        "root missing",
        "output",
        "The input is divided by the variance: take its root.",
        _with(lambda n: n.output(root=n.var + n.eps), training_only=False),
        textbook="batch_norm",
    ),
    *_eps(1e-8),
    *_eps(1e-3),
    *_eps(1e-7),
    *_eps(1e-6),
    *_eps(0.0),
    *_eps(1e-12),
    _explanation(
        "biased running variance",
        "running_var",
        "The running variance takes the batch's biased variance; PyTorch's takes the unbiased "
        "one, n / "
        "(n - 1) times as large.",
        _running(_biased),
        _BATCH,
        then="multiply by n / (n - 1) where you exchange weights with PyTorch",
        textbook="",
    ),
    _explanation(
        "momentum on the old value",
        "running_*",
        "momentum is the weight of the old value here; in PyTorch that of the new one.",
        _running(_other_momentum),
        _BATCH,
        then=_MOMENTUM_THEN,
        textbook="",
    ),
    _explanation(
        "momentum on the old value",
        "running_var",
        "momentum is the weight of the old value here, and the variance the biased one; in "
        "PyTorch that "
        "of the new one, and the unbiased one.",
        _running(_other_momentum_biased),
        _BATCH,
        then=_MOMENTUM_THEN,
        textbook="",
    ),
    _explanation(
        "state never moves",
        "running_*",
        "{part} never moves: evaluation will use its first value.",
        _running(lambda n, old, batch: old),
        _BATCH,
        textbook="",
    ),
    _explanation(
        "another momentum",
        "running_*",
        "{part} moves towards the batch's by another share than PyTorch's 0.1.",
        _any_momentum,
        _BATCH,
        then="give PyTorch the same momentum where you compare running statistics",
        textbook="",
    ),
    _explanation(
        "state moves in evaluation",
        "running_*",
        "{part} is moved in evaluation, too.",
        lambda c, p: None if c.probe.training else _moved(c, p),
        _BATCH,
        textbook="",
    ),
)


def _moved(case: Case, part: str) -> Array:
    norm = _Norm(case)
    axes = (0, *range(2, case.x.ndim))
    batch = case.x.mean(axes) if part == "running_mean" else case.x.var(axes, ddof=1)
    return (1 - norm.momentum) * case[part] + norm.momentum * batch
