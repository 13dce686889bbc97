"""Losses: what they return, and a gradient that must be that of what they return."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from torch_ref.checking.explain import Case, Explanation, agree, error
from torch_ref.checking.kinds.draws import generator
from torch_ref.checking.probe import Array, Kind, Probe
from torch_ref.checking.verdict import CONVENTION, RIGHT, WRONG, Finding


class ProbabilityLoss(torch.nn.Module):
    """Cross entropy of probabilities (a softmax has come before): the mean of -log p[target]."""

    def forward(self, p: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -torch.log(p.gather(1, target[:, None])).mean()


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _draw(kind: str) -> Callable[..., list[Probe]]:
    """(N, C) predictions of two sizes, and targets as the twin takes them."""

    def draw(*args: Any, **kwargs: Any) -> list[Probe]:
        probes = []
        for i, (n, c, note) in enumerate([(5, 3, ""), (4, 6, "another size"), (2, 3, "extremes")]):
            rng = generator(kind, args, sorted(kwargs.items()), i)
            x = rng.standard_normal((n, c))
            x = 300 * x if note == "extremes" else x
            target: Array = rng.standard_normal((n, c))
            if kind in ("CrossEntropyLoss", "ProbabilityLoss"):
                target = rng.integers(0, c, n)
            if kind in ("BCELoss", "BCEWithLogitsLoss"):
                target = rng.integers(0, 2, (n, c)).astype(float)
            if kind == "ProbabilityLoss":
                x = _softmax(rng.standard_normal((n, c)))
            if kind == "BCELoss":
                x = 0.1 + 0.8 * rng.random((n, c))
            if note == "extremes" and kind in ("ProbabilityLoss", "BCELoss", "MSELoss", "L1Loss"):
                continue
            probes.append(Probe(args, kwargs, (x, target), note=note))
        return probes

    return draw


def _kind(like: str, *aliases: str, twin: Any = None) -> Kind:
    return Kind(like, "loss", aliases, (((), {}),), _draw(like), {}, twin)


KINDS = (
    _kind(
        "CrossEntropyLoss",
        "softmaxcrossentropy",
        "crossentropywithsoftmax",
        "softmaxcategoricalcrossentropy",
        "softmaxwithloss",
        "softmaxloss",
        "crossentropywithlogits",
        "crossentropyloss",
        "activationsoftmaxlosscategoricalcrossentropy",
    ),
    _kind(
        "ProbabilityLoss",
        "categoricalcrossentropy",
        "crossentropy",
        "nll",
        "negativeloglikelihood",
        "logloss",
        twin=ProbabilityLoss,
    ),
    _kind("MSELoss", "mse", "meansquarederror", "squarederror", "quadratic", "l2loss", "mseloss"),
    _kind("L1Loss", "mae", "meanabsoluteerror", "l1loss", "absoluteerror"),
    _kind("BCELoss", "binarycrossentropy", "bce", "bceloss"),
    _kind("BCEWithLogitsLoss", "bcewithlogits", "sigmoidcrossentropy", "sigmoidbce"),
)


def _per_row(like: str) -> bool:
    """Whether torch's mean is over the rows, not over all elements."""
    return like in ("CrossEntropyLoss", "ProbabilityLoss")


def _factors(like: str, n: int, c: int) -> Mapping[str, float]:
    """Reductions beside torch's mean, as factors: what a loss may be without being wrong."""
    if _per_row(like):
        return {"the mean": 1.0, "the sum over the batch": n, "the mean over all N * C": 1 / c}
    return {
        "the mean": 1.0,
        "the sum": n * c,
        "the sum of each row, averaged over the batch": c,
        "the mean of each row, summed over the batch": n,
        "half the mean": 0.5,
        "half the sum": n * c / 2,
        "half the sum of each row, averaged over the batch": c / 2,
    }


