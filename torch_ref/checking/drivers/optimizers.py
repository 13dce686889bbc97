"""Optimizers' protocols: how each takes parameters and gradients, and gives the new values."""

import inspect
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.drivers.failures import CannotDrive, guarded
from torch_ref.checking.drivers.layers import method
from torch_ref.checking.probe import Array, Kind, Parts, Probe

STEP = (
    "step", "update", "update_params", "update_parameters", "apply_gradients", "optimize",
    "apply", "minimize", "update_weights", "call", "__call__", "get_update", "compute_update",
    "updateparams",
)  # fmt: skip
Stepper = Callable[[tuple[Array, ...]], list[Array]]
Protocol = Callable[[Any, Kind, Probe, list[Array]], Stepper]


def _options(make: Any, kind: Kind, probe: Probe) -> dict[str, Any]:
    given = names.constructor_arguments(make, kind, probe)
    first = {p.name for p in names.parameters_of(make) if names.plain(p.name) in _PARAMETERS}
    return {name: value for name, value in given.items() if name not in first}


_PARAMETERS = (
    "params",
    "parameters",
    "weights",
    "parms",
    "variables",
    "layers",
    "model",
    "paramlist",
    "p",
    "values",
)


def _make(make: Any, kind: Kind, probe: Probe, held: Any) -> Any:
    """An instance; parameters go into the constructor where it takes them."""
    options = _options(make, kind, probe)
    first = [p.name for p in names.parameters_of(make) if names.plain(p.name) in _PARAMETERS]
    return make(**{**options, **({first[0]: held} if first else {})})


def _step(optimizer: Any) -> Callable[..., Any]:
    found = method(optimizer, STEP)
    if found is None:
        raise CannotDrive("the optimizer has no method step or update")
    return found


class Box(SimpleNamespace):
    """A parameter as an object: its value and gradient under each of the usual names."""

    def __setattr__(self, name: str, value: Any) -> None:
        group = next((g for g in (_VALUE, _GRADIENT) if name in g), (name,))
        for other in group:
            object.__setattr__(self, other, value)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(self.data)


_VALUE = ("data", "value", "val", "w")
_GRADIENT = ("grad", "gradient", "g", "dw")


