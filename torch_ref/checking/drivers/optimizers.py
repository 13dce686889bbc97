"""Optimizers' protocols: how each takes parameters and gradients, and gives the new values."""

import inspect
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names
from torch_ref.checking.drivers.homes import FORMS, Arrays, Layer, Model, Unit
from torch_ref.checking.drivers.layers import method
from torch_ref.checking.failures import CannotDrive, guarded
from torch_ref.checking.probe import Array, Kind, Parts, Probe

STEP = (
    "step", "update", "update_params", "update_parameters", "apply_gradients", "optimize",
    "apply", "minimize", "update_weights", "call", "__call__", "get_update", "get_updates",
    "compute_update", "updateparams", "calc_update", "update_layer", "update_layers", "get_step",
    "compute_updates", "apply_gradient", "update_rule", "run",
)  # fmt: skip
_INIT = ("initialize", "init", "init_state", "setup", "build", "register", "init_params",
         "initialize_state", "set_parameters", "compile", "set_params")  # fmt: skip
_MODEL = ("model", "net", "network", "nn", "module")
_LAYER, _LAYERS = ("layer",), ("layers", "trainablelayers", *_MODEL)
_PARAMS = (
    "params", "parameters", "weights", "parms", "variables", "paramlist", "p", "values", "w",
    "theta", "x", "param", "parameter", "weight", "b", "bias", "vars", "variable", "biases",
    "trainableparams", "trainablevariables",
)  # fmt: skip
_TIME = ("t", "iteration", "iterations", "iter", "epoch", "timestep", "stepnum", "it", "step",
         "counter", "niter", "nstep", "globalstep", "itr", "iternum")  # fmt: skip
_KEY = ("key", "name", "id", "idx", "index", "i", "layerid", "paramname", "k", "paramid",
        "layername", "uid", "tag")  # fmt: skip
_STATE = ("v", "s", "m", "state", "states", "cache", "velocity", "velocities", "moments", "r", "h",
          "optstate", "mem", "memory", "vel", "sq", "sqgrad", "mt", "vt", "gsq", "history",
          "prevupdate", "vprev", "optimizerstate", "acc", "accum", "u", "vdw", "sdw", "lastupdate",
          "n", "z", "firstmoment", "secondmoment", "eg2", "ex2")  # fmt: skip
_CONFIG = ("config", "hyperparams", "hyper", "hp", "optimparams", "hyperparameters", "options",
           "optconfig", "settings", "cfg", "hparams")  # fmt: skip
_SHAPE = ("shape", "size", "dim", "wshape", "paramshape")
_FUNCTION = ("gradfunc", "gradfn", "gradientfunc", "fgrad", "gradfunction", "gradientfunction")


def _role(p: inspect.Parameter, kind: Kind, options: Mapping[str, Any]) -> str:
    """What an argument is, by its name; "" where the name doesn't tell."""
    name = names.plain(p.name)
    tables = (
        (_LAYER, "layer"), (_LAYERS, "layers"), (_CONFIG, "config"),
        (_TIME, "t"), (_KEY, "key"), (_SHAPE, "shape"), (_STATE, "state"), (_PARAMS, "params"),
    )  # fmt: skip
    if name in _FUNCTION:
        return "function"
    if name in ("gradsandvars", "gradsandparams", "gradsandweights", "gradientsandvariables"):
        return "pairs"
    if name in ("paramsandgrads", "parametersandgradients", "paramgrads", "varsandgrads"):
        return "pairs of params first"
    if name.startswith(("grad", "dw", "dparam", "dtheta", "dx", "db", "dldw", "gw")) or name in (
        "g", "gt", "dp", "derivative", "derivatives", "wgrad", "bgrad", "deltas",
    ):  # fmt: skip
        return "grads"
    if names.spelled(kind, p.name, options) in options:
        return "option"
    return next((role for spellings, role in tables if name in spellings), "")


