"""Runs of ``train.py`` that are killed at random moments, or fail within a checkpoint.

    python -m parity_tests.faults                        50 kills, and every fault of every call
    python -m parity_tests.faults --kills 9 --calls 20   some of both

Each is resumed, and must end with the bits of the run that nothing disturbed. POSIX only: what is
killed is a forked child.
"""

import argparse
import errno
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.backends.backend_agg  # children that find it imported start faster
import matplotlib.figure  # noqa: F401
import safetensors.numpy  # noqa: F401
import sklearn.datasets  # noqa: F401
import torch

import numpy_impl
import train
from experiments import run
from parity_tests.experiments.calls import same_run

RUN = "run"  # the folder's name in the parts' own folders: config.json holds it
KILLED = -signal.SIGKILL
FAILED_IN = 2  # the epoch whose checkpoint fails
STEADY = "--dataset digits --hidden 16 --batch-size 64 --epochs 3 --optimizer adam --lr 0.01"
CALLS = ("open", "write", "fsync", "close", "chmod", "replace")  # those of write_atomically
FAULTS = ("ENOSPC", "EIO", "kill before", "kill after")
OF_WRITE = ("short", "short, then ENOSPC")


def recipe(rng: random.Random) -> list[str]:
    """Flags of a short run: any backend, network, optimizer, schedule and so on."""
    model = rng.choice(["mlp", "mlp --activation tanh", "cnn", "cnn --batch-norm"])
    optimizer = rng.choice(
        [
            "sgd --lr 0.05 --weight-decay 0.001",
            "sgd --lr 0.02 --momentum 0.9",
            "momentgd --lr-decay 0.99 --mu-decay 0.999",
            "adam --lr 0.005",
        ]
    )
    schedule = rng.choice(
        [
            "none",
            "step --step-size 7 --gamma 0.8",
            "multistep --milestones 9 30 --gamma 0.5",
            "exponential --gamma 0.99",
            "cosine",
        ]
    )
    maybe = ["--dropout 0.3", "--patience 2 --min-delta 0.1", "--rotate 10 --elastic 5 2"]
    flags = [
        f"--dataset digits --hidden 16 --batch-size {rng.choice([32, 64, 100])}",
        f"--epochs {rng.randint(3, 6)} --evaluations {rng.randint(1, 3)}",
        f"--backend {rng.choice(['numpy', 'torch'])} --model {model} --optimizer {optimizer}",
        f"--scheduler {schedule} --dtype {rng.choice(['float32', 'float64'])}",
        f"--seed {rng.randrange(1000)}",
        *(flag for flag in maybe if rng.random() < 0.5),
    ]
    return " ".join(flags).split()


