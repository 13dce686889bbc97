"""Classes of layers: methods forward and backward, however they are called."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names, styles
from torch_ref.checking.drivers.slots import (
    Layout,
    Recorder,
    Slot,
    find_gradient,
    find_parameter,
    layouts,
    usual_layout,
)
from torch_ref.checking.failures import CannotDrive, array, guarded
from torch_ref.checking.probe import Array, Kind, Parts, Probe

# (name, torch's array -> theirs, theirs -> torch's)
Turn = tuple[str, Callable[[Array], Array], Callable[[Array], Array]]
ROWS: Turn = ("", lambda a: a, lambda a: a)
COLUMNS: Turn = (
    "samples are columns",
    lambda a: a.T if a.ndim == 2 else a,
    lambda a: a.T if a.ndim == 2 else a,
)
NHWC: Turn = (
    "NHWC",
    lambda a: np.moveaxis(a, 1, -1) if a.ndim > 2 else a,
    lambda a: np.moveaxis(a, -1, 1) if a.ndim > 2 else a,
)
# of a single sample
ONE: Turn = ("one sample at a time", lambda a: a[0], lambda a: a[None])
ONE_COLUMN: Turn = (
    "one sample at a time, as a column",
    lambda a: a[0].reshape(-1, 1) if a.ndim == 2 else a[0],
    lambda a: a.reshape(1, -1) if a.ndim == 2 else a[None],
)
ONE_HWC: Turn = (
    "one image at a time, channels last",
    lambda a: np.moveaxis(a[0], 0, -1) if a.ndim > 2 else a[0],
    lambda a: np.moveaxis(a, -1, 0)[None] if a.ndim > 2 else a[None],
)
TURNS = (ROWS, COLUMNS, NHWC)
SINGLE_TURNS = (ONE, ONE_COLUMN, ONE_HWC)


_GROWING = ("Conv2d", "MaxPool2d", "AvgPool2d")  # whose output's size is computed


@dataclass(frozen=True)
class Plan:
    """The choices that are open until they have been tried."""

    turn: Turn
    single: bool
    choice: int = 0  # among layouts that fit alike

    @property
    def conventions(self) -> list[str]:
        return [self.turn[0]] if self.turn[0] else []


def plans() -> Iterator[Plan]:
    for choice in (0, 1):
        for turn in TURNS:
            yield Plan(turn, False, choice)
        for turn in SINGLE_TURNS:
            yield Plan(turn, True, choice)


def method(component: Any, spellings: tuple[str, ...]) -> Callable[..., Any] | None:
    """The first method that has one of the names; never one that says it is not written."""
    by_name = {
        names.plain(n): n for n in dir(component) if not n.startswith("__") or n == "__call__"
    }
    for spelling in spellings:
        name = by_name.get(names.plain(spelling))
        if name and callable(getattr(component, name)):
            return getattr(component, name)
    return None


def set_mode(component: Any, training: bool) -> None:
    """Training or evaluation, by the attribute or the methods that there are."""
    by_name = {names.plain(n): n for n in dir(component) if not n.startswith("__")}
    for name in (*names.TRAINING, "mode", *names.EVALUATION):
        attribute = by_name.get(name)
        held = getattr(component, attribute) if attribute else None
        if isinstance(held, bool):
            setattr(component, str(attribute), training != (name in names.EVALUATION))
        elif isinstance(held, str) and name == "mode":
            setattr(component, str(attribute), "train" if training else "test")
    switch = getattr(component, "train" if training else "eval", None)
    if callable(switch):
        switch()


def arguments(
    function: Callable[..., Any], roles: Mapping[str, Any], given: Mapping[tuple[str, ...], Any]
) -> Any:
    """Positional ``roles`` in order, the others by name; a required one that is neither fails."""
    positional = list(roles.values())
    out: dict[str, Any] = {}
    for p in names.parameters_of(function):
        name = names.plain(p.name)
        role = next((value for spellings, value in given.items() if name in spellings), None)
        if role is not None:
            out[p.name] = role
        elif positional:
            out[p.name] = positional.pop(0)
    if positional and not names.parameters_of(function):
        return tuple(positional), {}
    return (), out


def split(result: Any) -> tuple[Array | None, list[Any]]:
    """The first array of a result, and what came with it."""
    if isinstance(result, tuple | list) and result:
        return array(result[0]), list(result[1:])
    return array(result), []


class LayerDriver:
    """Drives one class as one kind of layer."""

    def __init__(self, make: Callable[..., Any], kind: Kind, plan: Plan, style: str = "") -> None:
        self.make, self.kind, self.plan = make, kind, plan
        self.seen = {style} if style else set()
        if plan.single:
            self.seen.add(styles.SINGLE)
        if plan.turn is COLUMNS:
            self.seen.add(styles.COLUMNS)
        self.conventions = plan.conventions
        self.went_forward = False
        self.notes: list[str] = []
        self.can_clear = any(
            hasattr(make, n) for n in ("zero_grad", "clear_grad", "zero_grads", "clear_grads")
        )

    @property
    def style(self) -> str:
        """By what was seen until now."""
        return styles.most_telling(self.seen)

    def run(self, probe: Probe) -> Parts:
        """Forward and backward of a fresh component."""
        with guarded():
            if not self.plan.single:
                return self._call(self._fresh(probe), probe)
            return self._one_by_one(probe)

    def run_twice(self, probe: Probe, other: Probe) -> tuple[Parts, Parts]:
        """Two pairs of calls in a row on one component."""
        with guarded():
            if self.plan.single:
                return self._one_by_one(probe), self._one_by_one(other)
            held = self._fresh(probe)
            first = self._call(held, probe)
            self._place(held, other)
            return first, self._call(held, other)

    def run_with_evaluation_between(self, probe: Probe, other: Probe) -> Parts:
        """A training forward, one in evaluation, and the backward of the first."""
        with guarded():
            held = self._fresh(probe)
            return self._call(held, probe, between=other)

    def _one_by_one(self, probe: Probe) -> Parts:
        """Each sample through a fresh component; gradients of parameters add up."""
        total: Parts = {}
        for i in range(probe.rows):
            assert probe.upstream is not None
            cut = dataclasses.replace(
                probe,
                inputs=tuple(a[i : i + 1] for a in probe.inputs),
                upstream=probe.upstream[i : i + 1],
            )
            for part, value in self._call(self._fresh(cut), cut).items():
                of_inputs = [f"grad {n}" for n in ("input", *self.kind.more_inputs)]
                if part in ("output", *of_inputs) and part in total:
                    total[part] = np.concatenate([total[part], value])
                else:
                    total[part] = total[part] + value if part in total else value
        return total

    def _fresh(self, probe: Probe) -> "Held":
        given = names.constructor_arguments(self.make, self.kind, probe)
        component = self.make(**given | self._handed_parameters(probe))
        options = names.twin_options(self.kind, probe)
        for attribute in list(getattr(component, "__dict__", {})):
            is_option = names.spelled(self.kind, attribute, options) in options
            if names.plain(attribute) in names.RATE and not is_option:
                setattr(component, attribute, 1.0)
        held = Held(component)
        self._place(held, probe)
        return held

    def _handed_parameters(self, probe: Probe) -> dict[str, Array]:
        """Parameters that the constructor takes itself, (in, out) first, columns (out, in)."""
        handed = {}
        options = names.twin_options(self.kind, probe)
        columns = self.plan.turn is COLUMNS
        for p in names.parameters_of(self.make):
            name = names.plain(p.name)
            torch_name = next(
                (n for n in probe.parameters if name in names.PARAMETERS.get(n, ())), None
            )
            is_option = names.spelled(self.kind, p.name, options) in options
            if torch_name and p.default is p.empty and not is_option:
                value = probe.parameters[torch_name]
                matrix = int(value.ndim == 2 and not columns) ^ self.plan.choice
                layout = usual_layout(value.shape, matrix, 2 if columns else 0)
                handed[p.name] = layout.to_theirs(value)
        return handed

    def _place(self, held: "Held", probe: Probe) -> None:
        """Parameters and buffers into the component, which may have to be built or called first."""
        if not self._put(held, probe):
            self.seen.add(styles.BUILT)
            if self._build(held, probe):
                return
            self._forward(held, probe)
            if not self._put(held, probe) and probe.parameters:
                missing = [n for n in probe.parameters if n not in held.parameters]
                raise CannotDrive(f"no attribute was found that can be {', '.join(missing)}")
        elif any(name not in held.parameters for name in probe.buffers):
            training = dataclasses.replace(probe, training=True)
            self._forward(held, training)  # which may make what is kept from call to call
            self._put(held, probe)

    def _build(self, held: "Held", probe: Probe) -> bool:
        """Call what builds a layer, with the input's shape in some form or an optimizer."""
        shape = self.plan.turn[1](probe.inputs[0]).shape
        if hasattr(held.component, "set_input_shape"):
            held.component.set_input_shape(shape[1:])
        for name in ("build", "init_params", "initialize", "init_weights", "setup", "init"):
            build = getattr(held.component, name, None)
            if not callable(build):
                continue
            wanted = [names.plain(p.name) for p in names.parameters_of(build)]
            shapes: list[tuple[Any, ...]] = [(shape,), (shape[1:],), (shape[-1],), ()]
            if wanted and wanted[0] in names.OPTIMIZER:
                shapes = [(held.recorder,)]
            for given in shapes:
                try:
                    build(*given)
                except Exception:
                    continue
                if self._put(held, probe):
                    return True
        return False

    def _put(self, held: "Held", probe: Probe) -> bool:
        taken: set[int] = set()
        complete = True
        for name, value in {**probe.parameters, **probe.buffers}.items():
            slot = find_parameter(held.component, name, value.shape, taken)
            if slot is None:
                complete = complete and name not in probe.parameters
                if name.startswith("bias_hh") and name in probe.parameters:
                    complete = True
                continue
            fitting = layouts(np.shape(slot.get()), value.shape)
            layout = fitting[min(self.plan.choice, len(fitting) - 1)]
            now = slot.get()
            dtype = (
                now.dtype if isinstance(now, np.ndarray) and now.dtype.kind == "f" else np.float64
            )
            slot.set(layout.to_theirs(value).astype(dtype))
            held.parameters[name] = (slot, layout)
            if slot.holder is not None:  # as torch's Parameters: whoever steps also clears
                self.can_clear = True
                self.seen.add(styles.PARAMETERS)
            elif isinstance(slot.owner, dict | list):
                self.seen.add(styles.CONTAINERS)
            if (said := layout.describe(name)) and said not in self.conventions:
                self.conventions.append(said)
        self._registered(held)
        return complete

    def _registered(self, held: "Held") -> None:
        """Note a parameter that the layer's own parameters() does not hand out."""
        listed = getattr(held.component, "parameters", None)
        if not callable(listed) or names.parameters_of(listed):
            return
        try:
            entries = listed()
            entries = list(entries.values() if isinstance(entries, dict) else entries)
        except Exception:
            return
        entries = [e[-1] if isinstance(e, tuple) else e for e in entries]
        for name, (slot, _) in held.parameters.items():
            known = [slot.holder] if slot.holder is not None else [slot.get()]
            if entries and name in ("weight", "bias") and not any(e is known[0] for e in entries):
                self._note(f"{name} is not among parameters()")

    def _forward(self, held: "Held", probe: Probe) -> tuple[Array, list[Any]]:
        forward = method(held.component, names.FORWARD)
        if forward is None:
            raise CannotDrive("there is no method forward")
        given = [np.array(self.plan.turn[1](value)) for value in probe.inputs]
        copies = [value.copy() for value in given]
        set_mode(held.component, probe.training)
        mode = "train" if probe.training else "test"
        roles = {str(i): value for i, value in enumerate(given)}
        options = {
            names.TRAINING: probe.training,
            names.EVALUATION: not probe.training,
            ("mode",): mode,
        }
        if self.kind.like.startswith("Causal"):
            options[names.MASK] = self._mask(forward, given[0].shape[-2])
        args, kwargs = arguments(forward, roles, options)
        result, more = split(forward(*args, **kwargs))
        for value, copy in zip(given, copies, strict=True):
            if not np.array_equal(value, copy, equal_nan=True):
                self._note("forward changes its input in place")
        if result is None:
            result = attribute(held.component, names.OUTPUT)
        if result is None:
            raise CannotDrive("forward returns no array, and keeps none")
        held.given = given
        return result, more

    def _mask(self, forward: Callable[..., Any], size: int) -> Array:
        """A causal mask, for code that takes one: True where something may be seen, or hidden."""
        takes = any(names.plain(p.name) in names.MASK for p in names.parameters_of(forward))
        seen = np.tril(np.ones((size, size), bool))
        if takes and self.plan.choice and (said := "the mask is True where nothing may be seen"):
            self.conventions = [*dict.fromkeys([*self.conventions, said])]
        return ~seen if self.plan.choice else seen

    def _call(self, held: "Held", probe: Probe, between: Probe | None = None) -> Parts:
        _, back = self.plan.turn[1:]
        output, more = self._forward(held, probe)
        self.went_forward = True
        parts: Parts = {"output": np.array(back(output))}
        first = held.given
        if between is not None:
            self._forward(held, between)
        before = {name: np.array(slot.get()) for name, (slot, _) in held.parameters.items()}
        for name in probe.buffers:
            if name in before:
                parts[name] = held.parameters[name][1].to_torch(before[name])
        if self.kind.like == "Dropout" and not probe.training:
            return parts  # no mask was drawn that backward could use
        assert probe.upstream is not None
        upstream = np.array(self.plan.turn[1](probe.upstream))
        upstream = upstream.reshape(output.shape) if upstream.size == output.size else upstream
        if upstream.shape != output.shape and self.kind.like in _GROWING:
            return parts  # there is no upstream gradient for an output of this size
        held.given = first
        dx, returned, recorder = self._backward(held, upstream, output, more)
        if dx is not None:
            parts["grad input"] = np.array(back(dx))
        for name, value in zip(self.kind.more_inputs, returned, strict=False):
            if (gradient := array(value)) is not None:
                parts[f"grad {name}"] = np.array(back(gradient))
        for name in probe.parameters:
            if name in held.parameters:
                gradient = self._gradient(held, name, before[name], returned, recorder)
                if gradient is not None:
                    parts[f"grad {name}"] = np.array(held.parameters[name][1].to_torch(gradient))
        return parts

    def _backward(self, held: "Held", upstream: Array, output: Array, more: list[Any]) -> Any:
        recorder = held.recorder
        recorder.seen.clear()
        backward = method(held.component, names.BACKWARD)
        if backward is None:
            raise CannotDrive("there is no method backward")
        copy = upstream.copy()
        x = held.given[0]
        own = names.parameters_of(backward)
        alone = len([p for p in own if p.default is p.empty]) <= 1
        given: dict[tuple[str, ...], Any] = {names.RATE: 1.0, names.OPTIMIZER: recorder}
        if not alone:
            given |= {
                ("x", "input", "inputs", "inp", "aprev"): x,
                ("y", "out", "output", "outputs"): output,
            }
            if more:
                given[names.CACHE] = more[0] if len(more) == 1 else tuple(more)
        args, kwargs = arguments(backward, {"upstream": upstream}, given)
        result = backward(*args, **kwargs)
        if not np.array_equal(upstream, copy, equal_nan=True):
            self._note("backward changes the upstream gradient in place")
        dx, returned = split(result)
        if isinstance(result, dict):
            dx, returned = named(result, names.INPUT_GRADIENT), [result]
        if dx is None:
            dx = attribute(held.component, names.INPUT_GRADIENT)
        return dx, returned, recorder

    def _gradient(
        self, held: "Held", name: str, before: Array, returned: list[Any], recorder: Recorder
    ) -> Any:
        """The gradient of a parameter, wherever the code leaves it."""
        slot, _ = held.parameters[name]
        if (recorded := recorder.gradient(before)) is not None:
            self.seen.add(styles.UPDATING)
            return recorded
        after = np.asarray(slot.get())
        if after.shape == before.shape and not np.array_equal(after, before, equal_nan=True):
            self.seen.add(styles.UPDATING)
            self._note("updates its parameters in backward")
            return before - after
        kept = find_gradient(held.component, name, slot)
        if kept is not None:
            self.seen.add(styles.ATTRIBUTES)
            return kept
        usual = names.PARAMETERS.get(name, (name,))
        for value in returned:
            if isinstance(value, dict):
                for key, entry in value.items():
                    if names.is_gradient_of(str(key), usual) or names.plain(str(key)) in usual:
                        return entry
        flat = [v for r in returned for v in (r if isinstance(r, tuple | list) else [r])]
        fitting = [
            v
            for v in flat
            if isinstance(v, np.ndarray) and np.squeeze(v).shape == np.squeeze(before).shape
        ]
        rank = [
            n
            for n in held.parameters
            if np.squeeze(held.before(n)).shape == np.squeeze(before).shape
        ]
        if fitting:
            self._note("returns the gradients, keeps none")
            return fitting[min(rank.index(name), len(fitting) - 1)]
        # others were updated, this one was not
        return np.zeros_like(before) if styles.UPDATING in self.seen else None

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


class Held:
    """A component, where its parameters are, and what it was given last."""

    def __init__(self, component: Any) -> None:
        self.component = component
        self.parameters: dict[str, tuple[Slot, Layout]] = {}
        self.given: list[Array] = []
        self.pieces: list[tuple[Slot, Any]] = []  # of recurrent layers
        self.recorder = Recorder()

    def before(self, name: str) -> Array:
        return np.asarray(self.parameters[name][0].get())


def named(entries: Mapping[Any, Any], spellings: tuple[str, ...]) -> Array | None:
    """The first array under one of the names."""
    by_name = {names.plain(str(key)): value for key, value in entries.items()}
    for spelling in spellings:
        value = by_name.get(spelling)
        if isinstance(value, np.ndarray):
            return value
    return None


def attribute(component: Any, spellings: tuple[str, ...]) -> Array | None:
    return named(getattr(component, "__dict__", {}), spellings)
