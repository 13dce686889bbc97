"""Losses: which argument is which, targets as indices or one-hot, and where the gradient is."""

import dataclasses
import inspect
import itertools
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.drivers.layers import attribute, method, named
from torch_ref.checking.failures import CannotDrive, array, guarded
from torch_ref.checking.probe import Array, Kind, Parts, Probe

_CLASSES = ("CrossEntropyLoss", "ProbabilityLoss", "NLLLoss")
_MODEL = ("model", "net", "network", "layers", "nn", "module", "layer")
# how a prediction (N, C) is handed over, and what comes back: name, there, back
_TURNS: dict[str, tuple[Callable[[Array], Array], Callable[[Array, tuple[int, ...]], Array]]] = {
    "": (lambda a: a, lambda a, shape: a),
    "samples are columns": (lambda a: a.T.copy(), lambda a, shape: a.T),
    "vectors": (lambda a: a.reshape(-1), lambda a, shape: a.reshape(shape)),
    "one row of samples": (lambda a: a.reshape(1, -1), lambda a, shape: a.reshape(shape)),
    "one sample at a time": (lambda a: a[0], lambda a, shape: a.reshape(shape)),
    "one sample at a time, as a column": (
        lambda a: a[0].reshape(-1, 1),
        lambda a, shape: a.reshape(shape),
    ),
}


class Sink:
    """Stands in for a model: writes down the gradient that a loss pushes into it."""

    def __init__(self) -> None:
        self.gradient: Array | None = None
        self.layers = [self]

    def __iter__(self) -> Iterator["Sink"]:
        return iter(self.layers)

    def backward(self, gradient: Any, *more: Any) -> Any:
        self.gradient = array(gradient)
        return gradient

    def __setattr__(self, name: str, value: Any) -> None:
        if names.plain(name) in ("grad", "dout", "doutput", "gradient", "gradoutput", "delta"):
            name = "gradient"
        object.__setattr__(self, name, value)


