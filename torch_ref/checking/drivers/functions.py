"""Functions: affine_forward and affine_backward with a cache; a function and its derivative."""

from collections.abc import Callable
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names, styles
from torch_ref.checking.drivers.layers import ROWS, Turn, named, split
from torch_ref.checking.drivers.slots import Layout, usual_layout
from torch_ref.checking.failures import CannotDrive, array, guarded
from torch_ref.checking.probe import Array, Kind, Parts, Probe

DERIVATIVES = (
    "{}_backward", "{}_back", "{}_bwd", "{}_backprop", "{}_grad", "{}_gradient", "{}_prime",
    "d_{}", "d{}", "{}_derivative", "{}_deriv", "grad_{}", "{}_d", "{}_der", "derivative_{}",
    "backward_{}", "{}_dx", "{}Derivative", "{}Prime", "{}_bprop", "delta_{}", "backprop_{}",
)  # fmt: skip
FORWARDS = ("_forward", "_fwd", "_fprop", "forward_")


def partner(name: str, available: list[str]) -> str | None:
    """The function that goes back, of one that goes forward."""
    stem = name
    by_name = {names.plain(other): other for other in available if other != name}
    for way, back in (("forward", "backward"), ("forward", "back"), ("fwd", "bwd")):
        if way in name and names.plain(name.replace(way, back)) in by_name:
            return by_name[names.plain(name.replace(way, back))]
    for affix in FORWARDS:
        stem = stem.replace(affix, "")
    wanted = [names.plain(d.format(stem)) for d in DERIVATIVES]
    return next((by_name[w] for w in wanted if w in by_name), None)


class Context:
    """Stands in for torch's ctx: keeps what forward saves."""

    def save_for_backward(self, *values: Any) -> None:
        self.saved_tensors = self.saved_values = self.saved = values


