"""The library: is a component right?"""

import ast
import dataclasses
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from torch_ref.checking import render
from torch_ref.checking.drivers import (
    Candidate,
    CannotDrive,
    Failed,
    adapter,
    drive,
    find_drivers,
    names,
    optimizers,
)
from torch_ref.checking.drivers.skeleton import skeleton
from torch_ref.checking.failures import guarded
from torch_ref.checking.judge import judge
from torch_ref.checking.kinds import KINDS
from torch_ref.checking.locate import located
from torch_ref.checking.pairs import check_pair, together
from torch_ref.checking.probe import answer
from torch_ref.checking.verdict import CONVENTION, RIGHT, UNUSABLE, Verdict, unusable, worst


class Result(list[Verdict]):
    """Verdicts that print themselves, as text and in a notebook."""

    @property
    def verdict(self) -> str:
        """The worst of all."""
        return worst(self)

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
    adapter: Any = None,
    loss: Callable[..., Any] | None = None,
) -> Result:
    """Your own layer, loss or optimizer beside its PyTorch twin.

    Args:
        component: the class, or the function that goes forward.
        like: torch's name, where the component's own doesn't tell.
        args, kwargs: the twin's constructor's; a few usual ones if neither is given.
        backward: the function that goes back, of a pair; found by its name if it isn't given.
        adapter: a class that says what can't be guessed (drivers/adapter.py); where guessing stops
            the result prints one to fill in.
        loss: your own, which comes after the layer: judged with it, since one of the two divides
            by the batch size.

    Raises:
        ValueError: if ``like`` is not known, or its class does not take the arguments.
    """
    like = like or getattr(adapter, "like", None)
    if like is not None and like not in KINDS:
        raise ValueError(f"like is {like!r}; it can be {', '.join(KINDS)}")
    try:
        candidate = dataclasses.replace(_candidate(component, like), adapter=adapter)
        if backward is not None:
            candidate = dataclasses.replace(candidate, backward=backward)
        after = None if loss is None else _candidate(loss, None)
    except CannotDrive as problem:
        return Result([unusable(component.__name__, like or "", problem)])
    if after is not None:
        return Result(check_with_loss(candidate, after, args, kwargs))
    return Result([check_candidate(candidate, args, kwargs)])


def _candidate(component: Callable[..., Any], like: str | None) -> Candidate:
    """A class or function that is at hand, wherever it was made."""
    name = component.__name__
    module = ModuleType(component.__module__)
    vars(module).update(vars(sys.modules.get(component.__module__, module)))
    vars(module)[name] = component
    (candidate,) = find_drivers(module, name, like)
    return candidate


def assert_right(
    component: Callable[..., Any],
    like: str | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    backward: Callable[..., Any] | None = None,
    strict: bool = False,
    adapter: Any = None,
    loss: Callable[..., Any] | None = None,
) -> None:
    """:func:`check` for tests; ``strict``: conventions of its own count as wrong.

    Raises:
        AssertionError: with the whole answer, if the component is not right.
    """
    result = check(component, like, args, kwargs, backward, adapter, loss)
    if result.verdict not in ((RIGHT,) if strict else (RIGHT, CONVENTION)):
        raise AssertionError(f"\n{result}")


