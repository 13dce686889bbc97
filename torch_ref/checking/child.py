"""The process in which other people's code runs: a request on stdin, answers into a file."""

import contextlib
import dataclasses
import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch_ref.checking.check import check_candidate, check_with_loss, load
from torch_ref.checking.drivers import Candidate, CannotDrive, find_drivers
from torch_ref.checking.failures import failed
from torch_ref.checking.kinds import KINDS
from torch_ref.checking.verdict import Verdict, unusable
from torch_ref.checking.worker import Refused

Put = Callable[[dict[str, Any]], None]


def _work(request: dict[str, Any], put: Put, limit: Callable[[], None]) -> None:
    name, like, file = request["name"], request["like"], request["file"]
    if like and like not in KINDS:
        raise Refused(f"--like {like} is not known; it can be {', '.join(KINDS)}")
    limit()
    try:
        module = load(file)
        adapter = _adapter(request, module) if request["adapter"] else None
        like = like or getattr(adapter, "like", None)
        if adapter is not None and name is None:
            name = adapter.__name__.removesuffix("Adapter")
        candidates = find_drivers(module, name, like)
        loss = _loss(request, module) if request["loss"] else None
    except CannotDrive as problem:
        put(dataclasses.asdict(unusable(name or Path(file).name, like or "", problem)))
        return
    if not candidates:
        raise Refused(_nothing(file, module))
    for candidate in candidates:
        if candidate.name in request["skip"]:
            continue
        put({"start": candidate.name})
        limit()
        chosen = dataclasses.replace(candidate, adapter=adapter)
        for verdict in _checked(chosen, loss, request):
            put(dataclasses.asdict(verdict))


def _checked(
    candidate: Candidate, loss: Candidate | None, request: dict[str, Any]
) -> list[Verdict]:
    args, kwargs = request["args"], request["kwargs"]
    try:
        if loss is not None:
            return check_with_loss(candidate, loss, args, kwargs)
        return [check_candidate(candidate, args, kwargs)]
    except ValueError as problem:
        if args is None and kwargs is None:
            return [_incomparable(candidate, problem)]
        raise Refused(str(problem)) from problem
    except Exception as problem:  # one component's trouble is not the others'
        return [_incomparable(candidate, problem)]


def _incomparable(candidate: Candidate, problem: Exception) -> Verdict:
    reason = f"it can't be compared: {type(problem).__name__}: {problem}"
    return unusable(candidate.name, candidate.kind.like, CannotDrive(reason))


def _adapter(request: dict[str, Any], module: ModuleType) -> Any:
    """The class that is named, or the only one that is an adapter."""
    file, _, name = request["adapter"].partition(":")
    own = module if Path(file).resolve() == Path(request["file"]).resolve() else load(file)
    there = {n: v for n, v in vars(own).items() if n.endswith("Adapter") and isinstance(v, type)}
    wanted = name or f"{request['name']}Adapter"
    if wanted in vars(own):
        return getattr(own, wanted)
    if not name and len(there) == 1:
        return next(iter(there.values()))
    raise Refused(f"{file} has no class {wanted}; its adapters are: {', '.join(there) or 'none'}")


def _loss(request: dict[str, Any], module: ModuleType) -> Candidate:
    """The loss that is named, of the file itself or another."""
    file, _, name = request["loss"].rpartition(":")
    own = module if Path(file).resolve() == Path(request["file"]).resolve() else load(file)
    (found,) = find_drivers(own, name)
    if found.kind.role != "loss":
        raise Refused(f"--loss {name} is taken for a {found.kind.like}, which is no loss")
    return found


def _nothing(file: str, module: ModuleType) -> str:
    own = [
        key
        for key, value in vars(module).items()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
    if not own:
        return f"there is no class or function in {file}"
    return (
        f"nothing in {file} was recognised; it has {', '.join(own)}: "
        f"name one and say what it should be, {file}:{own[0]} --like Linear"
    )


def main() -> None:
    """The child: the request on stdin, an answer a line into the file that is named."""
    request = json.loads(sys.stdin.read())
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        size += int(request["memory"] * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    with Path(sys.argv[1]).open("w") as answers, Path(sys.argv[2]).open("w") as words:
        faulthandler.enable(words)

        def put(entry: dict[str, Any]) -> None:
            answers.write(json.dumps(entry, default=lambda a: a.tolist()) + "\n")
            answers.flush()

        def limit() -> None:
            faulthandler.dump_traceback_later(request["timeout"], exit=True, file=words)

        sys.argv = [request["file"]]
        try:
            _work(request, put, limit)
        except Refused as problem:
            put({"refused": str(problem)})
        except BaseException as problem:
            name = request["name"] or Path(request["file"]).name
            put(dataclasses.asdict(unusable(name, "", failed(problem))))
        put({"done": True})
        os._exit(0)  # threads of theirs may still run
