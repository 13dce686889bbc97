"""Other people's code in a process of its own, with limits of time and memory."""

import contextlib
import json
import linecache
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from torch_ref.checking.failures import CannotDrive
from torch_ref.checking.verdict import Finding, Verdict, unusable

# without the working directory on the path: it may hold a random.py of theirs
_CHILD = "import sys; del sys.path[0]; from torch_ref.checking.child import main; main()"


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
    loss: str | None = None,
) -> list[Verdict]:
    """All that a file offers, or the component that is named.

    Args:
        file: of the code.
        name: of a class or function in it; all that are recognised if None.
        like, args, kwargs: the twin, as :func:`torch_ref.check` takes them.
        timeout: seconds for each.
        memory: GB that the code may take.
        adapter: "FILE" or "FILE:NAME" of an adapter.
        loss: "FILE:NAME" of a loss, judged together with the layer that is named.

    Raises:
        Refused: if nothing was recognised, or the twin does not take the arguments.
    """
    request: dict[str, Any] = {
        "file": file, "name": name, "like": like, "args": args, "kwargs": kwargs,
        "timeout": timeout, "memory": memory, "adapter": adapter, "loss": loss, "skip": [],
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
