"""What a file offers, and the way of driving it that fits."""

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

import numpy as np

from torch_ref.checking.drivers import names, styles
from torch_ref.checking.drivers.adapter import AdapterDriver
from torch_ref.checking.drivers.functions import FunctionDriver, partner
from torch_ref.checking.drivers.layers import COLUMNS, TURNS, LayerDriver, method, plans
from torch_ref.checking.drivers.losses import loss_drivers
from torch_ref.checking.drivers.optimizers import optimizer_drivers
from torch_ref.checking.drivers.recurrent import recurrent_drivers
from torch_ref.checking.drivers.slots import Closure
from torch_ref.checking.drivers.tensors import TensorDriver, as_layer, tensor_class
from torch_ref.checking.explain import error
from torch_ref.checking.failures import CannotDrive, Failed
from torch_ref.checking.kinds import KINDS, recurrent
from torch_ref.checking.probe import Kind, answer

# a mistake in their axis is not to be taken for samples as columns
_ALONG_AN_AXIS = ("Softmax", "LogSoftmax", "CausalSoftmax")


@dataclass(frozen=True)
class Candidate:
    """A component: its name, itself, its way back, what it is taken for, its adapter."""

    name: str
    component: Any
    backward: Any
    kind: Kind
    adapter: Any = None


def find_drivers(
    namespace: ModuleType, name: str | None = None, like: str | None = None
) -> list[Candidate]:
    """Everything in a file that can be recognised, or the one that is named.

    Args:
        namespace: the module.
        name: of a class or function in it; None for all that are recognised.
        like: torch's name, where the component's own doesn't tell.
    """
    own = {
        key: value
        for key, value in vars(namespace).items()
        if callable(value) and getattr(value, "__module__", None) == namespace.__name__
    }
    if name is not None and name not in own:
        if not callable(getattr(namespace, name, None)):
            raise CannotDrive(f"{name} is not in {namespace.__name__}; there are: {', '.join(own)}")
        own = {**own, name: getattr(namespace, name)}
    functions = [key for key, value in own.items() if inspect.isfunction(value)]
    backwards = {back for f in functions if (back := partner(f, functions))}
    found = []
    for key, value in own.items():
        if (name is not None and key != name) or (name is None and key in backwards):
            continue
        kind = KINDS[like] if like else names.guess_kind(key, KINDS.values())
        if not like and kind is not None and kind.like in ("RNN", "LSTM", "GRU"):
            kind = KINDS[f"{kind.like}Cell"] if _takes_state(value) else kind
        if kind is None:
            if name is not None:
                raise CannotDrive(f"what {name} should be can't be guessed: say it, --like Linear")
            continue
        back = own.get(partner(key, functions) or "")
        if (
            name is None
            and not inspect.isclass(value)
            and kind.role == "layer"
            and back is None
            and not _flag(value)
            and not _returns_functions(value)
            and not tensor_class(vars(namespace))
        ):
            continue
        found.append(Candidate(key, value, back, kind))
    return found


def _takes_state(component: Any) -> bool:
    """Whether a class asks for the state before, as a cell does."""
    forward = method(component, names.FORWARD) if inspect.isclass(component) else None
    wanted = names.parameters_of(forward) if forward else []
    return any("prev" in p.name and p.default is p.empty for p in wanted)


def _flag(function: Any) -> bool:
    return any(
        names.plain(p.name).startswith(("deriv", "prime")) for p in names.parameters_of(function)
    )


