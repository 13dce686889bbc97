"""Other people's code in a process of its own, with limits of time and memory."""

import contextlib
import dataclasses
import faulthandler
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch_ref.checking.check import check_candidate, load, unusable
from torch_ref.checking.drivers import Candidate, CannotDrive, find_drivers
from torch_ref.checking.drivers.failures import failed
from torch_ref.checking.verdict import Finding, Verdict

# without the working directory on the path: it may hold a random.py of theirs
_CHILD = "import sys; del sys.path[0]; from torch_ref.checking.worker import main; main()"


class Refused(Exception):
    """What was asked makes no sense: no finding about the code."""


def check_file(
    file: str,
    name: str | None = None,
    like: str | None = None,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    timeout: float = 60.0,
    memory: float = 2.0,
    adapter: str | None = None,
) -> list[Verdict]:
    """All that a file offers, or the component that is named.

    Args:
        file: of the code.
        name: of a class or function in it; all that are recognised if None.
        like, args, kwargs: the twin, as :func:`torch_ref.check` takes them.
        timeout: seconds for each.
        memory: GB that the code may take.
        adapter: "FILE" or "FILE:NAME" of an adapter.

    Raises:
        Refused: if nothing was recognised, or the twin does not take the arguments.
    """
    request: dict[str, Any] = {
        "file": file, "name": name, "like": like, "args": args, "kwargs": kwargs,
        "timeout": timeout, "memory": memory, "adapter": adapter, "skip": [],
    }  # fmt: skip
    verdicts: list[Verdict] = []
    while True:
        lines, trouble = _run(request)
        for line in lines:
            if "refused" in line:
                raise Refused(line["refused"])
        verdicts += [_revived(line) for line in lines if "findings" in line]
        if {"done": True} in lines:
            return verdicts
        started = [line["start"] for line in lines if "start" in line]
        known = started[-1] if started else (name or Path(file).name)
        problem = _trouble(trouble, file, timeout)
        if not started:
            problem.reason += " What a file trains belongs under if __name__ == '__main__'."
        verdicts.append(unusable(known, like or "", problem))
        if name or not started:
            return verdicts
        request["skip"] += started


def _run(request: dict[str, Any]) -> tuple[list[Any], str]:
    """What a child wrote, and its last words."""
    with tempfile.TemporaryDirectory() as folder:
        answers, words = Path(folder) / "answers", Path(folder) / "words"
        command = [sys.executable, "-c", _CHILD, str(answers), str(words)]
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"}
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            process.communicate(json.dumps(request, default=str))
        finally:  # whatever it has started goes, too
            process.kill()
            with contextlib.suppress(OSError, AttributeError):
                os.killpg(process.pid, signal.SIGKILL)
        written = answers.read_text().splitlines() if answers.exists() else []
        said = words.read_text(errors="replace") if words.exists() else ""
        if process.returncode < 0:
            said += f"\nFatal Python error: {signal.Signals(-process.returncode).name}"
        return [json.loads(line) for line in written], said


def _trouble(words: str, file: str, timeout: float) -> CannotDrive:
    """The place in people's file where a crash or a time limit found it."""
    if re.search(r"^Timeout \(", words, re.MULTILINE):
        reason = f"it runs for more than {timeout:g} seconds: an endless loop, or very slow code."
    else:
        fatal = re.search(r"Fatal Python error: (.*)", words)
        reason = "it ends the whole program, without a word."
        if fatal:
            reason = f"Python crashed: {fatal.group(1)}."
    place = re.search(rf'File "({re.escape(str(Path(file).resolve()))})", line (\d+)', words)
    if place is None:
        return CannotDrive(reason)
    line = int(place.group(2))
    source = linecache.getline(place.group(1), line).strip()
    return CannotDrive(reason, place.group(1), line, source)


def _revived(line: dict[str, Any]) -> Verdict:
    return Verdict(**{**line, "findings": [Finding(**finding) for finding in line["findings"]]})


Put = Callable[[dict[str, Any]], None]


def _work(request: dict[str, Any], put: Put, limit: Callable[[], None]) -> None:
    name, like, file = request["name"], request["like"], request["file"]
    limit()
    try:
        module = load(file)
        adapter = _adapter(request, module) if request["adapter"] else None
        like = like or getattr(adapter, "like", None)
        if adapter is not None and name is None:
            name = adapter.__name__.removesuffix("Adapter")
        candidates = find_drivers(module, name, like)
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
        put(dataclasses.asdict(_checked(chosen, request)))


def _checked(candidate: Candidate, request: dict[str, Any]) -> Verdict:
    try:
        return check_candidate(candidate, request["args"], request["kwargs"])
    except ValueError as problem:
        if request["args"] is None and request["kwargs"] is None:
            return _incomparable(candidate, problem)
        raise Refused(str(problem)) from problem
    except Exception as problem:  # one component's trouble is not the others'
        return _incomparable(candidate, problem)


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
