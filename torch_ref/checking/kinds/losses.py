"""Losses: what they return, and a gradient that must be that of what they return."""

import functools
import itertools
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
            if note == "extremes":
                x[:, 0], x[:, 1] = 1000.0, -1000.0
            target: Array = rng.standard_normal((n, c))
            if kind in ("CrossEntropyLoss", "ProbabilityLoss"):
                target = rng.integers(0, c, n)
            if kind in ("BCELoss", "BCEWithLogitsLoss"):
                target = rng.integers(0, 2, (n, c)).astype(float)
            if note == "extremes":  # right predictions, whose loss is finite
                target = x.argmax(1) if target.ndim == 1 else (x > 0).astype(float)
            if kind == "ProbabilityLoss":
                x = _softmax(rng.standard_normal((n, c)))
            if kind == "BCELoss":
                x = 0.1 + 0.8 * rng.random((n, c))
            if note == "extremes" and kind in ("ProbabilityLoss", "BCELoss"):
                x = np.eye(c)[target] if target.ndim == 1 else target.copy()
            if note == "extremes" and kind in ("MSELoss", "L1Loss"):
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


def tolerance(like: str) -> float:
    """1e-8 beside a probability, to keep its logarithm finite, is no deviation."""
    return 0.0 if like in ("MSELoss", "L1Loss") else 1e-6


# q N^a C^b: what a value is, of PyTorch's mean
Scale = tuple[float, int, int]


def judge(like: str, cases: list[Case], tolerance: float, known: Any) -> list[Finding]:
    """The loss's reduction, whether the gradient is of the same, and extreme inputs.

    Args:
        like: the twin's class.
        cases: the experiments.
        tolerance: of a value.
        known: explains a part that is no multiple: (part, cases) -> Finding.
    """
    usual = [case for case in cases if case.probe.note != "extremes"]
    findings = _usual(like, usual, tolerance, lambda part: known(part, usual))
    if any(finding.verdict == WRONG for finding in findings):
        return findings
    return [*findings, *_extreme(like, [c for c in cases if c.probe.note == "extremes"])]


def _usual(like: str, cases: list[Case], tolerance: float, known: Any) -> list[Finding]:
    scale, findings = None, []
    if "loss" in cases[0].found:
        scale = _scale(cases, "loss", lambda case: case.expected["loss"], tolerance)
        unreduced = scale is None and all(_unreduced(case, like, tolerance) for case in cases)
        reduction = "not reduced" if unreduced else _reductions(like).get(scale or (0, 0, 0), "")
        if reduction:
            findings.append(_of_reduction("loss", reduction))
        elif scale is not None and (-scale[0], *scale[1:]) in _reductions(like):
            says = "The loss has the wrong sign: it falls where it should rise."
            findings.append(Finding("loss", WRONG, says, "sign"))
            scale = (-scale[0], *scale[1:])
        elif scale == (1, -1, 0):
            says = "The loss is divided by the batch size twice."
            findings.append(Finding("loss", WRONG, says, "division by the batch twice"))
        else:
            findings.append(known("loss"))
    if "grad input" not in cases[0].found:
        return [*findings, known("grad input")]
    gradient = _scale(cases, "grad input", lambda case: case.expected["grad input"], tolerance)
    if gradient is not None:
        return [*findings, _of_gradient(like, scale, gradient, cases)]
    for_logits = _scale(cases, "grad input", lambda case: _for_logits(like, case), tolerance)
    if for_logits is None:
        return [*findings, known("grad input")]
    other = _of_gradient(like, scale, for_logits, cases)
    if other.verdict == WRONG:
        return [*findings, other]
    says = "The gradient p - y is for the logits before the softmax or sigmoid: their backward is "
    says += "left to the loss, which takes probabilities."
    if other.key == "unaveraged gradient":
        says += " It is not divided by the batch size."
    key = "gradient for the logits"
    return [*findings, Finding("grad input", CONVENTION, says, key, then=_LOGITS)]


