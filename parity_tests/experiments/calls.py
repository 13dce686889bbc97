"""``train.py`` called as its users call it, in this process or in one of its own."""

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import train
from experiments import checkpoint

ROOT = Path(train.__file__).parent
SCRIPT = str(ROOT / "train.py")
QUICK = ("--dataset", "digits", "--epochs", "2", "--hidden", "20", "--batch-size", "16")


def call(*arguments: str) -> int:
    """The exit code, argparse's own included."""
    try:
        return train.main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)


def refusal(capsys: Any, *arguments: str, code: int = 2) -> str:
    """The one line on stderr with which a call ends."""
    capsys.readouterr()
    assert call(*arguments) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


def start(*arguments: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen:
    """``train.py`` in a process of its own, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, SCRIPT, *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def about(folder: Path) -> dict[str, Any]:
    """A run folder's config.json."""
    return json.loads((folder / "config.json").read_text())


def result(folder: Path) -> dict[str, Any]:
    """A run folder's result.json."""
    return json.loads((folder / "result.json").read_text())


def same_run(one: Path, other: Path) -> None:
    """Two run folders are equal bit for bit, but for the time that they took, and the command."""
    names = {path.name for path in one.iterdir()}
    assert names == {path.name for path in other.iterdir()}
    for name in names:
        if name in ("result.json", "config.json"):
            a, b = (json.loads((folder / name).read_text()) for folder in (one, other))
            unequal = {"seconds": 0} if name == "result.json" else {"commands": 0}
            assert a | unequal == b | unequal, name
        elif name.startswith("checkpoint"):
            a, b = (checkpoint.load_state(folder / name) for folder in (one, other))
            assert pickle.dumps(a | {"seconds": 0}) == pickle.dumps(b | {"seconds": 0}), name
        else:
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
