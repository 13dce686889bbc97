"""Other people's code in a process of its own, with limits of time and memory."""

import contextlib
import dataclasses
import faulthandler
import json
import linecache
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch_ref.checking.check import check_candidate, load, unusable
from torch_ref.checking.drivers import CannotDrive, Failed, find_drivers
from torch_ref.checking.drivers.failures import guarded
from torch_ref.checking.verdict import Finding, Verdict

_MEMORY = 2 << 30
_START = 30.0  # seconds for the imports


def check_file(
    file: str,
    name: str | None = None,
    like: str | None = None,
    args: list[Any] | None = None,
    kwargs: dict[str, Any] | None = None,
    timeout: float = 60.0,
) -> list[Verdict]:
    """All that a file offers, or the component that is named; each has ``timeout`` seconds."""
    request: dict[str, Any] = {
        "file": file, "name": name, "like": like, "args": args, "kwargs": kwargs,
        "timeout": timeout, "skip": [],
    }  # fmt: skip
    verdicts: list[Verdict] = []
    while True:
        lines, trouble, finished = _run(request)
        verdicts += [_revived(line) for line in lines if "findings" in line]
        started = [line["start"] for line in lines if "start" in line]
        if finished:
            return verdicts
        failed = started[-1] if started else (name or Path(file).name)
        verdicts.append(unusable(failed, like or "", _trouble(trouble, file, timeout)))
        if name or not started:
            return verdicts
        request["skip"] += started


def _run(request: dict[str, Any]) -> tuple[list[Any], str, bool]:
    """What a child wrote, its last words, and whether it came to the end."""
    with tempfile.TemporaryDirectory() as folder:
        answers, words = Path(folder) / "answers", Path(folder) / "words"
        command = [sys.executable, "-m", "torch_ref.checking.worker", str(answers)]
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path, "MPLBACKEND": "Agg"}
        with words.open("w") as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors,
                text=True, env=environment,
            )  # fmt: skip
            process.communicate(json.dumps(request))
        written = answers.read_text().splitlines() if answers.exists() else []
        return [json.loads(line) for line in written], words.read_text(), process.returncode == 0


def _trouble(words: str, file: str, timeout: float) -> CannotDrive:
    """The place in people's file where a crash or a time limit found it."""
    if "Timeout" in words:
        reason = f"it runs for more than {timeout:g} seconds: an endless loop, or very slow code."
    else:
        fatal = re.search(r"Fatal Python error: (.*)", words)
        reason = f"Python crashed: {fatal.group(1) if fatal else 'it ended without a word'}."
    place = re.search(rf'File "({re.escape(str(Path(file).resolve()))})", line (\d+)', words)
    if place is None:
        return CannotDrive(reason)
    line = int(place.group(2))
    return CannotDrive(
        reason, place.group(1), line, linecache.getline(place.group(1), line).strip()
    )


def _revived(line: dict[str, Any]) -> Verdict:
    return Verdict(**{**line, "findings": [Finding(**finding) for finding in line["findings"]]})


def _work(request: dict[str, Any], answers: Any) -> None:
    def put(entry: dict[str, Any]) -> None:
        answers.write(json.dumps(entry, default=lambda a: a.tolist()) + "\n")
        answers.flush()

    def limit() -> None:
        faulthandler.dump_traceback_later(request["timeout"], exit=True)

    name, like, file = request["name"], request["like"], request["file"]
    limit()
    try:
        with guarded():
            try:
                module = load(file)
            except SystemExit as problem:
                raise Failed("the file ends the program while it is imported") from problem
            except SyntaxError as problem:
                place = (
                    problem.filename or file,
                    problem.lineno or 0,
                    (problem.text or "").strip(),
                )
                raise Failed(f"SyntaxError: {problem.msg}", *place) from problem
        candidates = find_drivers(module, name, like)
    except CannotDrive as problem:
        put(dataclasses.asdict(unusable(name or Path(file).name, like or "", problem)))
        return
    for candidate in candidates:
        if candidate.name in request["skip"]:
            continue
        put({"start": candidate.name})
        limit()
        try:
            verdict = check_candidate(candidate, request["args"], request["kwargs"])
        except Exception as problem:  # one component's trouble is not the others'
            reason = f"it can't be compared: {type(problem).__name__}: {problem}"
            verdict = unusable(candidate.name, candidate.kind.like, CannotDrive(reason))
        put(dataclasses.asdict(verdict))


def main() -> None:
    """The child: the request on stdin, an answer a line into the file that is named."""
    faulthandler.enable()
    request = json.loads(sys.stdin.read())
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, size + _MEMORY))
    with Path(sys.argv[1]).open("w") as answers:
        _work(request, answers)


if __name__ == "__main__":
    main()