def _options(kind: Kind, probe: Probe) -> dict[str, Any]:
    """The twin's options, its defaults included: theirs may have others."""
    twin = kind.twin
    defaults = (
        {p.name: p.default for p in names.parameters_of(twin) if p.default is not p.empty}
        if twin
        else {}
    )
    defaults = {k: v for k, v in defaults.items() if v is not None}
    return {**defaults, **names.twin_options(kind, probe)}


def offered(make: Any, kind: Kind) -> set[str]:
    """The twin's options that the code takes, in its constructor, its step or a config."""
    step = method(make, STEP) if inspect.isclass(make) else None
    found = set()
    for function in filter(None, (make, step)):
        for p in names.parameters_of(function):
            spelled = names.spelled(kind, p.name, dict.fromkeys(kind.spellings))
            found |= {spelled} if spelled else set()
            if names.plain(p.name) in _CONFIG:
                consts = [c for c in function.__code__.co_consts if isinstance(c, str)]
                every = dict.fromkeys(kind.spellings)
                found |= {s for c in consts if (s := names.spelled(kind, c, every))}
    return found | ({"beta1", "beta2"} if "betas" in found else set())


class Roles:
    """What a function's arguments are."""

    def __init__(
        self, function: Callable[..., Any], kind: Kind, options: Mapping[str, Any]
    ) -> None:
        self.function, self.kind, self.options = function, kind, options
        self.by_name = {p.name: _role(p, kind, options) for p in names.parameters_of(function)}
        self.required = {
            p.name for p in names.parameters_of(function) if p.default is p.empty
        }  # fmt: skip
        for name in list(self.by_name):
            if not self.by_name[name] and name in self.required:
                self.by_name[name] = "grads" if "params" in self.by_name.values() else "params"

    def has(self, *roles: str) -> bool:
        return any(role in roles for role in self.by_name.values())

    def count(self, role: str) -> int:
        return list(self.by_name.values()).count(role)


class Caller:
    """Calls a step function for one unit, and takes what it hands back."""

    def __init__(self, roles: Roles, sign: float, first: int, starts: Mapping[str, Any]) -> None:
        self.roles, self.sign, self.first, self.starts = roles, sign, first, starts

    def __call__(self, unit: Unit, t: int) -> None:
        given: dict[str, Any] = {}
        counts = dict.fromkeys(("params", "grads"), 0)
        for name, role in self.roles.by_name.items():
            if role in counts and self.roles.count("params") == 2:
                if not isinstance(unit, Layer):
                    raise CannotDrive("it takes weight and bias together")
                pair = [b.data if role == "params" else b.grad for b in unit._boxes]
                given[name] = pair[min(counts[role], 1)]
                counts[role] += 1
            else:
                self._give(given, name, role, unit, t)
        result = self.roles.function(**given)
        if inspect.isgenerator(result):
            raise CannotDrive("its step is a generator, which waits for something to be sent")
        if result is not None:
            self._take(unit, result, list(given))

    def _give(self, given: dict[str, Any], name: str, role: str, unit: Unit, t: int) -> None:
        required = name in self.roles.required
        if role in ("params", "grads", "layer", "layers", "key"):
            value = getattr(unit, role)
            if value is not None and role == "layers" and names.plain(name) in _MODEL:
                value = unit  # the model, not the list of its layers
            if value is None and required:
                raise CannotDrive(f"its step takes {name}")
            if value is not None:
                given[name] = value
        elif role == "t":
            given[name] = t - 1 + self.first
        elif role == "option":
            spelled = names.spelled(self.roles.kind, name, self.roles.options)
            given[name] = self.roles.options[str(spelled)]
        elif role.startswith("pairs"):
            pairs = list(zip(_entries(unit.grads), _entries(unit.params), strict=True))
            given[name] = pairs if role == "pairs" else [(p, g) for g, p in pairs]
        elif role == "function":
            gradient = unit.grads
            given[name] = lambda *_: gradient
        elif role in ("state", "config"):
            if name not in unit.states and (required or role == "config"):
                unit.states[name] = self._start(name, role, unit)
            if name in unit.states:
                given[name] = unit.states[name]
        elif required:
            raise CannotDrive(f"its step takes {name}")

    def _start(self, name: str, role: str, unit: Unit) -> Any:
        """A state before the first step."""
        if role == "config":
            known = self.roles.options
            spelled = {
                s: v for n, v in known.items() for s in (n, *self.roles.kind.spellings.get(n, ()))
            }
            return _Config({**spelled, **known})
        start = self.starts.get(role)
        if start is not None:
            made = start(unit)
            wanted = [n for n, r in self.roles.by_name.items() if r == "state"]
            if isinstance(made, tuple) and len(made) == len(wanted):
                return made[wanted.index(name)]
            return made
        return _zeros(unit.grads)

    def _take(self, unit: Unit, result: Any, given: list[str]) -> None:
        states: Sequence[Any] = ()
        if isinstance(result, tuple) and not unit.accepts(result) and len(result):
            result, states = result[0], result[1:]
        kept = [n for n, role in self.roles.by_name.items() if role in ("state", "config")]
        unit.states.update(zip(kept, states, strict=False))
        if self.sign:
            unit.take(unit.moved(result, self.sign))
        elif unit.accepts(result):
            unit.take(result)