def check_candidate(
    candidate: Candidate,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Verdict:
    """A component that was recognised; code that does not run is a finding, no exception.

    A loss that is not right is tried as its like of logits or probabilities, too: names don't tell.
    """
    verdict = _checked(candidate, args, kwargs)
    other = _SIBLINGS.get(candidate.kind.like)
    if other is None or verdict.verdict in (RIGHT, CONVENTION):
        return verdict
    sibling = _checked(dataclasses.replace(candidate, kind=KINDS[other[0]]), args, kwargs)
    told, known = (
        all(f.verdict == RIGHT or f.key not in _UNTOLD for f in v.findings)
        for v in (verdict, sibling)
    )
    if sibling.verdict in (RIGHT, CONVENTION) or (known and not told):
        return dataclasses.replace(sibling, conventions=[*sibling.conventions, other[1]])
    return verdict


def check_with_loss(
    layer: Candidate,
    loss: Candidate,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> list[Verdict]:
    """A layer, the loss that comes after it, and the two together."""
    own = [check_candidate(layer, args, kwargs), check_candidate(loss)]
    if any(verdict.verdict == UNUSABLE for verdict in own):
        return own
    loss = dataclasses.replace(loss, kind=KINDS[own[1].like])  # of logits or of probabilities
    try:
        pair = check_pair(layer, loss, args, kwargs)
    except CannotDrive as problem:
        return [*own, unusable(f"{layer.name} and {loss.name}", "", problem)]
    return together(own, pair)


_UNTOLD = ("", "missing", "does not run", "follows forward")
_LOGITS, _PROBABILITIES = "the loss takes logits", "the loss takes probabilities"
_SIBLINGS = {
    "ProbabilityLoss": ("CrossEntropyLoss", _LOGITS),
    "CrossEntropyLoss": ("ProbabilityLoss", _PROBABILITIES),
    "BCELoss": ("BCEWithLogitsLoss", _LOGITS),
    "BCEWithLogitsLoss": ("BCELoss", _PROBABILITIES),
}


def _checked(
    candidate: Candidate, args: Sequence[Any] | None, kwargs: Mapping[str, Any] | None
) -> Verdict:
    kind = candidate.kind
    if args is None and kwargs is None:
        configurations = list(_offered(candidate)) or [kind.configurations[0]]
    else:
        configurations = [(tuple(args or ()), dict(kwargs or {}))]
    twin = kind.twin or getattr(torch.optim if kind.role == "optimizer" else torch.nn, kind.like)
    known = [p.name for p in names.parameters_of(twin)]
    if unknown := [key for key in kwargs or () if key not in known]:
        raise ValueError(
            f"PyTorch's {kind.like} has no argument {unknown[0]}; it has {', '.join(known)}"
        )
    try:
        probes = [p for own, named in configurations for p in kind.draw(*own, **named)]
        answer(kind, probes[0])
    except Exception as problem:
        own, named = configurations[0]
        given = ", ".join([*map(repr, own), *(f"{key}={value!r}" for key, value in named.items())])
        raise ValueError(f"PyTorch's {kind.like} can't be made of ({given}): {problem}") from None
    try:
        driver = drive(candidate, *configurations[0])
    except CannotDrive as problem:
        verdict = unusable(candidate.name, kind.like, problem)
        if isinstance(problem, Failed) and not problem.may_be_misled:
            return verdict
        return _with_skeleton(verdict, candidate)
    try:
        verdict = judge(candidate.name, kind, driver, probes)
    except CannotDrive as problem:
        return unusable(candidate.name, kind.like, problem)
    if any(finding.key == "missing" for finding in verdict.findings):
        verdict = _with_skeleton(verdict, candidate)
    return located(verdict, candidate)


def _offered(candidate: Candidate) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """The usual configurations, without those for which the code has no arguments."""
    kind = candidate.kind
    make = getattr(candidate.adapter, "make", candidate.component)
    taken = [p.name for p in names.parameters_of(make)]
    takes_all = any(n.endswith(("param", "params", "config", "hparameters")) for n in taken[1:])
    takes_all |= candidate.adapter is not None and adapter.takes_all(make)
    if kind.role == "optimizer":
        offers = optimizers.offered if candidate.adapter is None else adapter.options_offered
        taken_options = offers(make, kind)
        plain = {k: v for k, v in kind.configurations[0][1].items() if k in {*taken_options, "lr"}}
        yield (), plain
        more = [kwargs for _, kwargs in kind.configurations[1:] if set(kwargs) <= taken_options]
        yield from (((), kwargs) for kwargs in more)
        return
    for args, kwargs in kind.configurations:
        offered = {names.spelled(kind, n, dict(kwargs)) for n in taken}
        if takes_all and not candidate.adapter and "Pool" in kind.like and "padding" in kwargs:
            continue  # pool_param seldom has one
        if takes_all or set(kwargs) <= offered:
            yield args, kwargs


def _with_skeleton(verdict: Verdict, candidate: Candidate) -> Verdict:
    """With an adapter to fill in, unless there is one."""
    if candidate.adapter is not None:
        return verdict
    args, kwargs = candidate.kind.configurations[0]
    probe = candidate.kind.draw(*args, **kwargs)[0]
    written = skeleton(candidate.name, candidate.component, candidate.kind, probe)
    return dataclasses.replace(verdict, skeleton=written)


def load(file: str) -> ModuleType:
    """People's file as a module; the modules beside it can be imported from it.

    Raises:
        CannotDrive: if it is no Python file, or fails.
    """
    path = Path(file).resolve()
    with guarded():
        source = path.read_bytes()
        levels = [
            n.level for n in ast.walk(ast.parse(source, str(path))) if isinstance(n, ast.ImportFrom)
        ]
        # relative imports need the packages above; a name of Python's own stays its own
        above = path.parents[min(max(levels, default=0), len(path.parents) - 1)]
        name = ".".join(path.relative_to(above).with_suffix("").parts)
        if name in sys.modules and getattr(sys.modules[name], "__file__", "") != str(path):
            name = f"checked_{name}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise CannotDrive(f"{file} is no Python file")
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        first = [str(above), str(path.parent)]
        sys.path[:0] = first
        try:
            spec.loader.exec_module(module)
        finally:  # behind the libraries: a random.py of theirs is not for everyone
            for folder in first:
                if folder in sys.path:
                    sys.path.remove(folder)
            sys.path += first
    return module
