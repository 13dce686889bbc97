"""What a run folder says of itself: what ran, on what, by which code."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from experiments import own_model
from experiments.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent
_GIT_SECONDS = 10.0


def versions() -> dict[str, str]:
    """The versions that a result depends on, without importing anything."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("numpy", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit() -> dict[str, Any] | None:
    """The git commit of this code, and whether files differ from it; None where there is none."""
    if not (ROOT / ".git").exists():  # a repository around us says nothing of us
        return None
    said = []
    for question in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(
                ["git", "-C", str(ROOT), *question],
                capture_output=True,
                text=True,
                timeout=_GIT_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        said.append(done.stdout.strip())
    return {"commit": said[0], "changed": bool(said[1])}


def about(trainer: Trainer, commands: list[str]) -> dict[str, Any]:
    """A run folder's config.json.

    Args:
        trainer: of the run.
        commands: that started it, and that prolonged it.
    """
    config, data = trainer.config, trainer.data
    return {
        "name": config.name,
        "changed": config.changed,
        "config": config.as_dict(),
        "data": data.as_dict(),
        "commands": commands,
        "versions": versions(),
        "git": commit(),
        **own_model.noted(config.model),
    }


def identity(trainer: Trainer) -> dict[str, Any]:
    """What a checkpoint must share with the run that goes on from it.

    The number of epochs only if the learning rates hang on it.
    """
    config = trainer.config
    shared = {
        **config.as_dict(),
        "data": trainer.data.checksum,
        **own_model.noted(config.model),
    }
    if config.scheduler != "cosine":
        del shared["epochs"]
    return shared
