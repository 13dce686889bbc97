"""Is my layer, loss or optimizer right? It is run beside PyTorch's, part by part."""

import argparse
import ast
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

EXAMPLES = """
examples:
  python check.py my_layers.py                    # whatever it recognises
  python check.py my_layers.py:Conv2D --like Conv2d --args 3 4 3 --kwargs padding=1
  python check.py my_layers.py:Adam --kwargs lr=0.01
  python check.py my_layers.py:Dense --loss my_losses.py:CrossEntropy
  python check.py my_layers.py:Odd --like Linear --adapter adapter.py

exit codes: 0 right, or right by a convention; 1 wrong (with --strict a convention, too);
            2 it can't be used, or check.py was called wrongly
"""


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        self.exit(2, f"check.py: {message} (--help shows the flags)\n")


def _arguments() -> argparse.Namespace:
    parser = _Parser(
        description=__doc__,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("component", metavar="FILE[:NAME]", help="your file, and which part of it")
    parser.add_argument("--like", metavar="CLASS", help="PyTorch's class: Conv2d, Adam ...")
    parser.add_argument("--args", nargs="+", type=_value, metavar="V", help="its arguments")
    parser.add_argument("--kwargs", nargs="+", metavar="K=V", help="its keyword arguments")
    parser.add_argument(
        "--adapter", metavar="FILE[:NAME]", help="a class that says what can't be guessed"
    )
    parser.add_argument(
        "--loss", metavar="FILE:NAME", help="your loss: judged together with the layer"
    )
    parser.add_argument("--strict", action="store_true", help="conventions of its own are wrong")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    parser.add_argument("--html", metavar="FILE", help="also a page, with maps of the errors")
    parser.add_argument(
        "--timeout", type=float, default=60.0, metavar="S", help="seconds for each (60)"
    )
    parser.add_argument(
        "--memory", type=float, default=2.0, metavar="GB", help="that it may take (2)"
    )
    return parser.parse_args()


class _Refused(Exception):
    """A wrong call, in one line."""


def _file_and_name(text: str) -> tuple[str, str]:
    """FILE or FILE:NAME; a Python file that is there."""
    file, name = text, ""
    if not Path(text).exists():
        file, _, name = text.rpartition(":") if ":" in text else (text, "", "")
    path = Path(file)
    if path.is_dir():
        own = ", ".join(sorted(p.name for p in path.glob("*.py"))[:8]) or "no Python file"
        raise _Refused(f"{file} is a directory; name a file, of: {own}")
    if not path.is_file():
        raise _Refused(f"there is no file {file}")
    if path.suffix == ".ipynb":
        raise _Refused(
            f"{file} is a notebook: in it, from torch_ref import check and check(MyLayer); or "
            f"jupyter nbconvert --to script {file}"
        )
    if path.suffix != ".py":
        raise _Refused(f"{file} is no Python file")
    return file, name


def _keywords(pairs: list[str] | None) -> dict[str, Any] | None:
    if pairs is None:
        return None
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name.isidentifier() and equals and value):
            raise _Refused(f"--kwargs takes name=value, as padding=1, not {pair!r}")
        if value in ("true", "false", "none"):
            raise _Refused(f"--kwargs takes Python's values: {name}={value.title()}")
    return {name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def main() -> int:
    """0 right, 1 wrong, 2 unusable or wrongly called."""
    options = _arguments()
    file, name = _file_and_name(options.component)
    kwargs = _keywords(options.kwargs)
    for flag in ("timeout", "memory"):
        if not 0 < getattr(options, flag) < 1e6:
            unit = "seconds" if flag == "timeout" else "GB"
            raise _Refused(f"--{flag} takes a number of {unit} above 0")
    adapter = ":".join(filter(None, _file_and_name(options.adapter))) if options.adapter else None
    loss = ":".join(_file_and_name(options.loss)) if options.loss else None
    if loss and (not name or loss.endswith(":")):
        raise _Refused("--loss takes FILE:NAME, after the layer's own FILE:NAME")
    page = Path(options.html) if options.html else None
    if page and (page.is_dir() or not page.parent.is_dir()):
        raise _Refused(f"--html {page} can't be written: name a file in a folder that is there")

    from torch_ref.checking import render  # here: a wrong call need not wait for it
    from torch_ref.checking.verdict import CONVENTION, UNUSABLE, WRONG, worst
    from torch_ref.checking.worker import Refused, check_file

    try:
        found = check_file(
            file, name or None, options.like, options.args, kwargs,
            options.timeout, options.memory, adapter, loss,
        )  # fmt: skip
    except Refused as problem:
        raise _Refused(" ".join(str(problem).split())) from problem
    print(render.as_json(found) if options.json else render.as_text(found))
    if page:
        page.write_text(render.as_html(found), encoding="utf-8")
    codes = {WRONG: 1, UNUSABLE: 2, CONVENTION: int(options.strict)}
    return codes.get(worst(found), 0)


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except _Refused as problem:
        print(f"check.py: {problem}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # check.py ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)