def start(folder: Path, arguments: Sequence[str], sabotage: Callable[[], None]) -> int:
    """``train.py`` in a forked child, its output in ``folder/log``; its process id."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        torch.set_num_threads(1)
        numpy_impl.set_num_threads(1)
        os.chdir(folder)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        sabotage()
        code = train.main(list(arguments))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def ended(child: int, seconds: float = 600) -> int:
    """The child's exit code; it is killed after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attempt(
    folder: Path,
    flags: Sequence[str],
    seconds: float = 600,
    sabotage: Callable[[], None] = lambda: None,
) -> int:
    """Start the run in ``folder``, or go on with what is there."""
    if (folder / RUN / "config.json").exists():
        arguments = ["--resume", RUN]
    else:  # it was killed before anything was stored
        shutil.rmtree(folder / RUN, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        arguments = [*flags, "--out", RUN]
    return ended(start(folder, arguments, sabotage), seconds)


def must(expected: bool, what: str, folder: Path) -> None:
    """Stop at the first run that is not as it must be; its folder stays."""
    if not expected:
        log = (folder / "log").read_text()
        raise SystemExit(f"{what}\nin {folder}, whose log ends:\n{log[-2000:]}")


def kills(count: int, rng: random.Random, folder: Path) -> None:
    """Runs of random recipes, each killed up to three times, unless it is faster than that."""
    done, whole, broken = 0, folder / "whole", folder / "broken"
    while done < count:
        flags = recipe(rng)
        started = time.monotonic()
        must(attempt(whole, flags) == 0, " ".join(flags), whole)
        seconds, moments, code = time.monotonic() - started, [], KILLED
        while code == KILLED:
            moment = rng.uniform(0, seconds) if done < count and len(moments) < 3 else 600
            code = attempt(broken, flags, moment)
            moments += [f"{moment:.3f}"] if code == KILLED else []
            done += code == KILLED
        must(code == 0, " ".join(flags), broken)
        must("WARNING" not in (broken / "log").read_text(), "a kill damaged a checkpoint", broken)
        same_run(whole / RUN, broken / RUN)
        print(f"{' '.join(flags)}\n  killed after {', '.join(moments) or 'no'} s: equal")
        shutil.rmtree(whole)
        shutil.rmtree(broken)
    print(f"{done} kills: each run ended with the bits of the one that nothing disturbed")


class Sabotage:
    """What goes wrong at one call of the operating system, within one checkpoint.

    Args:
        number: which call, from 0; -1 for none.
        fault: what becomes of it.
    """

    def __init__(self, number: int = -1, fault: str = "") -> None:
        self._number, self._fault = number, fault
        self._is_armed, self.seen = False, list[str]()

    def __call__(self) -> None:
        store = run._Progress.on_checkpoint

        def on_checkpoint(progress: Any, state: Any, improved: bool) -> None:
            self._is_armed = state.epoch == FAILED_IN
            store(progress, state, improved)
            self._is_armed = False
            if self._number < 0 and state.epoch == FAILED_IN:
                Path("calls").write_text("\n".join(self.seen))

        progress: Any = run._Progress
        progress.on_checkpoint = on_checkpoint
        for name in CALLS:
            setattr(os, name, self._watched(name, getattr(os, name)))

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if not self._is_armed:
                return call(*arguments, **options)
            self.seen.append(name)
            if len(self.seen) - 1 != self._number:
                return call(*arguments, **options)
            return self._go_wrong(
                name, lambda *own: call(*(own or arguments), **options), arguments
            )

        return watched

    def _go_wrong(self, name: str, call: Callable[..., Any], arguments: Sequence[Any]) -> Any:
        fault = self._fault
        if fault.startswith("short") or (fault == "kill after" and name == "write"):
            handle, content = arguments
            result = call(handle, content[: max(1, len(content) // 2)])
        elif fault == "kill after" or name == "close":  # a close that fails has closed
            result = call()
        if fault.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "short":
            return result
        if fault.startswith("short"):
            self._number, self._fault = len(self.seen), "ENOSPC"
            return result
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number))


def faults(count: int | None, rng: random.Random, folder: Path) -> None:
    """Every fault of every call that one checkpoint makes, or ``count`` of them."""
    flags, whole = [*STEADY.split(), "--dropout", "0.2", "--scheduler", "cosine"], folder / "whole"
    must(attempt(whole, flags, sabotage=Sabotage()) == 0, "no fault", whole)
    calls = (whole / "calls").read_text().split()
    cases = list(_cases(calls))
    cases = cases if count is None else rng.sample(cases, count)
    print(f"calls of a checkpoint: {len(calls)}, {' '.join(calls)}")
    for number, fault in cases:
        broken, what = folder / "broken", f"{fault} at call {number}, {calls[number]}"
        code = attempt(broken, flags, sabotage=Sabotage(number, fault))
        expected = KILLED if "kill" in fault else 0 if fault == "short" else 1
        must(code == expected, f"{what}: exit code {code}", broken)
        if expected == 1:
            must("go on with: python train.py --resume" in _log(broken), what, broken)
        if expected:
            must(attempt(broken, flags) == 0, what, broken)
            from_before = any(s in _log(broken) for s in ("WARNING", "from the beginning"))
            must(not from_before, f"{what} cost a checkpoint", broken)
        same_run(whole / RUN, broken / RUN)
        shutil.rmtree(broken)
    kinds = {fault: sum(f == fault for _, f in cases) for fault in (*FAULTS, *OF_WRITE)}
    each = ", ".join(f"{fault}: {n}" for fault, n in kinds.items() if n)
    print(f"{len(cases)} faults ({each}): each run ended with the bits of the undisturbed one")


def _cases(calls: Sequence[str]) -> Iterator[tuple[int, str]]:
    for number, name in enumerate(calls):
        for fault in (*FAULTS, *(OF_WRITE if name == "write" else ())):
            yield number, fault


def _log(folder: Path) -> str:
    return (folder / "log").read_text()


def main() -> None:
    """Both, and how long it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="how many (default: 50)")
    parser.add_argument("--calls", type=int, help="faults at calls (default: all there are)")
    parser.add_argument("--seed", type=int, default=0, help="of recipes and moments (default: 0)")
    given = parser.parse_args()
    rng, started = random.Random(given.seed), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    kills(given.kills, rng, folder)
    faults(given.calls, rng, folder)
    shutil.rmtree(folder)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