def boxes(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
    """torch-like: objects with .data and .grad, step()."""
    held = []
    for value in values:
        box = Box()
        box.data, box.grad = value, np.zeros_like(value)
        held.append(box)
    optimizer = _make(make, kind, probe, held)
    step = _step(optimizer)
    takes = [p for p in names.parameters_of(step) if p.default is p.empty]

    def run(gradients: tuple[Array, ...]) -> list[Array]:
        for box, gradient in zip(held, gradients, strict=True):
            box.grad = gradient
        if takes:
            step(held)
        else:
            step()
        return [np.asarray(box.data) for box in held]

    return run


def _in_order(step: Callable[..., Any], values: Any, gradients: Any) -> Any:
    """Parameters and gradients in the order in which the names of the arguments say."""
    required = [p for p in names.parameters_of(step) if p.default is p.empty]
    if len(required) == 1 and names.plain(required[0].name).startswith(("grad", "dparam", "dw")):
        return step(gradients)
    if len(required) != 2:
        raise CannotDrive("its step takes other things than parameters and gradients")
    first = names.plain(required[0].name)
    if first.startswith(("grad", "dw", "dparam", "g")) and first != "gamma":
        return step(gradients, values)
    return step(values, gradients)


def _containers(
    wrap: Callable[[list[Array]], Any], keys: Callable[[int], Any], prefix: str = ""
) -> Protocol:
    def protocol(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
        held = wrap(values)
        optimizer = _make(make, kind, probe, held)
        step = _step(optimizer)

        def run(gradients: tuple[Array, ...]) -> list[Array]:
            nonlocal held
            given = wrap([np.array(g) for g in gradients])
            if prefix:
                given = {prefix + key: value for key, value in given.items()}
            result = _in_order(step, held, given)
            if isinstance(result, tuple) and result and isinstance(result[0], type(held)):
                result = result[0]
            if isinstance(result, type(held)) and len(result) == len(held):
                held = result
            return [np.asarray(held[keys(i)]) for i in range(len(values))]

        return run

    return protocol


lists = _containers(list, lambda i: i)
dicts = _containers(
    lambda v: {("W1", "b1", "W2", "b2")[i]: a for i, a in enumerate(v)}, lambda i: ("W1", "b1")[i]
)
dicts_d = _containers(
    lambda v: {("W1", "b1")[i]: a for i, a in enumerate(v)}, lambda i: ("W1", "b1")[i], "d"
)


def one_by_one(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
    """update(w, dw) for each parameter, on one optimizer."""
    optimizer = _make(make, kind, probe, values)
    return _each([_step(optimizer)] * len(values), values)


def one_each(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
    """update(w, dw), an optimizer for each parameter."""
    return _each([_step(_make(make, kind, probe, values)) for _ in values], values)


def _each(steps: list[Callable[..., Any]], values: list[Array]) -> Stepper:
    def run(gradients: tuple[Array, ...]) -> list[Array]:
        for i, gradient in enumerate(gradients):
            required = [p for p in names.parameters_of(steps[i]) if p.default is p.empty]
            if len(required) == 3:  # with a key of its own
                key = ("w", "b")[i]
                place = next((j for j, p in enumerate(required) if names.plain(p.name) in _KEYS), 0)
                rest: list[Any] = [values[i], np.array(gradient)]
                rest.insert(place, key)
                result = steps[i](*rest)
            else:
                result = _in_order(steps[i], values[i], np.array(gradient))
            result = result[0] if isinstance(result, tuple) else result
            if isinstance(result, np.ndarray) and result.shape == values[i].shape:
                values[i] = result
        return values

    return run


_KEYS = ("key", "name", "id", "idx", "index", "i", "layerid", "paramname", "k", "layer")


def zipped(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
    """Keras-like: apply_gradients(zip(gradients, variables))."""
    optimizer = _make(make, kind, probe, values)
    apply = method(optimizer, ("apply_gradients",))
    if apply is None:
        raise CannotDrive("there is no apply_gradients")

    def run(gradients: tuple[Array, ...]) -> list[Array]:
        apply(zip([np.array(g) for g in gradients], values, strict=True))
        return values

    return run


def layer(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
    """update(layer): over a layer with weights, biases and their gradients."""
    held = SimpleNamespace()
    optimizer = _make(make, kind, probe, [held])
    step = _step(optimizer)
    before, after = (method(optimizer, (f"{word}_update_params",)) for word in ("pre", "post"))
    used = {n for f in vars(make).values() if inspect.isfunction(f) for n in f.__code__.co_names}
    pairs = (("weights", "biases"), ("W", "b"), ("w", "b"), ("weight", "bias"))
    own = next((pair for pair in pairs if pair[0] in used), pairs[0])
    for name, value in zip(own, values, strict=True):
        setattr(held, name, value)

    def run(gradients: tuple[Array, ...]) -> list[Array]:
        for name, gradient in zip(own, gradients, strict=True):
            for spelling in (
                f"d{name}",
                f"{name}_grad",
                f"grad_{name}",
                f"d_{name}",
                f"{name}_gradient",
            ):
                setattr(held, spelling, np.array(gradient))
        if before:
            before()
        if [p for p in names.parameters_of(step) if p.default is p.empty]:
            required = [p for p in names.parameters_of(step) if p.default is p.empty]
            step([held] if required[0].name in ("layers", "model") else held)
        else:
            step()
        if after:
            after()
        return [np.asarray(getattr(held, name)) for name in own]

    return run


def handed_back(make: Any, kind: Kind, probe: Probe, values: list[Array]) -> Stepper:
    """A function (w, dw, config) that hands back the new values and its state."""
    options: dict[str, Any] = {}
    for name, value in names.twin_options(kind, probe).items():
        options |= dict.fromkeys((name, *kind.spellings.get(name, ())), value)
    named = {p.name for p in names.parameters_of(make)}
    extra = {n: options[n] for n in named if n in options}
    states: list[Any] = [dict(options) if "config" in named else None for _ in values]
    third = [p for p in names.parameters_of(make) if p.name not in extra][2:3]

    def run(gradients: tuple[Array, ...]) -> list[Array]:
        for i, gradient in enumerate(gradients):
            given = [values[i], np.array(gradient), *([states[i]] if third else [])]
            result = make(*given, **extra)
            if isinstance(result, tuple):
                values[i], states[i] = result[0], result[1]
            elif isinstance(result, np.ndarray):
                values[i] = result
        return values

    return run


CLASSES: tuple[tuple[str, Protocol], ...] = (
    ("over objects with .data and .grad", boxes),
    ("apply_gradients(zip(gradients, variables))", zipped),
    ("over lists", lists),
    ("over dicts", dicts),
    ("over dicts with dW1 for W1", dicts_d),
    ("update(w, dw)", one_by_one),
    ("update(w, dw), an optimizer for each parameter", one_each),
    ("over a layer's attributes", layer),
)


class OptimizerDriver:
    """Drives an optimizer by one protocol."""

    can_clear = False

    def __init__(self, make: Any, kind: Kind, protocol: Protocol, style: str) -> None:
        self.make, self.kind, self.protocol = make, kind, protocol
        self.style = f"an optimizer {style}"
        self.conventions: list[str] = []
        self.notes: list[str] = []

    def run(self, probe: Probe) -> Parts:
        """All steps."""
        with guarded():
            values = [np.array(value) for value in probe.parameters.values()]
            start = [value.copy() for value in values]
            step = self.protocol(self.make, self.kind, probe, values)
            parts: Parts = {}
            for i, gradients in enumerate(probe.gradients, 1):
                now = step(tuple(np.array(g) for g in gradients))
                parts[f"step {i}"] = np.concatenate([np.ravel(v) for v in now])
            moved = parts[f"step {len(probe.gradients)}"]
            if np.array_equal(moved, np.concatenate([v.ravel() for v in start])):
                raise CannotDrive("no parameter moves")
            return parts


def optimizer_drivers(make: Any, kind: Kind) -> Iterator[OptimizerDriver]:
    """The ways to drive an optimizer, likeliest first."""
    if inspect.isclass(make):
        for style, protocol in CLASSES:
            yield OptimizerDriver(make, kind, protocol, style)
    else:
        yield OptimizerDriver(make, kind, handed_back, "as a function with state handed back")