class _Config(dict[str, Any]):
    """Options; the number of the step is 1 where it is read before it was set."""

    def __missing__(self, key: str) -> int:
        if names.plain(key) in _TIME:
            return 1
        raise KeyError(key)


def _entries(held: Any) -> list[Any]:
    if isinstance(held, dict):
        return list(held.values())
    if isinstance(held, list):
        return held
    raise CannotDrive("there are no pairs of parameters and gradients in this form")


def _zeros(like: Any) -> Any:
    if isinstance(like, dict):
        return {key: np.zeros_like(value) for key, value in like.items()}
    if isinstance(like, list):
        return [np.zeros_like(value) for value in like]
    return None if like is None else np.zeros_like(like)


class OptimizerDriver:
    """Drives an optimizer by one protocol.

    Args:
        make: the class, or the function.
        kind: the optimizer.
        form: of parameters and gradients.
        sign: 0 where new values come back or stand in place; -1 or 1 where the step comes back,
            which is then subtracted or added.
        first: the number of the first step, where it is handed over.
        patient: accept one that moves nothing.
    """

    can_clear = False

    def __init__(
        self, make: Any, kind: Kind, form: Any, sign: float, first: int, patient: bool
    ) -> None:
        self.make, self.kind, self.form = make, kind, form
        self.sign, self.first, self.patient = sign, first, patient
        self.style = "an optimizer as a function" if not inspect.isclass(make) else "an optimizer"
        self.conventions: list[str] = []
        self.notes: list[str] = []
        self.offered = offered(make, kind)

    def misfit(self, found: Parts, expected: Parts) -> float:
        """How far the steps are from the twin's."""
        far = [
            np.abs(found[part] - value).max() / np.abs(value).max()
            for part, value in expected.items()
        ]
        return (
            float(sum(min(1.0, f) if f > 1e-7 else 0.0 for f in far))
            if np.isfinite(far).all()
            else len(far)
        )

    def run(self, probe: Probe) -> Parts:
        """All steps."""
        with guarded():
            values = [np.array(value) for value in probe.parameters.values()]
            start = [value.copy() for value in values]
            step = self._stepper(probe, self.form(values))
            parts: Parts = {}
            for i, gradients in enumerate(probe.gradients, 1):
                now = step(i, [np.array(g) for g in gradients])
                if any(v.shape != s.shape for v, s in zip(now, start, strict=True)):
                    raise CannotDrive("a parameter changes its shape")
                parts[f"step {i}"] = np.concatenate([np.ravel(v) for v in now])
            moved = parts[f"step {len(probe.gradients)}"]
            still = np.array_equal(moved, np.concatenate([v.ravel() for v in start]))
            if still and not self.patient:
                raise CannotDrive("no parameter moves")
            return parts

    def _stepper(self, probe: Probe, home: Any) -> Callable[[int, list[Array]], list[Array]]:
        options = _options(self.kind, probe)
        if inspect.isclass(self.make):
            return self._of_class(options, probe, home)
        roles = Roles(self.make, self.kind, options)
        if not roles.has("params", "grads", "layer", "layers", "pairs", "function"):
            made = self.make(**self._constructor(self.make, roles, probe, home, None))
            return self._of_closure(made, options, home)
        starts = {"state": _initializer(self.make, self.kind, options)}
        self.style = f"an optimizer as a function, {getattr(home, 'style', '')}".rstrip(", ")
        return self._loop(home, [Caller(roles, self.sign, self.first, starts)], roles, (), False)

    def _of_class(self, options: Mapping[str, Any], probe: Probe, home: Any) -> Any:
        roles = Roles(self.make, self.kind, options)
        in_place = roles.has("grads")
        first = self._instance(roles, probe, home, None)
        if (step := method(first, STEP)) is None:
            raise CannotDrive("the optimizer has no method step or update")
        steps = Roles(step, self.kind, options)
        self._check_form(roles, steps, home)
        each = isinstance(home, Arrays) or steps.has("layer") or steps.count("params") == 2
        units = home.units(steps.has("layer") or steps.count("params") == 2)
        if each and not steps.has("key", "layer"):
            own = [first, *(self._instance(roles, probe, home, unit) for unit in units[1:])]
        else:
            own = [first]
            if initialize := method(first, _INIT):
                taken = list(Roles(initialize, self.kind, options).by_name.values())
                if taken == ["params"] or taken == ["layers"]:
                    initialize(getattr(units[0], taken[0]))
        callers = [
            Caller(Roles(step, self.kind, options), self.sign, self.first, {})
            for o in own
            if (step := method(o, STEP))
        ]
        hooks = tuple(method(first, (f"{word}_update_params",)) for word in ("pre", "post"))
        self.style = f"an optimizer {getattr(home, 'style', '')}".rstrip()
        return self._loop(home, callers, steps, hooks, in_place)

    def _check_form(self, roles: Roles, steps: Roles, home: Any) -> None:
        """Whether this form goes with the arguments that the step takes."""
        layers = isinstance(home, Model)
        if steps.has("layer", "layers") and not layers:
            raise CannotDrive("its step takes layers")
        if not steps.has("params", "grads", "layer", "layers", "pairs", "function"):
            if not roles.has("params", "layers", "layer"):
                raise CannotDrive("neither the constructor nor the step takes parameters")
            if isinstance(home, Arrays):
                raise CannotDrive("it takes all parameters at once")

    def _loop(
        self, home: Any, callers: list[Caller], steps: Roles, hooks: Sequence[Any], in_place: bool
    ) -> Callable[[int, list[Array]], list[Array]]:
        units = home.units(steps.has("layer") or steps.count("params") == 2)
        before, after = hooks or (None, None)

        def run(t: int, gradients: list[Array]) -> list[Array]:
            home.feed(gradients, in_place)
            if before:
                before()
            for unit, caller in zip(units, itertools.cycle(callers)):
                caller(unit, t)
            if after:
                after()
            return [np.array(value) for value in home.read()]

        return run

    def _instance(self, roles: Roles, probe: Probe, home: Any, unit: Unit | None) -> Any:
        return self.make(**self._constructor(self.make, roles, probe, home, unit))

    def _constructor(
        self, make: Any, roles: Roles, probe: Probe, home: Any, unit: Unit | None
    ) -> dict[str, Any]:
        """Options by name; parameters and layers where the constructor takes them."""
        places = {
            n: r
            for n, r in roles.by_name.items()
            if r in ("params", "grads", "layers", "layer", "shape")
        }
        rest = SimpleNamespace()
        signature = inspect.signature(make)
        kept = [p for n, p in signature.parameters.items() if n not in places]
        stub: Any = lambda: rest  # noqa: E731
        stub.__signature__ = inspect.Signature(
            [p for p in kept if p.kind == p.KEYWORD_ONLY or p.kind == p.POSITIONAL_OR_KEYWORD]
        )
        filled = Probe((), roles.options, parameters=probe.parameters)
        given = names.constructor_arguments(stub, self.kind, filled)
        given = {n: v for n, v in given.items() if n not in ("name",)}
        about = home if unit is None or not isinstance(home, Arrays) else unit
        for name, role in places.items():
            if role == "shape":
                one = home.all[0] if isinstance(home, Arrays) and unit is None else unit
                given[name] = np.shape(one.params) if one is not None else None
            elif role == "layers" or (role == "params" and isinstance(home, Model)):
                if not isinstance(home, Model):
                    raise CannotDrive("it takes layers")
                whole = names.plain(name) in _MODEL
                given[name] = home if whole else home.layers if role == "layers" else home.params
            elif name in roles.required or role == "params":
                given[name] = getattr(about, role)
        return given

    def _of_closure(self, made: Any, options: Mapping[str, Any], home: Any) -> Any:
        """A function that makes the step, or (init, update) and perhaps (get_params)."""
        functions = [f for f in (made if isinstance(made, tuple) else (made,)) if callable(f)]
        if not functions:
            raise CannotDrive("it returns no function")
        self.style = f"an optimizer as a closure, {getattr(home, 'style', '')}".rstrip(", ")
        if len(functions) == 1:
            roles = Roles(functions[0], self.kind, options)
            return self._loop(home, [Caller(roles, self.sign, self.first, {})], roles, (), False)
        init, update = functions[:2]
        roles = Roles(update, self.kind, options)
        roles.by_name = {n: "t" if r == "key" else r for n, r in roles.by_name.items()}
        for unit in home.units(False):
            state = init(unit.params)
            unit.states = {n: state for n, role in roles.by_name.items() if role == "state"}
        caller = _State(roles, self.sign, self.first, functions)
        return self._loop(home, [caller], roles, (), False)


