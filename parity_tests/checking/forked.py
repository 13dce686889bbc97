"""``check.py`` in copies of one process that has imported torch, which new ones take seconds for.

Its two processes are real ones, with their limits, their ends and nothing left behind.

python -m parity_tests.checking.forked    check.py's arguments in, how it ended out, a line each
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import types
from pathlib import Path
from typing import Any

from torch_ref.checking import child, worker

ROOT = Path(__file__).parents[2]
CHECK = str(ROOT / "check.py")


class Copies:
    """Called with arguments: ``check.py`` in a copy of that process, as subprocess.run says it."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", __name__]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(arguments), file=self._process.stdin, flush=True)
        return subprocess.CompletedProcess(arguments, *json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        self._process.communicate()


class Forked:
    """A copy of this process in the place of the one that ``torch_ref.checking.worker`` starts."""

    returncode = -1

    def __init__(self, command: list[str], *, env: dict[str, str], **_: Any) -> None:
        read, self._write = os.pipe()
        self.pid = os.fork()
        if self.pid:
            os.close(read)
            return
        try:
            os.setsid()
            os.close(self._write)
            redirect(read, os.open(os.devnull, os.O_WRONLY), os.open(os.devnull, os.O_WRONLY))
            os.environ |= env
            sys.argv = command[2:]
            child.main()
        finally:
            os._exit(1)

    def communicate(self, request: str) -> None:
        with os.fdopen(self._write, "w") as pipe:
            pipe.write(request)
        self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """It has ended."""


def redirect(*files: int) -> None:
    """Standard input, output and error, as many of them as there are files."""
    for number, file in enumerate(files):
        os.dup2(file, number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115


def check(arguments: list[str], out: int, error: int) -> None:
    """``check.py`` as a program; ends this process."""
    signal.alarm(120)
    redirect(os.open(os.devnull, os.O_RDONLY), out, error)
    sys.argv = [CHECK, *arguments]
    code = 1
    try:
        runpy.run_path(CHECK, run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    parts: Any = worker
    parts.subprocess = types.SimpleNamespace(
        Popen=Forked, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL
    )
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as error:
            copy = os.fork()
            if not copy:
                check(json.loads(line), out.fileno(), error.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(copy, 0)[1])
            out.seek(0)
            error.seek(0)
            print(json.dumps([code, out.read(), error.read()]), flush=True)


if __name__ == "__main__":
    main()