def drive(candidate: Candidate, args: Any = None, kwargs: Any = None) -> Any:
    """The driver for a component, by trying which of the ways runs on the plainest experiment.

    Where several run, the one whose parts differ least from the twin's.

    Raises:
        Failed: their code raises whatever is tried; with the place.
        CannotDrive: nothing fits.
    """
    kind = candidate.kind
    if args is None and kwargs is None:
        args, kwargs = kind.configurations[0]
    probe = kind.draw(*(args or ()), **(kwargs or {}))[0]
    expected = answer(kind, probe)
    best: tuple[float, Any] | None = None
    problems: list[CannotDrive] = []
    furthest: list[CannotDrive] = []
    takes_batches = False
    for driver in _ways(candidate):
        plan = getattr(driver, "plan", None)
        if takes_batches and plan is not None and plan.single:
            continue  # or a sum over the whole batch would pass for one over a sample
        try:
            found = driver.run(probe)
        except CannotDrive as problem:
            problems.append(problem)
            if getattr(driver, "went_forward", False):
                furthest.append(problem)
            continue
        bad: float = sum(
            part not in found or error(found[part], value) > 2e-4
            for part, value in expected.items()
        )
        takes_batches = takes_batches or (
            (plan is None or not plan.single)
            and all(
                part in found and np.shape(found[part]) == np.shape(value)
                for part, value in expected.items()
            )
        )
        main = "loss" if kind.role == "loss" else "output"
        if main in expected and (
            main not in found or np.shape(found[main]) != np.shape(expected[main])
        ):
            bad += 10  # rather one that gives the right shape
        if hasattr(driver, "misfit"):
            bad = driver.misfit(found, expected)
        if best is None or bad < best[0]:
            best = (bad, driver)
        if bad == 0:
            break
    if best is not None:
        return best[1]
    theirs = [p for p in problems if isinstance(p, Failed) and p.line]
    if kind.role == "optimizer":  # the one that came furthest
        theirs.sort(key=lambda problem: -problem.line)
    said = furthest or theirs or problems
    raise (said or [CannotDrive(f"no way to drive {candidate.name} fits")])[0]


def _ways(candidate: Candidate) -> Iterator[Any]:
    kind, component = candidate.kind, candidate.component
    if candidate.adapter is not None:
        yield AdapterDriver(candidate.adapter, kind)
    elif kind.role == "loss":
        yield from loss_drivers(component, candidate.backward, kind)
    elif kind.role == "optimizer":
        yield from optimizer_drivers(component, kind)
    elif kind.like in recurrent.LIKES:
        yield from recurrent_drivers(component, candidate.backward, kind)
    elif inspect.isclass(component):
        yield from _of_class(candidate)
    elif _returns_functions(component):
        make = functools.wraps(component)(lambda **given: Closure(component(**given)))
        for plan in plans():
            yield LayerDriver(make, kind, plan, styles.CLOSURES)
    else:
        yield from _of_functions(candidate)


def _of_class(candidate: Candidate) -> Iterator[Any]:
    kind, component = candidate.kind, candidate.component
    forward = method(component, names.FORWARD)
    if forward is None:
        raise CannotDrive(f"{candidate.name} has no method forward")
    backward = method(component, names.BACKWARD)
    if isinstance(inspect.getattr_static(component, forward.__name__, None), staticmethod):
        yield from _of_functions(
            dataclasses.replace(candidate, component=forward, backward=backward)
        )
        return
    tensor = tensor_class(getattr(forward, "__globals__", {}))
    for plan in plans():
        if plan.turn is COLUMNS and kind.like in _ALONG_AN_AXIS:
            continue
        if backward is None and tensor is not None:
            yield TensorDriver(component, kind, plan, tensor)
        else:
            yield LayerDriver(component, kind, plan)
    if backward is not None and names.plain(backward.__name__) in names.DERIVATIVE_METHODS:
        for at in ("x", "output"):
            made = component(**names.constructor_arguments(component, kind, kind.draw()[0]))
            yield FunctionDriver(forward.__get__(made), backward.__get__(made), kind, at=at)


def _of_functions(candidate: Candidate) -> Iterator[Any]:
    kind, component, backward = candidate.kind, candidate.component, candidate.backward
    if backward is not None and len(names.parameters_of(backward)) > 1:
        for vector, matrix, turn in itertools.product(range(4), range(2), TURNS):
            if turn is COLUMNS and kind.like in _ALONG_AN_AXIS:
                continue
            yield FunctionDriver(component, backward, kind, turn, (matrix, vector))
    if backward is not None or _flag(component):
        yield FunctionDriver(component, backward, kind, at="x")
        yield FunctionDriver(component, backward, kind, at="output")
    elif tensor := tensor_class(getattr(component, "__globals__", {})):
        for plan in plans():
            yield TensorDriver(as_layer(component), kind, plan, tensor)


def _returns_functions(function: Any) -> bool:
    """Whether a function defines others inside that go forward or back."""
    constants = getattr(getattr(function, "__code__", None), "co_consts", ())
    inside = {names.plain(c.co_name) for c in constants if isinstance(c, CodeType)}
    known = {names.plain(n) for n in (*names.FORWARD, *names.BACKWARD)}
    return bool(inside & known)
