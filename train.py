"""One training run: ``python train.py --backend numpy`` or ``--backend torch``."""

import os
import signal
import sys
from typing import Any, NoReturn


def _interrupted_early(*_: Any) -> NoReturn:
    """Ctrl-C during the imports: nothing needs tidying up, and a traceback would tell nothing."""
    os.write(2, b"\ninterrupted; nothing was written\n")
    os._exit(130)


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _interrupted_early)

import argparse
import contextlib
import dataclasses
import importlib
import shlex
import time
import traceback
import warnings

from experiments.config import BESIDE_RECIPES, GROUPS, Config, amended, resolve
from experiments.declare import add_flags
from experiments.errors import Lost, UserError, need, out_of_memory, silence, tell
from experiments.flags import Job, check_effect, check_job
from experiments.launch import LAUNCH
from experiments.recipes import DEFAULT_RECIPE, RECIPES
from experiments.threads import set_threads

# Nothing here may import NumPy before --threads has been read: BLAS counts its threads once.

_AFTER_HELP = f"""\
Without a recipe or pieces it runs the lab's best row, {DEFAULT_RECIPE}. Flags given beside a
recipe replace its values; flags without effect are refused.

examples:
  python train.py --recipe sgd-5ep --backend torch
  python train.py --model cnn --batch-norm --optimizer adam --lr 0.001 --epochs 3
  python train.py --data my_images.npz --model my_net.py:build --patience 2 --out runs/mine
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        tell(f"{self.prog}: error: {message} (--help shows the flags)")
        sys.exit(2)


def parse(arguments: list[str] | None) -> dict[str, Any]:
    """The flags that were given, and no others: their fields' names and values."""
    parser = _Parser(
        prog="train.py",
        usage="python train.py [flags]",
        description="Train the lab's networks on MNIST, an LSTM or a GPT, with NumPy or PyTorch.",
        epilog=_AFTER_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_flags(parser, GROUPS, Config, Job)
    given = vars(parser.parse_args(arguments))
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    given = parse(arguments)
    try:
        code = _run(given, shlex.join(["python", "train.py", *arguments]))
        sys.stdout.flush()
        return code
    except UserError as error:
        tell(f"train.py: error: {error}")
        return 2
    except Lost as error:
        tell(f"train.py: stopped: {error}")
        error.end_others()
        return 1
    except KeyboardInterrupt:
        tell("\ninterrupted; nothing was written")
        return 130
    except BrokenPipeError:  # train.py --list | head
        silence(sys.stdout)
        return 141  # as if ended by SIGPIPE
    except OSError as error:
        if error.filename is None:
            silence(sys.stdout)
        tell(f"train.py: error: {error.filename or 'output'}: {error.strerror or error}")
        return 2
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        tell("train.py: error: there is not enough memory")
        return 2


def _run(given: dict[str, Any], command: str) -> int:
    beside = {field.name for field in dataclasses.fields(Job)}
    job = Job(**{name: value for name, value in given.items() if name in beside})
    pieces = {name: value for name, value in given.items() if name not in beside | {"recipe"}}
    set_threads(LAUNCH.threads if job.threads is None else job.threads)
    check_job(given)
    if job.list:
        print(_recipe_list())
        return 0
    if LAUNCH.size > 1 and (job.evaluate or job.predict or job.doctor):
        raise UserError("several processes share a training run only: start this without them")
    need("NumPy", "numpy", "train.py")
    from experiments import evaluate, run

    if signal.getsignal(signal.SIGINT) is _interrupted_early:  # from here on there is tidying up
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if job.resume is not None:
        return run.resume(job.resume, pieces.get("epochs"), job, command)
    if job.evaluate is not None:
        return evaluate.evaluate(job.evaluate, pieces, job.data, job.no_checksum)
    if job.predict:
        return evaluate.predict(job.predict, job.weights, pieces)
    if job.config is not None:
        saved, path = run.saved_values(job.config)
        config = amended(saved, pieces)
        if job.data is None and not given.keys() & {"dataset", "no_checksum"}:
            job = dataclasses.replace(job, data=path)
    else:
        plain = pieces.keys() <= BESIDE_RECIPES | {"epochs", "evaluations"}
        config = resolve(given.get("recipe", DEFAULT_RECIPE if plain else None), pieces)
    check_effect(config, given)
    if job.doctor:
        return run.doctor(config, job)
    return run.train(config, job, command)


def _recipe_list() -> str:
    width = max(map(len, RECIPES))
    lines = [f"{'recipe':<{width}}  published  what it is"]
    for name, recipe in RECIPES.items():
        published = "-" if recipe.published is None else f"{recipe.published:.4f}"
        lines.append(f"{name:<{width}}  {published:>9}  {recipe.note}")
    return "\n".join(lines)


def _interrupted_beside(*_: Any) -> NoReturn:
    """Ctrl-C reaches all processes: the first, which has a folder to tidy up, says so."""
    time.sleep(1)
    os._exit(130)


def _one_of_several() -> NoReturn:
    """:func:`main`, whose failure ends all processes: one that leaves at once is noticed by their
    launcher, while one that tidies up waits for the others, who wait for it."""
    if LAUNCH.rank:
        silence(sys.stdout)  # process 0 speaks for all
        warnings.simplefilter("ignore")
        signal.signal(signal.SIGINT, _interrupted_beside)
    mpi: Any = None
    if LAUNCH.by == "mpiexec":  # from here on it ends the others of one that aborts
        with contextlib.suppress(ImportError, RuntimeError), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of another MPI's variables: make_group says it
            mpi = importlib.import_module("mpi4py.MPI")
    try:
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if code and mpi is not None:
        time.sleep(0.3)  # for its launcher to pass on what it has said
        silence(sys.stderr)  # it would add a line that tells nobody anything
        mpi.COMM_WORLD.Abort(code)
    if code:
        os._exit(code)
    sys.exit()


if __name__ == "__main__":
    if LAUNCH.size > 1:
        _one_of_several()
    sys.exit(main())
