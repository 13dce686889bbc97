"""One training run: ``python train.py --backend numpy`` or ``--backend torch``."""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any, NoReturn

from experiments.errors import UserError
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


def _overrides(flags: argparse.Namespace) -> dict[str, Any]:
    """The Config fields that were given as flags."""
    from experiments.recipes import Config

    names = {field.name for field in dataclasses.fields(Config)} - {"recipe"}
    given = {n: getattr(flags, n) for n in names if getattr(flags, n, None) is not None}
    return {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit code."""
    flags = parse(arguments)
    try:
        if flags.threads is not None and flags.threads < 1:
            raise UserError(f"--threads must be at least 1, got {flags.threads}")
        set_threads(flags.threads)
        if flags.list:
            print(_recipe_list())
            return 0
        from experiments import run

        overrides = _overrides(flags)
        if flags.evaluate is not None:
            return run.evaluate(flags.evaluate, overrides, flags.data_dir)
        if flags.resume is not None:
            if overrides or flags.recipe or flags.out:
                raise UserError(
                    "--resume takes its configuration from the run folder: beside it only "
                    "--data-dir and --threads may be given"
                )
            return run.resume(flags.resume, flags.data_dir)
        from experiments.recipes import DEFAULT_RECIPE, resolve

        name = (
            DEFAULT_RECIPE
            if flags.recipe is None and not overrides.keys() - _NEUTRAL
            else flags.recipe
        )
        config = resolve(name, overrides)
        return run.train(config, flags.data_dir, flags.out)
    except UserError as error:
        print(f"train.py: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; go on with: python train.py --resume RUN", file=sys.stderr)
        return 130


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