class LossDriver:
    """Drives a loss, a class, a function, a pair of functions or a closure.

    Args:
        make: the class, or a function.
        backward: the function that returns the gradient, of a pair.
        kind: the loss.
        targets: "indices", "one-hot", "values".
        turn: how samples lie, a name of ``_TURNS``.
        swapped: whether the target comes first, where names don't tell.
        activated: whether backward is handed the softmax's or sigmoid's output.
        tensor: a class of their own that inputs are wrapped in.
    """

    can_clear = False

    def __init__(
        self, make: Any, backward: Any, kind: Kind, targets: str, turn: str, swapped: bool,
        activated: bool = False, tensor: Any = None,
    ) -> None:  # fmt: skip
        self.make, self.backward, self.kind, self.tensor = make, backward, kind, tensor
        self.targets, self.turn, self.swapped, self.activated = targets, turn, swapped, activated
        self.style = "a loss with its own protocol"
        if tensor is not None:
            self.style = "a loss of small autograd Tensors"
        self.conventions = ["targets are one-hot"] if targets == "one-hot" else []
        self.conventions += [turn] if turn else []
        self.notes: list[str] = []

    def run(self, probe: Probe) -> Parts:
        with guarded():
            return self._one_by_one(probe) if "one sample" in self.turn else self._run(probe)

    def misfit(self, found: Parts, expected: Parts) -> float:
        """How little it looks like the twin's: scales apart, which are judged later."""
        loss, gradient, wanted = (
            found.get("loss"),
            found.get("grad input"),
            expected["grad input"],
        )
        bad = (2.0 if gradient is None else 0.0) + (0.3 if self.turn else 0.0)
        if loss is None:
            bad += 1
        elif loss.ndim == 0:
            ratio = abs(float(loss) / float(expected["loss"]))
            n, c = wanted.shape
            far = {
                (a, b): min(abs(ratio / (q * n**a * c**b) - 1) for q in (1, 0.5, 2))
                for a in (0, 1, -1)
                for b in (0, 1, -1)
            }
            scale = next((at for at, value in far.items() if value < 1e-3), None)
            # means, sums of rows, sums; others are no reduction: the samples lie otherwise
            costs = {None: 1.0, (0, 0): 0.0, (0, 1): 0.05, (1, 1): 0.05, (0, -1): 0.05}
            bad += costs.get(scale, 0.4)
        if gradient is not None:
            if gradient.shape != wanted.shape:
                return bad + 3
            size = np.linalg.norm(gradient) * np.linalg.norm(wanted)
            parallel = size > 0 and abs((gradient * wanted).sum()) / size > 1 - 1e-6
            bad += 0.0 if parallel else 1.0
            if parallel and loss is not None and loss.ndim == 0:
                mine = float((gradient * wanted).sum() / (wanted**2).sum())
                ratio = mine / (float(loss) / float(expected["loss"]) or 1.0)
                agree = any(abs(ratio / k - 1) < 1e-3 for k in (1, len(wanted), wanted.size))
                bad += 0.0 if agree else 0.2
        return bad

    def _one_by_one(self, probe: Probe) -> Parts:
        x, target = probe.inputs
        found = [
            self._run(dataclasses.replace(probe, inputs=(x[i : i + 1], target[i : i + 1])))
            for i in range(len(x))
        ]
        parts: Parts = {}
        if all("loss" in one for one in found):
            parts["loss"] = np.mean([np.asarray(one["loss"]).sum() for one in found])
            parts["loss"] = np.asarray(parts["loss"])
        if all("grad input" in one for one in found):
            parts["grad input"] = np.concatenate([one["grad input"] for one in found]) / len(x)
        return parts

    def _run(self, probe: Probe) -> Parts:
        x, target = (np.array(value) for value in probe.inputs)
        shape = x.shape
        if self.targets == "one-hot":
            target = np.eye(x.shape[1])[target]
        there, back = _TURNS[self.turn]
        active = _activated(self.kind.like, x)
        x, active = there(x), there(active)
        target = there(target) if target.ndim > 1 else target
        if target.ndim == 1 and "one sample" in self.turn and target.size == 1:
            target = target[0]
        kept = x.copy(), np.array(target)
        parts, gradient = self._call(x, target, active)
        if not np.array_equal(x, kept[0], equal_nan=True):
            self.notes = ["the loss changes its input in place"]
        elif not np.array_equal(target, kept[1]):
            self.notes = ["the loss changes its targets in place"]
        if gradient is not None:
            fits = gradient.size == x.size
            parts["grad input"] = np.array(back(gradient, shape) if fits else gradient)
        if not parts:
            raise CannotDrive("neither a loss nor a gradient was returned")
        return parts

    def _call(self, x: Array, target: Any, active: Array) -> tuple[Parts, Array | None]:
        sink = Sink()
        made = self._make(target, sink)
        if self.tensor is not None:
            wrapped = self.tensor(x)
            forward = made if inspect.isfunction(made) else method(made, names.LOSS_FORWARD)
            assert forward is not None
            try:
                result = forward(**self._arguments(forward, wrapped, self.tensor(target), sink))
            except (TypeError, AttributeError, IndexError):
                result = forward(**self._arguments(forward, wrapped, target, sink))
            result.backward()
            return _loss(array(result)), array(wrapped.grad)
        forward, backward = made, self.backward
        if isinstance(made, tuple):  # a closure
            forward, backward = made[0], made[1]
        elif not inspect.isfunction(made):
            forward, backward = method(made, names.LOSS_FORWARD), method(made, names.LOSS_BACKWARD)
            if backward is not None and getattr(forward, "__name__", "-") == backward.__name__:
                backward = None
        parts: Parts = {}
        gradient: Array | None = None
        rest: list[Any] = []
        if forward is not None:
            result = forward(**self._arguments(forward, x, target, sink))
            entries = list(result) if isinstance(result, tuple) else [result]
            entries = [attribute(made, ("loss", "cost", "value")) if e is None else e
                       for e in entries]  # fmt: skip
            values = [v for v in map(array, entries) if v is not None]
            small = [v for v in values if v.size == 1 or len(values) == 1] or values
            if small:
                parts = _loss(small[0])
            rest = [e for e in entries if array(e) is None or array(e) is not small[0]]
            pushes = next((e for e in entries if callable(getattr(e, "backward", None))), None)
            called = next((e for e in entries if inspect.isfunction(e)), None)
            if pushes is not None:
                if not values:
                    parts = _loss(attribute(pushes, ("value", "loss", "data")))
                gradient = array(pushes.backward())
                gradient = sink.gradient if sink.gradient is not None else gradient
                return parts, gradient
            if called is not None:
                backward = called
            elif backward is None:
                gradient = next((v for v in values if v.shape == x.shape and v is not small[0]),
                                None)  # fmt: skip
        if gradient is None and backward is not None:
            gradient = self._gradient(made, backward, x, target, active, rest, sink)
        return parts, gradient

    def _make(self, target: Any, sink: Sink) -> Any:
        if inspect.isclass(self.make):
            given: dict[str, Any] = {}
            for p in names.parameters_of(self.make):
                name = names.plain(p.name)
                if name in names.TARGET and p.default is p.empty:
                    given[p.name] = target
                elif name in _MODEL:
                    given[p.name] = sink
                elif name == "reduction" and p.default in ("sum", "none"):
                    given[p.name] = "mean"
                elif name in ("fromlogits", "logits"):
                    given[p.name] = self.kind.like in ("CrossEntropyLoss", "BCEWithLogitsLoss")
            return self.make(**given)
        if not names.parameters_of(self.make):
            return self.make()  # it makes the functions
        return self.make

    def _gradient(
        self, made: Any, backward: Any, x: Array, target: Any, active: Array, rest: list[Any],
        sink: Sink,
    ) -> Array | None:  # fmt: skip
        given = self._arguments(backward, active if self.activated else x, target, sink, rest)
        result = backward(**given)
        if sink.gradient is not None:
            return sink.gradient
        if isinstance(result, dict):
            return named(result, names.INPUT_GRADIENT)
        entries = list(result) if isinstance(result, tuple) else [result]
        values = [v for v in map(array, entries) if v is not None]
        found = next((v for v in values if v.size == x.size), None)
        if found is None:
            found = attribute(made, names.INPUT_GRADIENT)
        return found if found is not None else next(iter(values), None)

    def _arguments(
        self, function: Callable[..., Any], x: Any, target: Any, sink: Sink, rest: Any = ()
    ) -> dict[str, Any]:
        """By name where names tell which is the target, else in one order or the other."""
        required = [p for p in names.parameters_of(function) if p.default is p.empty]
        given: dict[str, Any] = {}
        left = []
        for p in required:
            name = names.plain(p.name)
            if name in _MODEL:
                given[p.name] = sink
            elif rest and name in names.CACHE:
                given[p.name] = rest[0] if len(rest) == 1 else tuple(rest)
            else:
                left.append(p)
        if len(left) > 3:
            raise CannotDrive("a loss with more than three arguments")
        upstream = [p for p in left if names.plain(p.name) in names.UPSTREAM]
        if upstream and len(left) in (1, 3):
            given[upstream[0].name] = 1.0
            left.remove(upstream[0])
        if len(left) == 1:
            is_target = names.plain(left[0].name) in names.TARGET
            return {**given, left[0].name: target if is_target else x}
        order = [target, x] if self.swapped else [x, target]
        is_target_ = [names.plain(p.name) in names.TARGET for p in left[:2]]
        is_prediction = [names.plain(p.name) in names.PREDICTION for p in left[:2]]
        if is_target_ in ([True, False], [False, True]):
            order = [target, x] if is_target_[0] else [x, target]
        elif is_prediction in ([True, False], [False, True]):
            order = [x, target] if is_prediction[0] else [target, x]
        for p in left:
            given[p.name] = order.pop(0) if order else 1.0
        return given