def _scale(cases: list[Case], part: str, value: Any, tolerance: float) -> Scale | None:
    """What multiple of a value a part is, the same q N^a C^b in all experiments."""
    for q, a, b in itertools.product((1, 0.5, 2, -1, -0.5, -2), (0, 1, -1, -2), (0, 1, -1)):
        scales = [q * float(c.x.shape[0]) ** a * float(c.x.shape[1]) ** b for c in cases]
        pairs = [(c, value(c)) for c in cases]
        if all(
            part in c.found and v is not None and agree(c.found[part], scale * v, tolerance)
            for (c, v), scale in zip(pairs, scales, strict=True)
        ):
            return q, a, b
    return None


def _reductions(like: str) -> Mapping[Scale, str]:
    """Reductions beside torch's mean: what a loss may be without being wrong."""
    if _per_row(like):
        return {
            (1, 0, 0): "the mean",
            (1, 1, 0): "the sum over the batch",
            (1, 0, -1): "the mean over all N * C",
        }
    whole: dict[Scale, str] = {
        (1, 0, 0): "the mean",
        (1, 1, 1): "the sum",
        (1, 0, 1): "the sum of each row, averaged over the batch",
        (1, 1, 0): "the mean of each row, summed over the batch",
    }
    halves: dict[Scale, str] = {(0.5, a, b): f"half {name}" for (_, a, b), name in whole.items()}
    return {**whole, **halves}


def _of_gradient(like: str, loss: Scale | None, found: Scale, cases: list[Case]) -> Finding:
    """The gradient's reduction beside the loss's."""
    part = "grad input"
    if loss is None:  # not reduced, or not returned
        name = _reductions(like).get(found, "")
        if name:
            return _of_reduction(part, name)
    base = loss or (1, 0, 0)
    q, a, b = found[0] / base[0], found[1] - base[1], found[2] - base[2]
    if (q, a, b) == (1, 0, 0):
        return _of_reduction(part, _reductions(like).get(found, "scaled as the loss is"))
    then = "the layers must divide their parameters' gradients by the batch size"
    if (q, a, b) == (1, 1, 0):
        says = "The gradient is not divided by the batch size, the loss is."
        return Finding(part, CONVENTION, says, "unaveraged gradient", then=then)
    if (q, a, b) == (1, 1, 1) and not _per_row(like):
        says = "The gradient is not divided by N * C as the loss is."
        then = f"there is one output only, and {then}"
        return Finding(part, CONVENTION, says, "unaveraged gradient", then=then)
    worst = max(error(c.found[part], c.expected[part]) for c in cases)
    said = []
    if q < 0:
        said.append("has the wrong sign: it leads uphill (or is the one for the target)")
    if abs(q) == 0.5:
        said.append("lacks a factor 2: the derivative of (x - y)^2 is 2 (x - y)")
    if abs(q) in (2, 4):
        said.append(f"has a factor {abs(q):g} too much")
    if a == -1:
        said.append("is divided by the batch size once more than the loss")
    if a > 0:
        said.append("is not divided by the batch size as the loss is")
    if b:
        said.append(f"is {'C times as large' if b > 0 else 'divided by C'}, the loss is not")
    if abs(q) == 0.5:
        key = "missing 2"
    elif q < 0:
        key = "sign"
    elif a == -1 and base[1] == 0 and b == 0:
        key = "division by the batch twice"
    else:
        key = "factor" if not a and not b else "loss and gradient disagree"
    says = f"The gradient {', and '.join(said)}."
    return Finding(part, WRONG, says, key, worst)


def _unreduced(case: Case, like: str, tolerance: float) -> bool:
    found = case.found.get("loss")
    if found is None or found.ndim == 0 or found.size not in (case.x.size, case.x.shape[0]):
        return False
    whole = found.size == case.x.size and _per_row(like)
    total = found.sum() / case.x.shape[0] if whole else found.mean()
    wanted = case.expected["loss"]
    return any(agree(np.asarray(total), q * wanted, tolerance) for q in (1, 0.5))


def _of_reduction(part: str, name: str) -> Finding:
    if name == "the mean":
        return Finding(part, RIGHT)
    says = f"The {'loss' if part == 'loss' else 'gradient'} is {name}; PyTorch's is the mean."
    if name == "not reduced":
        says = "The loss is one value for each sample or element; PyTorch's is their mean."
    then = "learning rates fit this reduction: the gradient is scaled like the loss"
    return Finding(part, CONVENTION, says, "reduction", then=then)