class FunctionDriver:
    """Drives a function and the one that goes back.

    Args:
        forward, backward: the functions; backward is None where forward(x, derivative=True) is it.
        turn: how samples lie.
        choice: of the parameters' layouts.
        at: what a derivative takes, "x", "output", or "upstream" for a whole backward.
    """

    can_clear = False
    went_forward = False

    def __init__(
        self,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None,
        kind: Kind,
        turn: Turn = ROWS,
        choice: tuple[int, int] = (0, 0),
        at: str = "upstream",
    ) -> None:
        self.forward, self.backward, self.kind = forward, backward, kind
        self.turn, self.choice, self.at = turn, choice, at
        self.style = styles.CACHES if at == "upstream" else styles.DERIVATIVES
        self.conventions = [turn[0]] if turn[0] else []
        if at == "output":
            self.conventions.append("the derivative takes the function's output")
        self.notes: list[str] = []

    def run(self, probe: Probe) -> Parts:
        with guarded():
            return self._run(probe)

    def run_twice(self, probe: Probe, other: Probe) -> tuple[Parts, Parts]:
        return self.run(probe), self.run(other)

    def run_with_evaluation_between(self, probe: Probe, other: Probe) -> Parts:
        return self.run(probe)

    def _run(self, probe: Probe) -> Parts:
        x = np.array(self.turn[1](probe.inputs[0]))
        layouts = {n: usual_layout(v.shape, *self.choice) for n, v in probe.parameters.items()}
        for name, found in layouts.items():
            if (said := found.describe(name)) and said not in self.conventions:
                self.conventions.append(said)
        theirs = {n: layouts[n].to_theirs(v) for n, v in probe.parameters.items()}
        options = self._options(probe)
        copy = x.copy()
        self.context = Context()
        others = [np.array(self.turn[1](value)) for value in probe.inputs[1:]]
        positional = [x, *others, *theirs.values()]
        args = self._arguments(self.forward, positional, theirs, options, probe)
        output, more = split(self.forward(**args))
        self._spoilt(x, copy, "forward changes its input in place")
        if output is None:
            raise CannotDrive("the function returns no array")
        parts: Parts = {"output": np.array(self.turn[2](output))}
        self.went_forward = True
        for name in probe.buffers:
            held = named(options, names.PARAMETERS.get(name, (name,)))
            if held is not None:
                parts[name] = np.array(held)
        assert probe.upstream is not None
        upstream = np.array(self.turn[1](probe.upstream))
        if self.at != "upstream":
            parts["grad input"] = np.array(self.turn[2](upstream * self._derivative(x, output)))
            return parts
        if len(more) == 1 and more[0] is None and not probe.training:
            return parts  # nothing is kept for backward in evaluation
        assert self.backward is not None
        copy = upstream.copy()
        cache = more[0] if len(more) == 1 else tuple(more) if more else x
        args = self._arguments(
            self.backward,
            [upstream, cache, *theirs.values()],
            theirs,
            options,
            probe,
            x,
            output,
            cache,
        )
        result = self.backward(**args)
        self._spoilt(upstream, copy, "backward changes the upstream gradient in place")
        return parts | self._gradients(result, layouts)

    def _gradients(self, result: Any, layouts: dict[str, Layout]) -> Parts:
        others: dict[str, Array | None] = {}
        if isinstance(result, dict):
            found = {}
            for name in layouts:
                usual = names.PARAMETERS.get(name, (name,))
                keys = [names.plain(str(k)) for k in result if names.is_gradient_of(str(k), usual)]
                found[name] = named(result, tuple(keys))
            dx = named(result, names.INPUT_GRADIENT)
        else:
            values = (
                [array(v) for v in result] if isinstance(result, tuple | list) else [array(result)]
            )
            more = self.kind.more_inputs
            others = dict(zip(more, values[1:], strict=False))
            dx, found = values[0], dict(zip(layouts, values[1 + len(more) :], strict=False))
        parts: Parts = {} if dx is None else {"grad input": np.array(self.turn[2](dx))}
        parts |= {
            f"grad {n}": np.array(self.turn[2](v)) for n, v in others.items() if v is not None
        }
        for name, value in found.items():
            if value is not None:
                parts[f"grad {name}"] = np.array(layouts[name].to_torch(value))
        return parts

    def _derivative(self, x: Array, output: Array) -> Array:
        given = np.array(output if self.at == "output" else x)
        if self.backward is not None:
            result = array(self.backward(given))
        else:
            flag = next(
                p.name
                for p in names.parameters_of(self.forward)
                if names.plain(p.name).startswith(("deriv", "prime", "grad"))
            )
            result = array(self.forward(given, **{flag: True}))
        if result is None:
            raise CannotDrive("the derivative returns no array")
        if result.shape not in ((), given.shape):
            raise CannotDrive(f"the derivative returns the shape {result.shape} for {given.shape}")
        return result

    def _options(self, probe: Probe) -> dict[str, Any]:
        """What conv_param, bn_param ... hold: every option under each of its names."""
        options: dict[str, Any] = {"mode": "train" if probe.training else "test"}
        for name, value in names.twin_options(self.kind, probe).items():
            for spelling in (name, *self.kind.spellings.get(name, ())):
                options.setdefault(spelling, value)
        if "kernel_size" in options:
            size = options["kernel_size"]
            options |= {"pool_height": size, "pool_width": size}
            options.setdefault(
                "stride", options.get("s") or (size if "Pool" in self.kind.like else 1)
            )
            if "Conv" in self.kind.like:
                options.setdefault("pad", 0)
        if options.get("keep_prob") is not None and "p" in options:
            options["keep_prob"] = 1 - options["p"]
        return options | {name: np.array(value) for name, value in probe.buffers.items()}

    def _arguments(
        self,
        function: Callable[..., Any],
        positional: list[Any],
        theirs: dict[str, Array],
        options: dict[str, Any],
        probe: Probe,
        x: Array | None = None,
        output: Array | None = None,
        cache: Any = None,
    ) -> dict[str, Any]:
        given: dict[str, Any] = {}
        left = list(positional)
        wanted = names.parameters_of(function)
        if wanted and names.plain(wanted[0].name) in ("ctx", "context"):
            given[wanted.pop(0).name] = self.context
        for place, p in enumerate(wanted):
            name = names.plain(p.name)
            parameter = next((n for n in theirs if name in names.PARAMETERS.get(n, ())), None)
            spelled = names.spelled(self.kind, p.name, options)
            value: Any = None
            if name.endswith(("param", "params", "config", "hparameters")) and place:
                value = options
            elif name in names.TRAINING:
                value = probe.training
            elif name == "mode":
                value = options["mode"]
            elif name in names.MASK:
                if not self.kind.like.startswith("Causal"):
                    continue
                size = probe.inputs[0].shape[-2]
                value = np.tril(np.ones((size, size), bool))
            elif place and x is not None and name in names.CACHE:
                value = cache
            elif place and x is not None and name in names.INPUT_ARGUMENTS:
                value = x
            elif place and output is not None and name in names.OUTPUT:
                value = output
            elif place and parameter:
                value = theirs[parameter]
            elif place and spelled in options:
                value = options[str(spelled)]
            elif place and p.default is not p.empty:
                usual = names.torch_default(self.kind, p)
                if usual is not None:
                    given[p.name] = usual
                continue
            elif left:
                value = left[0]
            if value is None:
                continue
            left = [v for v in left if v is not value]
            given[p.name] = value
        return given

    def _spoilt(self, value: Array, copy: Array, note: str) -> None:
        if not np.array_equal(value, copy, equal_nan=True) and note not in self.notes:
            self.notes.append(note)