class _State(Caller):
    """(init, update): update hands back (steps, state); with get_params it hands back the state."""

    def __init__(
        self, roles: Roles, sign: float, first: int, functions: list[Callable[..., Any]]
    ) -> None:
        super().__init__(roles, sign, first, {})
        self.get_params = functions[2] if len(functions) > 2 else None

    def _take(self, unit: Unit, result: Any, given: list[str]) -> None:
        if self.get_params is None:
            super()._take(unit, result, given)
            return
        unit.states = dict.fromkeys(unit.states, result)
        unit.take(self.get_params(result))


def _initializer(make: Any, kind: Kind, options: Mapping[str, Any]) -> Any:
    """initialize_adam beside update_parameters_with_adam: makes the states from parameters."""
    module = vars(sys.modules.get(make.__module__, SimpleNamespace())) or make.__globals__
    words = {names.plain(w) for w in make.__name__.split("_")} | {kind.like.lower(), "velocity"}
    for name, value in {**module, **make.__globals__}.items():
        is_init = names.plain(name).startswith(("init", "create", "make", "zeros"))
        if (
            inspect.isfunction(value)
            and is_init
            and words & {names.plain(w) for w in name.split("_")}
        ):
            roles = Roles(value, kind, options)
            if [role for n, role in roles.by_name.items() if n in roles.required] == ["params"]:
                return lambda unit, value=value: value(unit.params)
    return None


def optimizer_drivers(make: Any, kind: Kind) -> Iterator[OptimizerDriver]:
    """The ways to drive an optimizer, likeliest first; last those that may move nothing."""
    for patient in (False, True):
        for sign, first in ((0.0, 1), (-1.0, 1), (1.0, 1), (0.0, 0)):
            for form in FORMS:
                yield OptimizerDriver(make, kind, form, sign, first, patient)
