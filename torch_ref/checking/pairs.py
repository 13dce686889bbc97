"""A layer and a loss judged together: one of the two divides by the batch size, and only one."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from torch_ref.checking.drivers import Candidate, CannotDrive, drive
from torch_ref.checking.explain import agree, error
from torch_ref.checking.kinds.draws import generator
from torch_ref.checking.probe import Array, Kind, Probe, answer
from torch_ref.checking.verdict import CONVENTION, RIGHT, WRONG, Finding, Verdict

_TOLERANCE = 1e-6
_BEFORE = {"ProbabilityLoss": ("Softmax",), "BCELoss": ("Sigmoid", "Softmax")}
_SETTLED = ("batch mean", "unaveraged gradient", "left to the loss", "gradient for the logits")


def check_pair(
    layer: Candidate,
    loss: Candidate,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Verdict:
    """The loss's gradient sent back through the layer, beside the twins' doing the same.

    Args:
        layer: the last layer before the loss.
        loss: what comes after it.
        args, kwargs: of the layer's twin; usual ones if neither is given.

    Raises:
        CannotDrive: if one of them does not run, or they do not follow one another.
    """
    if layer.kind.role != "layer" or loss.kind.role != "loss":
        raise CannotDrive(f"{layer.name} and {loss.name} are not a layer and a loss")
    if loss.kind.like in _BEFORE and layer.kind.like not in _BEFORE[loss.kind.like]:
        wanted = " or ".join(_BEFORE[loss.kind.like])
        raise CannotDrive(f"{loss.name} takes probabilities: the layer before it is a {wanted}")
    if args is None and kwargs is None:
        args, kwargs = layer.kind.configurations[0]
    args, kwargs = args or (), kwargs or {}
    probe = layer.kind.draw(*args, **kwargs)[0]
    own_layer, own_loss = drive(layer, args, kwargs), drive(loss)

    def chain(through: Callable[[Probe], Any], into: Callable[[Probe], Any]) -> Any:
        output = through(probe)["output"]
        if np.ndim(output) != 2:
            raise CannotDrive(f"{loss.name} needs (N, C) values before it")
        criterion = Probe(inputs=(output, _target(loss.kind, output.shape)))
        upstream = into(criterion)["grad input"]
        return through(dataclasses.replace(probe, upstream=upstream))

    found = chain(own_layer.run, own_loss.run)
    expected = chain(lambda p: answer(layer.kind, p), lambda p: answer(loss.kind, p))
    parts = [part for part in expected if part.startswith("grad ") and part != "grad input"]
    findings = [
        _judged(part, found.get(part), expected[part], *np.shape(found["output"]))
        for part in parts or ["grad input"]
    ]
    style = f"{own_layer.style}, and {own_loss.style}"
    like = f"{layer.kind.like} and {loss.kind.like}"
    return Verdict(f"{layer.name} and {loss.name}", like, style, findings)


def together(own: Sequence[Verdict], pair: Verdict) -> list[Verdict]:
    """A layer's and a loss's verdicts, and the pair's, which settles what each leaves to the other.

    A convention that must hold elsewhere holds, or not, where the other one is known.
    """
    if pair.verdict != RIGHT:
        return [*own, pair]
    return [
        dataclasses.replace(
            verdict,
            findings=[Finding(f.part, RIGHT) if f.key in _SETTLED else f for f in verdict.findings],
        )
        for verdict in own
    ] + [pair]


def _target(kind: Kind, shape: tuple[int, ...]) -> Array:
    rng = generator("pair", kind.like)
    if kind.like in ("CrossEntropyLoss", "ProbabilityLoss"):
        return np.asarray(rng.integers(0, shape[1], shape[0]))
    if kind.like.startswith("BCE"):
        return rng.integers(0, 2, shape).astype(float)
    return rng.standard_normal(shape)


def _judged(part: str, found: Array | None, expected: Array, n: int, c: int) -> Finding:
    if found is None:
        return Finding(part, WRONG, f"{part} was not found: is it computed at all?", "missing")
    size = error(found, expected)
    if size <= _TOLERANCE:
        return Finding(part, RIGHT, error=size)
    if agree(found, expected / n, _TOLERANCE):
        says = f"{part} is divided by the batch size twice: in the layer and in the loss."
        return Finding(part, WRONG, says, "division by the batch twice", size)
    if agree(found, expected * n, _TOLERANCE):
        says = f"{part} is never divided by the batch size: neither the layer nor the loss does."
        return Finding(part, WRONG, says, "batch mean nowhere", size)
    if agree(found, expected * n * c, _TOLERANCE):
        says = f"{part} is that of a loss which is a sum; PyTorch's is the mean."
        then = "learning rates fit this reduction"
        return Finding(part, CONVENTION, says, "reduction", size, then=then)
    says = f"{part} is not that of the layer and the loss together: one derivative is missing, or "
    return Finding(part, WRONG, says + "taken twice.", "layer and loss disagree", size)
