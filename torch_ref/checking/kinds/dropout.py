"""Dropout: judged by what its masks do, since they are random."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from torch_ref.checking.explain import Explanation, agree
from torch_ref.checking.kinds.draws import generator
from torch_ref.checking.probe import Array, Kind, Probe
from torch_ref.checking.verdict import CONVENTION, RIGHT, WRONG, Finding


def _draw(*args: Any, **kwargs: Any) -> list[Probe]:
    rng = generator("Dropout", args)
    x = 1 + rng.random((60, 50))
    upstream = 1 + rng.random((60, 50))
    return [
        Probe(
            args, kwargs, (x,), upstream=upstream, training=mode, note="" if mode else "evaluation"
        )
        for mode in (True, False)
    ]


_SPELLINGS = (
    "p", "rate", "drop_prob", "dropout_rate", "prob", "dropout", "keep_prob", "ratio",
    "dropout_ratio", "drop_rate", "dropout_prob",
)  # fmt: skip
KINDS = (
    Kind(
        "Dropout",
        "layer",
        ("dropout",),
        (((0.3,), {}),),
        _draw,
        {
            "p": (
                "p",
                "rate",
                "drop_prob",
                "dropout_rate",
                "prob",
                "dropout",
                "keep_prob",
                "ratio",
                "dropout_ratio",
                "drop_rate",
            )
        },
    ),
)
EXPLANATIONS: Sequence[Explanation] = ()
_KEPT_ELSEWHERE = "evaluation must then multiply by the share that is kept, 1 - p"


def _scale(values: Array) -> float:
    """What survivors are multiplied by; NaN if they differ."""
    kept = values[np.abs(values) > 1e-12]
    return float(kept[0]) if kept.size and np.allclose(kept, kept[0]) else float("nan")


def judge(driver: Any, probes: Sequence[Probe]) -> list[Finding]:
    """Mask, scale, gradient, evaluation."""
    training, evaluation = probes
    p = float(training.args[0] if training.args else training.kwargs.get("p", 0.5))
    found = driver.run(training)
    mask = found["output"] / training.inputs[0]
    first, second = driver.run_twice(training, training)
    if (
        first["output"].size
        and np.array_equal(first["output"], second["output"])
        and (mask == 0).any()
    ):
        says = "Every call drops the same units: draw a new mask in each, without a seed."
        return [Finding("output", WRONG, says, "same mask at every call")]
    dropped, scale = float(np.mean(np.abs(mask) < 1e-12)), _scale(mask)
    in_evaluation = driver.run(evaluation)["output"] / evaluation.inputs[0]
    findings = [_of_output(p, mask, dropped, scale, in_evaluation)]
    if "grad input" in found:
        findings.append(_of_gradient(found["grad input"] / training.upstream, mask))
    if not _has_mode(driver):
        says = "There is no mode: units are dropped at every call."
        then = "it must be left out in evaluation"
        return [*findings, Finding("output in evaluation", CONVENTION, says, "no mode", then=then)]
    p = 1 - p if abs(dropped - p) > 0.06 and abs(dropped - (1 - p)) <= 0.06 else p
    findings.append(_of_evaluation(p, in_evaluation, scale))
    return findings


def _has_mode(driver: Any) -> bool:
    """Whether anything in the code is about training or evaluation."""
    code: Any = getattr(driver, "make", None) or getattr(driver, "forward", None)
    try:
        source = inspect.getsource(code).lower()
        for base in getattr(code, "__mro__", ())[1:-1]:
            source += inspect.getsource(base).lower()
    except (OSError, TypeError):
        return True
    return any(word in source for word in ("train", "test", "eval", "mode", "infer", "predict"))


def _of_output(p: float, mask: Array, dropped: float, scale: float, evaluation: Array) -> Finding:
    part = "output"
    if not dropped:
        says = "Nothing is dropped in training: the mask is missing, or the mode does not reach it."
        return Finding(part, WRONG, says, "mask missing")
    if (np.abs(mask) < 1e-12).all(0).any() or (mask == mask[0]).all():
        says = "All samples of a batch share one mask: draw one of the input's whole shape."
        return Finding(part, WRONG, says, "one mask for the batch")
    if ((np.abs(mask) < 1e-12) == (np.abs(mask[:, :1]) < 1e-12)).all():
        says = "Whole samples are dropped: draw a mask of the input's whole shape."
        return Finding(part, WRONG, says, "whole samples dropped")
    if abs(dropped - p) > 0.06:
        if abs(dropped - (1 - p)) <= 0.06:
            if np.isclose(scale, 1 / (1 - p)):
                says = "The mask is inverted: it drops what should be kept, and is scaled by "
                says += "1 / (1 - p) all the same."
                return Finding(part, WRONG, says, "mask inverted")
            says = f"p is the share that is kept here ({p}); in PyTorch it is dropped."
            then = "pass PyTorch 1 - p"
            if np.isclose(scale, 1 / p):
                return Finding(part, CONVENTION, says, "p is kept", then=then)
            rest = _of_output(1 - p, mask, dropped, scale, evaluation)
            kept = dataclasses.replace(rest, says=f"{says} {rest.says}")
            return dataclasses.replace(kept, then=f"{then}; {rest.then}") if rest.then else kept
        says = f"{dropped:.2f} of the units are dropped, it should be {p}."
        return Finding(part, WRONG, says, "wrong share")
    if np.isclose(scale, 1 / (1 - p)):
        return Finding(part, RIGHT)
    if np.isclose(scale, 1):
        if np.allclose(evaluation, 1 - p):
            says = "Survivors are not scaled in training; evaluation multiplies by 1 - p instead."
            return Finding(part, CONVENTION, says, "scaled in evaluation", then=_KEPT_ELSEWHERE)
        says = (
            "Survivors are not scaled: divide by 1 - p, or outputs are smaller than in evaluation."
        )
        return Finding(part, WRONG, says, "scale missing")
    if np.isclose(scale, 1 / p):
        says = "Survivors are divided by p: it must be 1 - p, the share that is kept."
        return Finding(part, WRONG, says, "scale inverted")
    if np.isclose(scale, 1 - p):
        says = "Survivors are multiplied by 1 - p: they must be divided by it."
        return Finding(part, WRONG, says, "scale inverted")
    return Finding(
        part, WRONG, f"Survivors are multiplied by {scale:.4g}, not by 1 / (1 - p).", "scale"
    )


def _of_gradient(backward: Array, mask: Array) -> Finding:
    part = "grad input"
    if agree(backward, mask, 1e-6):
        return Finding(part, RIGHT)
    if np.allclose(backward, 1):
        says = "backward lets every gradient through: multiply by the mask that forward drew."
        return Finding(part, WRONG, says, "mask missing in backward")
    if np.allclose(backward, np.abs(mask) > 1e-12):
        says = "backward multiplies by the mask, but not by forward's scale 1 / (1 - p)."
        return Finding(part, WRONG, says, "mask unscaled")
    return Finding(part, WRONG, "backward uses another mask than forward.", "another mask")


def _of_evaluation(p: float, evaluation: Array, scale: float) -> Finding:
    part = "output in evaluation"
    if np.allclose(evaluation, 1):
        return Finding(part, RIGHT)
    if (np.abs(evaluation) < 1e-12).any():
        says = "Units are dropped in evaluation, too: the input must pass unchanged."
        return Finding(part, WRONG, says, "mask in evaluation")
    if np.allclose(evaluation, 1 - p):
        if np.isclose(scale, 1):
            says = "Evaluation multiplies by 1 - p, since training does not scale."
            return Finding(part, CONVENTION, says, "scaled in evaluation", then=_KEPT_ELSEWHERE)
        return Finding(part, WRONG, "Scaled in training and in evaluation.", "scaled twice")
    return Finding(part, WRONG, "Evaluation changes its input.", "changed in evaluation")