def judge(like: str, cases: list[Case], tolerance: float, known: Any) -> list[Finding]:
    """The loss's reduction, and whether the gradient is of the same.

    Args:
        like: the twin's class.
        cases: the experiments.
        tolerance: of a value.
        known: explains a part that is no reduction: (part) -> Finding.
    """
    loss, losses = _reduction("loss", like, cases, tolerance), "loss" in cases[0].found
    gradient = _reduction("grad input", like, cases, tolerance)
    findings = []
    if losses:
        findings.append(_of_reduction("loss", loss, loss) if loss else known("loss"))
    if not gradient:
        ratio = _ratio(like, cases, tolerance, loss or "the mean")
        return [*findings, ratio or known("grad input")]
    if losses and loss and loss != gradient:
        return [*findings, _disagreement(like, loss, gradient)]
    return [*findings, _of_reduction("grad input", gradient, loss)]


def _reduction(part: str, like: str, cases: list[Case], tolerance: float) -> str:
    """Which of the reductions a part has, the same in all experiments; "" for none."""
    names = _factors(like, 1, 1)
    for name in names:
        if all(part in case.found and _has(name, part, like, case, tolerance) for case in cases):
            return name
    if part == "loss" and all(_unreduced(case, like, tolerance) for case in cases):
        return "not reduced"
    return ""


def _has(name: str, part: str, like: str, case: Case, tolerance: float) -> bool:
    factor = _factors(like, *case.x.shape)[name]
    return agree(np.asarray(case.found[part]), case.expected[part] * factor, tolerance)


def _unreduced(case: Case, like: str, tolerance: float) -> bool:
    found = case.found.get("loss")
    if found is None or found.ndim == 0 or found.size not in (case.x.size, case.x.shape[0]):
        return False
    whole = found.size == case.x.size and _per_row(like)
    total = found.sum() / case.x.shape[0] if whole else found.mean()
    return agree(np.asarray(total), case.expected["loss"], tolerance)


def _of_reduction(part: str, name: str, loss: str) -> Finding:
    if name == "the mean":
        return Finding(part, RIGHT)
    says = f"The {'loss' if part == 'loss' else 'gradient'} is {name}; PyTorch's is the mean."
    if name == "not reduced":
        says = "The loss is one value for each sample or element; PyTorch's is their mean."
    then = "learning rates fit this reduction: the gradient is scaled like the loss"
    return Finding(part, CONVENTION, says, "reduction", then=then)


def _disagreement(like: str, loss: str, gradient: str) -> Finding:
    if loss == "not reduced":
        return _of_reduction("grad input", gradient, loss)
    n, c = 7, 11  # any two, to tell factors apart
    ratio = _factors(like, n, c)[gradient] / _factors(like, n, c)[loss]
    if np.isclose(ratio, n):
        says = "The gradient is not divided by the batch size, the loss is."
        then = "the layers must divide their parameters' gradients by the batch size"
        return Finding("grad input", CONVENTION, says, "unaveraged gradient", then=then)
    words = {
        1 / n: "is divided by the batch size once more than the loss",
        c: "is C (the number of columns) times that of the loss that is returned",
        1 / c: "is divided by C (the number of columns), the loss is not",
        2: "is twice that of the loss that is returned",
        0.5: "lacks a factor 2: the derivative of (x - y)^2 is 2 (x - y)",
        1 / (n * c): "is divided by N * C, the loss is a sum",
        n * c: "is not divided by N * C as the loss is",
    }
    found = next((text for value, text in words.items() if np.isclose(ratio, value)), "")
    said = found or f"is that of {gradient}, the loss is {loss}"
    key = "missing 2" if np.isclose(ratio, 0.5) else "loss and gradient disagree"
    return Finding("grad input", WRONG, f"The gradient {said}.", key)