def _extreme(like: str, cases: list[Case]) -> list[Finding]:
    """Logits of some hundreds, probabilities of exactly 0."""
    finite = {
        name: all(np.isfinite(c.found[part]).all() for c in cases if part in c.found)
        for name, part in (("loss", "loss"), ("gradient", "grad input"))
    }
    if like in ("CrossEntropyLoss", "BCEWithLogitsLoss") and not all(finite.values()):
        bad = " and the ".join(name for name, fine in finite.items() if not fine)
        says = f"For large logits the {bad} become NaN or infinite, since exp overflows: subtract "
        says += "each row's maximum before (of a sigmoid: take log1p(exp(-|x|)))."
        return [Finding("large logits", WRONG, says, "overflow", float("inf"))]
    if like in ("ProbabilityLoss", "BCELoss") and not finite["loss"]:
        says = "Where a probability is exactly 0 (or 1), 0 * log 0 makes the loss NaN or infinite."
        then = "no probability is ever exactly 0 or 1: clip it, or take logits"
        return [Finding("probabilities of 0", CONVENTION, says, "log of 0", then=then)]
    return []


def _for_logits(like: str, case: Case) -> Array | None:
    """The gradient for the logits, of a loss that takes probabilities, by its mean."""
    if like == "ProbabilityLoss":
        return (case.x - _target_one_hot(case)) / len(case.x)
    return (case.x - case.probe.inputs[1]) / case.x.size if like == "BCELoss" else None


def _target_one_hot(case: Case) -> Array:
    return np.eye(case.x.shape[1])[case.probe.inputs[1]]


def _clipped(case: Case, part: str, eps: float, how: str) -> Array | None:
    """With log(p + eps), or log of p between eps and 1 - eps."""
    target = case.probe.inputs[1]
    is_rows = target.ndim == 1
    y = _target_one_hot(case) if is_rows else target
    inside = case.x.min() > 0 and case.x.max() < 1
    p = case.x if inside else _softmax(case.x) if is_rows else 1 / (1 + np.exp(-case.x))
    q = p + eps if how == "added" else np.clip(p, eps, 1 - eps)
    r = 1 - p + eps if how == "added" else 1 - q
    if part == "loss":
        rest = 0 if is_rows else (1 - y) * np.log(r)
        return np.asarray(-(y * np.log(q) + rest).sum() / (len(p) if is_rows else p.size))
    if not inside or how == "clipped":
        return None
    return (-y / q + (0 if is_rows else (1 - y) / r)) / (len(p) if is_rows else p.size)


_LOGITS = "softmax and loss in one: nothing may be multiplied by softmax's own derivative after it"
EXPLANATIONS = (
    *(
        Explanation(
            "clipping",
            part,
            f"{{part}} is that of probabilities moved by {eps:g}, to keep the logarithm finite.",
            functools.partial(_clipped, eps=eps, how=how),
            ("CrossEntropyLoss", "ProbabilityLoss", "BCELoss", "BCEWithLogitsLoss"),
            then="nothing but slightly different values" if eps <= 1e-5 else "",
        )
        for part in ("loss", "grad input")
        for eps in (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
        for how in ("added", "clipped")
    ),
    Explanation(
        "gradient for the probabilities",
        "grad input",
        "The gradient is for the probabilities: softmax's own derivative is missing, (p - y) / N.",
        lambda c, p: -_target_one_hot(c) / _softmax(c.x) / len(c.x),
        ("CrossEntropyLoss",),
        textbook="cross_entropy_backward",
    ),
    Explanation(
        "whole array",
        "loss",
        "softmax is taken over the whole array: each row must sum to 1, axis=1.",
        lambda c, p: (
            -(np.log(_softmax(c.x.ravel()[None]).reshape(c.x.shape)) * _target_one_hot(c)).sum()
            / len(c.x)
        ),
        ("CrossEntropyLoss",),
        textbook="softmax",
    ),
    Explanation(
        "half of the terms",
        "loss",
        "The terms of targets that are 0 are missing: add (1 - y) log(1 - p).",
        lambda c, p: np.asarray(-(c.probe.inputs[1] * np.log(c.x)).mean()),
        ("BCELoss",),
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
)


def _by_column(case: Case) -> tuple[Array, Array]:
    p = _softmax(case.x.T).T
    y = _target_one_hot(case)
    return np.asarray(-(np.log(p) * y).sum() / len(p)), (p - y) / len(p)
