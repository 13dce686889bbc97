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
import dataclasses
from pathlib import Path

from experiments.errors import UserError, need, out_of_memory, silence, tell
from experiments.threads import set_threads

# Nothing here may import NumPy before --threads has been read: BLAS counts its threads once.


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        self.exit(2, f"{self.prog}: error: {message} (--help shows the flags)\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line; every flag that was not given is None."""
    parser = _Parser(
        description="Train the lab's networks on MNIST with NumPy or with PyTorch.",
        epilog="Without a recipe or pieces it runs the lab's best row, momentum-10ep. "
        "Flags given beside a recipe replace its values.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--backend", help="numpy (default) or torch")
    add("--recipe", metavar="NAME", help="a row of the lab's table; see --list")
    add("--list", action="store_true", help="show the recipes and stop")
    add("--model", help="mlp or cnn")
    add("--hidden", type=int, nargs="+", metavar="N", help="widths of the hidden layers")
    add("--epochs", type=int)
    add("--batch-size", type=int)
    add("--optimizer", help="sgd, momentgd or adam")
    add("--lr", type=float, help="learning rate")
    add("--momentum", type=float, help="of sgd; mu of momentgd; beta1 of adam")
    add("--lr-decay", type=float, help="momentgd: factor of the learning rate per step")
    add("--mu-decay", type=float, help="momentgd: factor of mu per step")
    add("--weight-decay", type=float, help="L2, added to the gradients")
    add("--dropout", type=float, help="probability after each hidden ReLU of the linear layers")
    add("--scheduler", help="none, step, multistep, exponential or cosine; stepped per iteration")
    add("--step-size", type=int, help="iterations between the reductions of step")
    add("--gamma", type=float, help="factor of step, multistep, exponential")
    add("--milestones", type=int, nargs="+", metavar="N", help="iterations of multistep")
    add("--patience", type=int, help="epochs without a better dev loss before stopping (0: never)")
    add("--min-delta", type=float, help="fall of the dev loss that counts as better")
    add("--evaluations", type=int, help="dev evaluations per epoch")
    add("--init-scale", type=float, help="factor on the initial weights")
    add("--dtype", help="float32 or float64")
    add("--seed", type=int)
    add("--threads", type=int, help="BLAS threads (default: all cores)")
    add("--dataset", help="auto (MNIST, else the bundled digits), mnist or digits")
    add("--data-dir", type=Path, help="folder with the four MNIST files (default: $MNIST_DIR)")
    add("--out", type=Path, help="run folder to create (default: runs/NAME)")
    add("--resume", type=Path, metavar="RUN", help="go on with an interrupted run folder")
    add("--evaluate", type=Path, metavar="FILE", help="only test saved weights")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    flags = parse(arguments)
    try:
        code = _run(flags)
        sys.stdout.flush()
        return code
    except UserError as error:
        tell(f"train.py: error: {error}")
        return 2
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


def _run(flags: argparse.Namespace) -> int:
    given = {n: v for n, v in vars(flags).items() if v is not None and v is not False}
    set_threads(flags.threads)
    need("NumPy", "numpy", "train.py")
    from experiments import evaluate, run
    from experiments.flags import check_effect, check_job
    from experiments.recipes import DEFAULT_RECIPE, Config, resolve

    if signal.getsignal(signal.SIGINT) is _interrupted_early:  # from here on there is tidying up
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check_job(given)
    if flags.list:
        print(_recipe_list())
        return 0
    if flags.resume is not None:
        return run.resume(flags.resume, flags.data_dir)
    fields = given.keys() & {field.name for field in dataclasses.fields(Config)} - {"recipe"}
    overrides = {n: tuple(v) if isinstance(v := given[n], list) else v for n in fields}
    if flags.evaluate is not None:
        return evaluate.evaluate(flags.evaluate, overrides, flags.data_dir)
    plain = flags.recipe is None and not overrides.keys() - _NEUTRAL
    config = resolve(DEFAULT_RECIPE if plain else flags.recipe, overrides)
    check_effect(config, given)
    return run.train(config, flags.data_dir, flags.out)


# given alone, these leave the default recipe in place
_NEUTRAL = {"backend", "dataset", "dtype", "seed", "epochs", "evaluations"}


def _recipe_list() -> str:
    from experiments.recipes import RECIPES

    width = max(map(len, RECIPES))
    lines = [f"{'recipe':<{width}}  published  what it is"]
    for name, recipe in RECIPES.items():
        published = "-" if recipe.published is None else f"{recipe.published:.4f}"
        lines.append(f"{name:<{width}}  {published:>9}  {recipe.note}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
