"""What check.py's documentation shows, written by it: python -m parity_tests.checking.gallery"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from parity_tests.checking.test_adapter import ODD
from parity_tests.checking.test_gallery import TABLE
from torch_ref.checking.check import load
from torch_ref.checking.drivers import find_drivers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "check_gallery.md"
HEAD = """# The gallery of check.py

Small hand-written components in `examples/check/`, right, right by a convention, or with one
mistake each; the tests hold that check.py gives each the verdict and the diagnosis below.

| file | component | beside | verdict | diagnosis |
|---|---|---|---|---|
"""


def table() -> str:
    """The page."""
    lines = []
    for stem, name, verdict, key, *_ in TABLE:
        (found,) = find_drivers(load(str(ROOT / "examples" / "check" / f"{stem}.py")), name)
        lines.append(f"| {stem}.py | `{name}` | {found.kind.like} | {verdict} | {key} |")
    for name, like, verdict, key in ODD:
        said = f"{key}, with an adapter".lstrip(", ")
        lines.append(f"| adapted/odd.py | `{name}` | {like} | {verdict} | {said} |")
    return HEAD + "\n".join(lines) + "\n"


def with_outputs(text: str) -> str:
    """A page, with what its commands print now below each "$ python check.py ..."."""

    def block(match: re.Match[str]) -> str:
        command = [sys.executable, *shlex.split(match.group(1))]
        environment = {**os.environ, "COLUMNS": "100"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
        return f"```\n$ python {match.group(1)}\n{done.stdout.rstrip()}\n```"

    return re.sub(r"```\n\$ python (.*)\n(?:.*\n)*?```", block, text)


HOW_TO = ROOT / "docs" / "check.md"
if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
    HOW_TO.write_text(with_outputs(HOW_TO.read_text(encoding="utf-8")), encoding="utf-8")
