"""Flags that would do nothing: refused, so that nobody believes that they did something."""

from collections.abc import Collection

from experiments.errors import UserError
from experiments.recipes import Config

# train.py's other jobs, and what each of them listens to
_COMPANIONS = {
    "list": set[str](),
    "resume": {"data_dir", "threads"},
    "evaluate": {
        "backend",
        "model",
        "hidden",
        "dropout",
        "dtype",
        "dataset",
        "data_dir",
        "threads",
    },
}
_WHY = {
    "list": "it only shows the recipes",
    "resume": "it takes its configuration from the run folder",
    "evaluate": "it only tests saved weights",
}
# a flag, the field that decides whether it is used, and the values with which it is
_NEEDS = {
    "step_size": ("scheduler", ("step",)),
    "gamma": ("scheduler", ("step", "multistep", "exponential")),
    "milestones": ("scheduler", ("multistep",)),
    "lr_decay": ("optimizer", ("momentgd",)),
    "mu_decay": ("optimizer", ("momentgd",)),
}


def check_job(given: Collection[str]) -> None:
    """Refuse what --list, --resume and --evaluate would ignore.

    Args:
        given: the names of the flags on the command line, as attributes.

    Raises:
        UserError: naming the first of them.
    """
    for job, companions in _COMPANIONS.items():
        ignored = [name for name in given if name not in companions | {job}]
        if job in given and ignored:
            allowed = ", ".join(map(_flag, sorted(companions)))
            only = f"beside it only {allowed} may be given" if allowed else "give it alone"
            raise UserError(
                f"{_flag(ignored[0])} has no effect with {_flag(job)}: {_WHY[job]}; {only}"
            )


def check_effect(config: Config, given: Collection[str]) -> None:
    """Refuse training flags that ``config`` makes no use of.

    Raises:
        UserError: naming the flag, and what it needs.
    """
    for name in given:
        if name in _NEEDS:
            field, values = _NEEDS[name]
            has = getattr(config, field)
            if has not in values:
                raise UserError(
                    f"{_flag(name)} has no effect: it needs {_flag(field)} {' or '.join(values)}, "
                    f"this run has {has}"
                )
    if "min_delta" in given and not config.patience:
        raise UserError("--min-delta has no effect without --patience of at least 1")


def remarks(config: Config, steps: int) -> list[str]:
    """What of ``config`` a run of ``steps`` steps is too short for: said, not refused."""
    found = []
    if config.scheduler == "step" and config.step_size >= steps:
        found.append(f"--step-size {config.step_size}: the run has only {steps} steps")
    late = [n for n in config.milestones if n >= steps] if config.scheduler == "multistep" else []
    if late:
        found.append(f"--milestones {' '.join(map(str, late))}: the run has only {steps} steps")
    if config.patience >= config.epochs:
        found.append(f"--patience {config.patience}: the run has only {config.epochs} epochs")
    return [f"without effect: {line}" for line in found]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
