"""Is my layer, loss or optimizer right? python check.py my.py:Conv2D --like Conv2d --args 3 4 3"""

import argparse
import ast
import os
import sys
from pathlib import Path
from typing import Any, NoReturn


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
    parser = _Parser(description=__doc__, allow_abbrev=False)
    parser.add_argument("component", metavar="FILE[:NAME]", help="your file, and which part of it")
    parser.add_argument("--like", metavar="CLASS", help="PyTorch's class: Conv2d, Adam ...")
    parser.add_argument("--args", nargs="+", type=_value, metavar="V", help="its arguments")
    parser.add_argument("--kwargs", nargs="+", metavar="K=V", help="its keyword arguments")
    parser.add_argument("--strict", action="store_true", help="conventions of its own are wrong")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    parser.add_argument("--html", metavar="FILE", help="also a page, with maps of the errors")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="for each (60)")
    return parser.parse_args()


def _refuse(message: str) -> int:
    print(f"check.py: {message}", file=sys.stderr)
    return 2


def main() -> int:
    """0 right, 1 wrong, 2 unusable or wrongly called."""
    options = _arguments()
    file, _, name = options.component.partition(":")
    if not Path(file).is_file():
        return _refuse(f"there is no file {file}")
    if any("=" not in pair for pair in options.kwargs or ()):
        return _refuse("--kwargs takes name=value, as padding=1")
    if options.timeout <= 0:
        return _refuse("--timeout takes a number of seconds above 0")
    pairs = dict(pair.split("=", 1) for pair in options.kwargs or ())
    kwargs = {key: _value(value) for key, value in pairs.items()} if options.kwargs else None

    from torch_ref.checking import render
    from torch_ref.checking.check import Result
    from torch_ref.checking.kinds import KINDS
    from torch_ref.checking.verdict import CONVENTION, UNUSABLE, WRONG
    from torch_ref.checking.worker import check_file

    if options.like and options.like not in KINDS:
        return _refuse(f"--like {options.like} is not known; it can be {', '.join(KINDS)}")
    found = check_file(file, name or None, options.like, options.args, kwargs, options.timeout)
    if not found:
        return _refuse(f"nothing in {file} was recognised: name it, {file}:MyLayer --like Linear")
    print(render.as_json(found) if options.json else render.as_text(found))
    if options.html:
        Path(options.html).write_text(render.as_html(found), encoding="utf-8")
    codes = {WRONG: 1, UNUSABLE: 2, CONVENTION: int(options.strict)}
    return codes.get(Result(found).verdict, 0)


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # check.py ... | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    sys.exit(code)
