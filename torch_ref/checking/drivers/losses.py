"""Losses: which argument is which, targets as indices or one-hot, and where the gradient is."""

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.drivers.failures import CannotDrive, array, guarded
from torch_ref.checking.drivers.layers import attribute, method, named
from torch_ref.checking.probe import Array, Kind, Parts, Probe

TARGETS = ("indices", "one-hot", "values")


class LossDriver:
    """Drives a loss, a class or a pair of functions.

    Args:
        make: the class, or a function.
        backward: the function that returns the gradient, of a pair.
        kind: the loss.
        targets: "indices", "one-hot" or "values".
        columns: whether samples are columns.
        swapped: whether the target comes first, where names don't tell.
    """

    can_clear = False

    def __init__(
        self, make: Any, backward: Any, kind: Kind, targets: str, columns: bool, swapped: bool
    ) -> None:
        self.make, self.backward, self.kind = make, backward, kind
        self.targets, self.columns, self.swapped = targets, columns, swapped
        self.style = "a loss with its own protocol"
        self.conventions = ["targets are one-hot"] if targets == "one-hot" else []
        self.conventions += ["samples are columns"] if columns else []
        self.notes: list[str] = []

    def run(self, probe: Probe) -> Parts:
        with guarded():
            return self._run(self._fresh(probe), probe)

    def run_twice(self, probe: Probe, other: Probe) -> tuple[Parts, Parts]:
        with guarded():
            component = self._fresh(probe)
            return self._run(component, probe), self._run(component, other)

    def run_with_evaluation_between(self, probe: Probe, other: Probe) -> Parts:
        return self.run(probe)

    def _fresh(self, probe: Probe) -> Any:
        if not inspect.isclass(self.make):
            return self.make
        return self.make(**names.constructor_arguments(self.make, self.kind, probe))

    def _run(self, component: Any, probe: Probe) -> Parts:
        x, target = (np.array(value) for value in probe.inputs)
        if self.targets == "one-hot":
            target = np.eye(x.shape[1])[target]
        if self.columns:
            x, target = x.T.copy(), target.T.copy()
        copy = x.copy()
        forward = (
            component if inspect.isfunction(component) else method(component, names.LOSS_FORWARD)
        )
        parts: Parts = {}
        gradient: Array | None = None
        if forward is not None:
            result = forward(**self._arguments(forward, x, target))
            entries = list(result) if isinstance(result, tuple) else [result]
            values = [v for v in map(array, entries) if v is not None]
            gradient = next((v for v in values if v.shape == x.shape and v.size > 1), None)
            loss = next((v for v in values if v is not gradient), None)
            if loss is not None:
                parts["loss"] = np.array(loss).reshape(()) if loss.size == 1 else np.array(loss)
        backward = self.backward
        if backward is None and not inspect.isfunction(component):
            backward = method(component, names.LOSS_BACKWARD)
            if forward is not None and getattr(backward, "__name__", "") == getattr(
                forward, "__name__", "-"
            ):
                backward = None
        if gradient is None and backward is not None:
            gradient = self._gradient(component, backward, x, target)
        if not np.array_equal(x, copy, equal_nan=True):
            self.notes = ["the loss changes its input in place"]
        if gradient is not None:
            parts["grad input"] = np.array(gradient.T if self.columns else gradient)
        if not parts:
            raise CannotDrive("neither a loss nor a gradient was returned")
        return parts

    def _gradient(self, component: Any, backward: Any, x: Array, target: Array) -> Array | None:
        result = backward(**self._arguments(backward, x, target))
        entries = list(result) if isinstance(result, tuple) else [result]
        if isinstance(result, dict):
            return named(result, names.INPUT_GRADIENT)
        found = next((v for v in map(array, entries) if v is not None and v.shape == x.shape), None)
        if found is None:
            found = attribute(component, names.INPUT_GRADIENT)
        if found is None:
            found = next((v for v in map(array, entries) if v is not None), None)
        return found

    def _arguments(self, function: Callable[..., Any], x: Array, target: Array) -> dict[str, Any]:
        """By name where names tell which is the target, else in one order or the other."""
        required = [p for p in names.parameters_of(function) if p.default is p.empty]
        if len(required) > 3:
            raise CannotDrive("a loss with more than three arguments")
        if len(required) == 1:
            name = names.plain(required[0].name)
            if name in names.TARGET:
                return {required[0].name: target}
            is_upstream = name in names.UPSTREAM
            return {required[0].name: 1.0 if is_upstream else x}
        order = [target, x] if self.swapped else [x, target]
        given: dict[str, Any] = {}
        is_target = [names.plain(p.name) in names.TARGET for p in required[:2]]
        is_prediction = [names.plain(p.name) in names.PREDICTION for p in required[:2]]
        if is_target in ([True, False], [False, True]):
            order = [target, x] if is_target[0] else [x, target]
        elif is_prediction in ([True, False], [False, True]):
            order = [x, target] if is_prediction[0] else [target, x]
        for p in required:
            if len(required) == 3 and names.plain(p.name) in ("model", "network", "net"):
                continue
            given[p.name] = order.pop(0) if order else 1.0
        return given


def loss_drivers(make: Any, backward: Any, kind: Kind) -> Iterator[LossDriver]:
    """The ways to drive a loss, likeliest first."""
    is_classes = kind.like in ("CrossEntropyLoss", "ProbabilityLoss", "NLLLoss")
    targets = ("one-hot", "indices") if is_classes else ("values",)
    for columns, swapped, target in itertools.product((False, True), (False, True), targets):
        yield LossDriver(make, backward, kind, target, columns, swapped)
