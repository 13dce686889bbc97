"""An adapter: what can't be guessed about a component, said by its author in a few lines.

    class FunnelAdapter:
        like = "Linear"

        def make(self, in_features, out_features):  # PyTorch's arguments, by name
            return Funnel(in_features, out_features)

        def set(self, it, weight, bias):  # parameters (and buffers), in PyTorch's layouts
            it.knobs = (weight.T, bias)

        def forward(self, it, x):
            return it.push(x)

        def backward(self, it, dy):  # the gradient for x
            return it.pull(dy)

        def gradients(self, it):  # of the parameters, in PyTorch's layouts
            return {"weight": it.slopes[0].T, "bias": it.slopes[1]}

A layer without parameters has no ``set`` and ``gradients``. Where there is a reason, a layer has
``mode(it, training)``, ``state(it)``, which returns its buffers, and ``clear(it)``, before each
backward, if gradients add up. A layer of several inputs, as a recurrent cell, takes them all in
``forward``, and ``backward`` returns a tuple. A loss has ``make()``, ``forward(it, x, target)`` and
``backward(it, x, target)``; an optimizer ``make(parameters, lr)`` and
``step(it, parameters, gradients)``, lists of arrays, which returns the new values (or None, if the
arrays themselves have moved).
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.drivers.optimizers import offered
from torch_ref.checking.failures import CannotDrive, array, guarded
from torch_ref.checking.probe import Array, Kind, Parts, Probe


def takes_all(make: Callable[..., Any]) -> bool:
    """Whether it has ``**options``."""
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(make).parameters.values())


def options_offered(make: Callable[..., Any], kind: Kind) -> set[str]:
    """The options of an optimizer that an adapter's make takes; all of them, of ``**options``."""
    if takes_all(make):
        return {name for _, options in kind.configurations for name in options}
    return offered(make, kind)


class AdapterDriver:
    """Drives a component as its adapter says."""

    style = "its adapter says"

    def __init__(self, adapter: Any, kind: Kind) -> None:
        with guarded():
            self.adapter = adapter() if inspect.isclass(adapter) else adapter
        self.kind = kind
        self.conventions: list[str] = []
        self.notes: list[str] = []
        self.can_clear = hasattr(self.adapter, "clear")
        self.offered: set[str] = set()
        if kind.role == "optimizer":
            self.offered = options_offered(self._method("make"), kind)

    def run(self, probe: Probe) -> Parts:
        """Everything, of a fresh component."""
        with guarded():
            if self.kind.role == "optimizer":
                return self._steps(probe)
            return self._call(self._fresh(probe), probe)

    def run_twice(self, probe: Probe, other: Probe) -> tuple[Parts, Parts]:
        """Two pairs of calls in a row on one component."""
        with guarded():
            it = self._fresh(probe)
            return self._call(it, probe), self._call(it, other)

    def run_with_evaluation_between(self, probe: Probe, other: Probe) -> Parts:
        """A training forward, one in evaluation, and the backward of the first."""
        with guarded():
            return self._call(self._fresh(probe), probe, between=other)

    def _fresh(self, probe: Probe) -> Any:
        return self._ask("make", **self._taken("make", names.twin_options(self.kind, probe)))

    def _taken(self, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
        """Of what PyTorch names those that a method of the adapter takes."""
        method = self._method(name)
        if takes_all(method):
            return dict(options)
        taken = {p.name for p in names.parameters_of(method)}
        return {name: value for name, value in options.items() if name in taken}

    def _method(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] | None = getattr(self.adapter, name, None)
        if not callable(found):
            raise CannotDrive(f"the adapter has no method {name}")
        return found

    def _ask(self, name: str, *args: Any, **kwargs: Any) -> Any:
        answer = self._method(name)(*args, **kwargs)
        if answer is ...:
            raise CannotDrive(f"the adapter's {name} returns '...': fill it in")
        return answer

    def _array(self, name: str, *args: Any) -> Array:
        answer = self._ask(name, *args)
        found = array(answer)
        if found is None:
            raise CannotDrive(f"the adapter's {name} returns no array, but {_named(answer)}")
        return np.array(found)

    def _put(self, it: Any, probe: Probe) -> None:
        """Parameters and buffers into the component, and its mode."""
        held = {n: np.array(v) for n, v in {**probe.parameters, **probe.buffers}.items()}
        if held:
            self._ask("set", it, **self._taken("set", held))

    def _forward(self, it: Any, probe: Probe) -> Array:
        if hasattr(self.adapter, "mode"):
            self._ask("mode", it, probe.training)
        given = [np.array(value) for value in probe.inputs]
        output = self._array("forward", it, *given)
        for value, original in zip(given, probe.inputs, strict=True):
            if not np.array_equal(value, original, equal_nan=True):
                self._note("forward changes its input in place")
        return output

    def _call(self, it: Any, probe: Probe, between: Probe | None = None) -> Parts:
        self._put(it, probe)
        output = self._forward(it, probe)
        if self.kind.role == "loss":
            given = [np.array(value) for value in probe.inputs]
            return {
                "loss": output.reshape(()) if output.size == 1 else output,
                "grad input": self._array("backward", it, *given),
            }
        parts = {"output": output}
        if between is not None:
            self._forward(it, between)
        if probe.buffers and hasattr(self.adapter, "state"):
            parts |= self._entries("state", it, probe.buffers)
        if self.kind.like == "Dropout" and not probe.training:
            return parts  # no mask was drawn that backward could use
        if self.can_clear:
            self._ask("clear", it)
        assert probe.upstream is not None
        upstream = np.array(probe.upstream)
        dx = self._method("backward")(it, upstream)
        if not np.array_equal(upstream, probe.upstream, equal_nan=True):
            self._note("backward changes the upstream gradient in place")
        if dx is ...:
            raise CannotDrive("the adapter's backward returns '...': fill it in")
        own = dx if isinstance(dx, tuple) else (dx,)
        for name, value in zip(("input", *self.kind.more_inputs), own, strict=False):
            if (found := array(value)) is not None:
                parts[f"grad {name}"] = np.array(found)
        if probe.parameters:
            found_gradients = self._entries("gradients", it, probe.parameters)
            parts |= {f"grad {name}": value for name, value in found_gradients.items()}
        return parts

    def _entries(self, name: str, it: Any, wanted: Mapping[str, Any]) -> Parts:
        answer = self._ask(name, it)
        if not isinstance(answer, dict):
            raise CannotDrive(f"the adapter's {name} returns no dict, but {_named(answer)}")
        blanks = [key for key, value in answer.items() if value is ...]
        if blanks:
            raise CannotDrive(f"the adapter's {name} has '...' for {blanks[0]}: fill it in")
        found = {key: array(value) for key, value in answer.items() if key in wanted}
        return {key: np.array(value) for key, value in found.items() if value is not None}

    def _steps(self, probe: Probe) -> Parts:
        values = [np.array(value) for value in probe.parameters.values()]
        options = self._taken("make", names.twin_options(self.kind, probe))
        it = self._ask("make", values, **options)
        parts: Parts = {}
        for i, gradients in enumerate(probe.gradients, 1):
            moved = self._ask("step", it, values, [np.array(g) for g in gradients])
            values = values if moved is None else [np.array(value) for value in moved]
            parts[f"step {i}"] = np.concatenate([np.ravel(value) for value in values])
        return parts

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _named(answer: Any) -> str:
    return "None" if answer is None else f"a {type(answer).__name__}"
