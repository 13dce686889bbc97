"""The library: is a component right?"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch_ref.checking import render
from torch_ref.checking.drivers import Candidate, CannotDrive, drive, find_drivers, names
from torch_ref.checking.judge import judge
from torch_ref.checking.kinds import KINDS
from torch_ref.checking.locate import located
from torch_ref.checking.verdict import CONVENTION, RIGHT, UNUSABLE, Finding, Verdict


class Result(list[Verdict]):
    """Verdicts that print themselves, as text and in a notebook."""

    @property
    def verdict(self) -> str:
        """The worst of all."""
        return Verdict("", "", "", [f for v in self for f in v.findings]).verdict

    def __str__(self) -> str:
        return render.as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return render.as_html(self, whole=False)


def check(
    component: Callable[..., Any],
    like: str | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    backward: Callable[..., Any] | None = None,
) -> Result:
    """Your own layer, loss or optimizer beside its PyTorch twin.

    Args:
        component: the class, or the function that goes forward.
        like: torch's name, where the component's own doesn't tell.
        args, kwargs: the twin's constructor's; a few usual ones if neither is given.
        backward: the function that goes back, of a pair; found by its name if it isn't given.

    Raises:
        ValueError: if ``like`` is not known.
    """
    if like is not None and like not in KINDS:
        raise ValueError(f"like is {like!r}; it can be {', '.join(KINDS)}")
    name = component.__name__
    module = ModuleType(component.__module__)
    vars(module).update(vars(sys.modules.get(component.__module__, module)))
    vars(module)[name] = component
    try:
        (candidate,) = find_drivers(module, name, like)
    except CannotDrive as problem:
        return Result([unusable(name, like or "", problem)])
    if backward is not None:
        candidate = Candidate(name, component, backward, candidate.kind)
    return Result([check_candidate(candidate, args, kwargs)])


def assert_right(
    component: Callable[..., Any],
    like: str | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    backward: Callable[..., Any] | None = None,
    strict: bool = False,
) -> None:
    """:func:`check` for tests; ``strict``: conventions of its own count as wrong.

    Raises:
        AssertionError: with the whole answer, if the component is not right.
    """
    result = check(component, like, args, kwargs, backward)
    if result.verdict not in ((RIGHT,) if strict else (RIGHT, CONVENTION)):
        raise AssertionError(f"\n{result}")


def check_candidate(
    candidate: Candidate,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Verdict:
    """A component that was recognised; code that does not run is a finding, no exception."""
    kind = candidate.kind
    if args is None and kwargs is None:
        configurations = list(_offered(candidate)) or [kind.configurations[0]]
    else:
        configurations = [(tuple(args or ()), dict(kwargs or {}))]
    try:
        probes = [p for own, named in configurations for p in kind.draw(*own, **named)]
        if kind.role == "optimizer":
            probes = probes[:1]
        driver = drive(candidate, *configurations[0])
        verdict = judge(candidate.name, kind, driver, probes)
    except CannotDrive as problem:
        return unusable(candidate.name, kind.like, problem)
    return located(verdict, candidate)


def _offered(candidate: Candidate) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """The usual configurations, without those for which the code has no arguments."""
    kind = candidate.kind
    taken = [p.name for p in names.parameters_of(candidate.component)]
    takes_all = any(n.endswith(("param", "params", "config", "hparameters")) for n in taken[1:])
    for args, kwargs in kind.configurations:
        offered = {names.spelled(kind, n, dict(kwargs)) for n in taken}
        if takes_all and "Pool" in kind.like and "padding" in kwargs:
            continue  # pool_param seldom has one
        if takes_all or set(kwargs) <= offered or kind.role == "optimizer":
            yield args, kwargs


def unusable(name: str, like: str, problem: CannotDrive) -> Verdict:
    """The verdict on code that doesn't run, with the place."""
    line = f"{Path(problem.file).name}:{problem.line}: {problem.source}" if problem.file else ""
    finding = Finding("run", UNUSABLE, problem.reason, "does not run", line=line)
    return Verdict(name, like, "", [finding])


def load(file: str) -> ModuleType:
    """People's file as a module; the modules beside it can be imported from it."""
    path = Path(file).resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise CannotDrive(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.parent))
    spec.loader.exec_module(module)
    return module
