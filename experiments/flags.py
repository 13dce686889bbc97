"""The command line beside :class:`Config`, and flags that would do nothing: refused, so that
nobody believes that they did something."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from experiments.config import DATA, RUN, Config
from experiments.declare import POSITIVE, Declared, Flag, declared, spelt
from experiments.errors import UserError
from experiments.own_name import OWN, is_own

_OLD_RUNS = ("resume", "evaluate", "predict")
_TEST = ("evaluate",)


@dataclass(frozen=True)
class Job:
    """What to do, with what and where: flags that decide nothing of a run's result."""

    list: Annotated[bool, Flag(RUN, "show the recipes and stop")] = False
    config: Annotated[
        Path | None,
        Flag(
            RUN,
            "start from the config.json of a run (or its folder); flags beside it win",
            metavar="FILE",
        ),
    ] = None
    resume: Annotated[
        Path | None,
        Flag(
            RUN,
            "go on with an interrupted run folder; with --epochs, prolong a finished one",
            metavar="RUN",
        ),
    ] = None
    evaluate: Annotated[
        Path | None,
        Flag(RUN, "only test a run folder's last weights, or a file of weights", metavar="RUN"),
    ] = None
    predict: Annotated[
        tuple[Path, ...],
        Flag(RUN, "what trained weights take your images for", metavar="IMAGE"),
    ] = ()
    weights: Annotated[
        Path | None,
        Flag(
            RUN,
            "run folder or file of weights for --predict (default: the last run in ./runs)",
            needs=("predict",),
            also=("predict",),
            metavar="RUN",
        ),
    ] = None
    doctor: Annotated[
        bool, Flag(RUN, "look at data, network and gradients before the first epoch, and stop")
    ] = False
    threads: Annotated[
        int | None, Flag(RUN, "BLAS threads (default: all cores)", also=_OLD_RUNS)
    ] = None
    timeout: Annotated[
        float,
        Flag(
            RUN,
            "seconds that processes of mpiexec or torchrun wait for each other",
            also=("resume",),
            metavar="SECONDS",
        ),
        POSITIVE,
    ] = 600.0
    data: Annotated[
        Path | None,
        Flag(
            DATA,
            "folder of four IDX files (MNIST, Fashion-MNIST, KMNIST ...), or an .npz of x_train, "
            "y_train, x_test, y_test (default: $MNIST_DIR, else ./data)",
            also=("resume", "evaluate"),
            metavar="PATH",
            alias="--data-dir",
        ),
    ] = None
    no_checksum: Annotated[
        bool,
        Flag(DATA, "take IDX files that are no data set known by its checksums", also=_TEST),
    ] = False
    tensorboard: Annotated[
        bool, Flag(DATA, "write TensorBoard's events, too", also=("resume",))
    ] = False
    out: Annotated[
        Path | None, Flag(DATA, "run folder to create (default: runs/NAME)", metavar="FOLDER")
    ] = None


# train.py's other jobs, and why they do not listen to most flags
_OTHERS = {
    "list": "it only shows the recipes",
    "resume": "it takes its configuration from the run folder",
    "evaluate": "it only tests saved weights",
    "predict": "it only uses saved weights",
}


def check_job(given: Collection[str]) -> None:
    """Refuse what --list, --resume, --evaluate and --predict would ignore.

    Args:
        given: the names of the flags on the command line, as attributes.

    Raises:
        UserError: naming the first of them.
    """
    for job, why in _OTHERS.items():
        companions = sorted(field.name for field in declared(Config, Job) if job in field.flag.also)
        ignored = [name for name in given if name not in {*companions, job}]
        if job in given and ignored:
            allowed = ", ".join(map(spelt, companions))
            only = f"beside it only {allowed} may be given" if allowed else "give it alone"
            raise UserError(f"{spelt(ignored[0])} has no effect with {spelt(job)}: {why}; {only}")
    if "weights" in given and "predict" not in given:
        raise UserError("--weights has no effect without --predict")
    if "config" in given and "recipe" in given:
        raise UserError("--recipe and --config each say what to run: give one of them")


def check_effect(config: Config, given: Collection[str]) -> None:
    """Refuse training flags that ``config`` makes no use of.

    Raises:
        UserError: naming the flag, and what it needs.
    """
    for field in declared(config):
        if field.name in given and (without := lack(config, field)):
            raise UserError(f"{spelt(field.name)} has no effect{without}")


def lack(config: Config, field: Declared) -> str:
    """What ``field`` needs to have an effect and ``config`` has not; "" if there is nothing."""
    if not field.flag.needs:
        return ""
    chooser, *values = field.flag.needs
    has = getattr(config, chooser)
    if not values:
        return "" if has else f" without {spelt(chooser)} of at least 1"
    needed = f"{spelt(chooser)} {' or '.join(values)}"
    is_named = has in values or (OWN in values and chooser == "model" and is_own(has))
    return "" if is_named else f": it needs {needed}, this run has {has}"


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


def ways_out(config: Config, overflow: bool = False) -> str:
    """What may help a run of ``config`` that diverged, of the flags that it has.

    Args:
        config: of the run.
        overflow: whether numbers became too large for the dtype.
    """
    ways = ["a smaller --lr (a tenth)"]
    if config.momentum and config.optimizer != "adam":  # beta1 makes no step of Adam larger
        ways.append("less --momentum")
    ways += [
        f"{spelt(field.name)} of at most 1"
        for field in declared(config)
        if field.name in ("lr_decay", "mu_decay", "gamma")
        if getattr(config, field.name) > 1 and not lack(config, field)
    ]
    if config.init_scale > 1:
        ways.append("--init-scale 1")
    if overflow and config.dtype == "float32":
        ways.append("--dtype float64")
    *others, last = ways
    return f"try {', '.join(others)} or {last}" if others else f"try {last}"