def _ratio(like: str, cases: list[Case], tolerance: float, loss: str) -> Finding | None:
    """A gradient that is off by a factor which is none of the loss's reductions."""
    factors: dict[str, Callable[[int, int], float]] = {
        "loss and gradient disagree": lambda n, c: 1 / n,
        "missing 2": lambda n, c: 0.5,
        "sign": lambda n, c: -1.0,
        "sign ": lambda n, c: -float(n),
        "factor": lambda n, c: 2.0,
        "division by the batch twice": lambda n, c: 1 / n,
        "loss and gradient disagree ": lambda n, c: 1 / c,
        "loss and gradient disagree  ": lambda n, c: float(c),
        "loss and gradient disagree   ": lambda n, c: 1 / (n * c),
    }
    says = {
        "sign": "The gradient has the wrong sign: it leads uphill.",
        "missing 2": "The gradient lacks a factor 2: the derivative of (x - y)^2 is 2 (x - y).",
        "factor": "The gradient is twice that of the loss that is returned.",
    }
    for key, factor in factors.items():
        name = key.strip()
        base = [case.expected["grad input"] * _factors(like, *case.x.shape)[loss] for case in cases]
        values = [b * factor(*case.x.shape) for b, case in zip(base, cases, strict=True)]
        pairs = zip(cases, values, strict=True)
        if all(agree(case.found["grad input"], value, tolerance) for case, value in pairs):
            text = says.get(name, "The gradient is scaled otherwise than the loss.")
            worst = max(error(c.found["grad input"], c.expected["grad input"]) for c in cases)
            return Finding("grad input", WRONG, text, name, worst)
    return None


def _target_one_hot(case: Case) -> Array:
    return np.eye(case.x.shape[1])[case.probe.inputs[1]]


def _combined(case: Case, divided: bool) -> Array:
    """(p - y): for the logits of a softmax before."""
    return (case.x - _target_one_hot(case)) / (len(case.x) if divided else 1)


_LOGITS = "softmax and loss in one: nothing may be multiplied by softmax's own derivative after it"
EXPLANATIONS = (
    Explanation(
        "gradient for the logits",
        "grad input",
        "The gradient p - y is for the logits before a softmax, the loss takes probabilities.",
        lambda c, p: _combined(c, True),
        ("ProbabilityLoss",),
        then=_LOGITS,
    ),
    Explanation(
        "gradient for the logits",
        "grad input",
        "The gradient p - y is for the logits before a softmax, the loss takes probabilities.",
        lambda c, p: _combined(c, False),
        ("ProbabilityLoss",),
        then=_LOGITS,
    ),
    Explanation(
        "log forgotten",
        "loss",
        "The logarithm is missing: the loss is -log p, not -p.",
        lambda c, p: -(c.x * _target_one_hot(c)).sum() / len(c.x),
        ("ProbabilityLoss",),
        textbook="cross_entropy",
    ),
    Explanation(
        "log forgotten",
        "loss",
        "The logarithm is missing: the loss is -log softmax(x), not -softmax(x).",
        lambda c, p: -(_softmax(c.x) * _target_one_hot(c)).sum() / len(c.x),
        ("CrossEntropyLoss",),
        textbook="cross_entropy",
    ),
    Explanation(
        "target not subtracted",
        "grad input",
        "The gradient is the probabilities alone: subtract 1 at the target, (p - y) / N.",
        lambda c, p: _softmax(c.x) / len(c.x),
        ("CrossEntropyLoss",),
        textbook="cross_entropy_backward",
    ),
    Explanation(
        "wrong axis",
        "loss",
        "softmax is taken over the batch: each row must sum to 1, axis=1.",
        lambda c, p: _by_column(c)[0],
        ("CrossEntropyLoss",),
        textbook="softmax",
    ),
    Explanation(
        "wrong axis",
        "grad input",
        "softmax is taken over the batch: each row must sum to 1, axis=1.",
        lambda c, p: _by_column(c)[1],
        ("CrossEntropyLoss",),
        textbook="softmax",
    ),
    Explanation(
        "overflow",
        "*",
        "{part} is NaN or infinite for large logits: subtract each row's maximum before exp.",
        lambda c, p: (
            np.where(np.isfinite(c.found[p]), c.expected[p], c.found[p])
            if c.probe.note == "extremes"
            else None
        ),
        textbook="log_softmax",
    ),
)


def _by_column(case: Case) -> tuple[Array, Array]:
    p = _softmax(case.x.T).T
    y = _target_one_hot(case)
    return np.asarray(-(np.log(p) * y).sum() / len(p)), (p - y) / len(p)