def _loss(value: Array | None) -> Parts:
    if value is None:
        return {}
    return {"loss": np.array(value).reshape(()) if value.size == 1 else np.array(value)}


def _activated(like: str, x: Array) -> Array:
    """What comes out of the softmax or sigmoid that is part of the loss."""
    with np.errstate(all="ignore"):
        if like == "BCEWithLogitsLoss":
            return np.asarray(1 / (1 + np.exp(-x)))
        if like == "CrossEntropyLoss":
            e = np.exp(x - x.max(1, keepdims=True))
            return np.asarray(e / e.sum(1, keepdims=True))
    return x


def _tensor(make: Any) -> Any:
    """A class of small autograd Tensors in the same file."""
    module = vars(sys.modules.get(make.__module__, SimpleNamespace()))
    held = {**module, **getattr(make, "__globals__", {})}
    value: Any
    for value in held.values():
        if inspect.isclass(value) and value is not make and hasattr(value, "backward"):
            make_one: Callable[..., Any] = value
            try:
                made = make_one(np.ones(2))
            except Exception:
                continue
            if hasattr(made, "grad") and array(made) is not None:
                return value
    return None


def loss_drivers(make: Any, backward: Any, kind: Kind) -> Iterator[LossDriver]:
    """The ways to drive a loss, likeliest first."""
    is_classes = kind.like in _CLASSES
    targets = ("one-hot", "indices") if is_classes else ("values",)
    turns = [t for t in _TURNS if not is_classes or t not in ("vectors", "one row of samples")]
    takes_logits = kind.like in ("CrossEntropyLoss", "BCEWithLogitsLoss")
    activated = (False, True) if takes_logits else (False,)
    tensor = _tensor(make)
    if tensor is not None:
        for swapped, target in itertools.product((False, True), targets):
            yield LossDriver(make, backward, kind, target, "", swapped, tensor=tensor)
    for turn, feed, swapped, target in itertools.product(turns, activated, (False, True), targets):
        yield LossDriver(make, backward, kind, target, turn, swapped, feed)
