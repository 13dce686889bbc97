"""Verdicts as text for a terminal, as a page, as JSON."""

import base64
import inspect
import io
import itertools
import json
import math
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from torch_ref.checking.verdict import CONVENTION, RIGHT, Finding, Verdict

_TEMPLATES = Path(__file__).parent / "templates"
_SHORT = {CONVENTION: "convention"}


def as_text(verdicts: Sequence[Verdict], width: int = 0) -> str:
    """One screen for a component; of several, those that are not right, and a line for each.

    Args:
        verdicts: of the components.
        width: in columns; the terminal's if 0, from 80 to 100.
    """
    width = width or min(max(shutil.get_terminal_size((100, 24)).columns, 80), 100)
    alone = len(verdicts) == 1
    blocks = [_block(v, width, alone) for v in verdicts if alone or v.verdict != RIGHT]
    if not alone:
        rows = [(v.name, v.verdict, ", ".join(v.keys)) for v in verdicts]
        blocks.append("\n".join(_table([("component", "verdict", "diagnosis"), *rows], 2, width)))
    return "\n\n".join(blocks)


def _block(verdict: Verdict, width: int, alone: bool) -> str:
    beside = f" beside PyTorch's {verdict.like}" if verdict.like else ""
    lines = [f"{verdict.name}{beside}: {verdict.verdict}"]
    if verdict.style:
        found = "; ".join([f"read as {verdict.style}", *verdict.conventions])
        lines += textwrap.wrap(found, width, subsequent_indent="  ")
    rows = [("part", "verdict", "worst error", "where", "diagnosis")]
    for f in verdict.findings:
        error = size(f)
        rows.append((f.part, _SHORT.get(f.verdict, f.verdict), error, f.where, f.key))
    lines += ["", *_table(rows, 3, width)]
    for finding in verdict.findings:
        if finding.verdict != RIGHT:
            lines += ["", *_said(finding, width)]
    if verdict.skeleton:
        lines += ["", *textwrap.wrap(HOW_TO_ADAPT if alone else ALONE, width)]
    return "\n".join(
        [*lines, *(["", verdict.skeleton.rstrip()] if verdict.skeleton and alone else [])]
    )


HOW_TO_ADAPT = (
    "If it is meant to be called in another way, an adapter says how. Save this as adapter.py, "
    "replace each '...', and add --adapter adapter.py:"
)
ALONE = "If it is meant to be called in another way: checked alone, it comes with an adapter."


def _table(rows: Sequence[tuple[str, ...]], fixed: int, width: int) -> list[str]:
    """Columns; those from the ``fixed``-th on are wrapped into what is left of the width."""
    longest = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    longest = [n if any(row[i] for row in rows[1:]) else 0 for i, n in enumerate(longest)]
    left = width - sum(n + 2 for n in longest[:fixed]) - 2 * sum(n > 0 for n in longest[fixed:])
    for i in range(fixed, len(longest)):
        rest = longest[i + 1 :]
        longest[i] = min(longest[i], max(left - sum(rest), left // (1 + len(rest))))
        left -= longest[i]
    lines = []
    for row in rows:
        cells = [textwrap.wrap(cell, n) or [""] for cell, n in zip(row, longest, strict=True) if n]
        for parts in itertools.zip_longest(*cells, fillvalue=""):
            columns = zip(parts, filter(None, longest), strict=True)
            lines.append("".join(f"  {part:<{n}}" for part, n in columns).rstrip())
    return lines


def size(finding: Finding) -> str:
    """The worst error, as it is shown."""
    if math.isfinite(finding.error):
        return f"{finding.error:.1e}" if finding.error else ""
    return "shape" if finding.where.startswith("shape") else "infinite"


def _said(finding: Finding, width: int) -> list[str]:
    lines = textwrap.wrap(f"{finding.part}: {finding.says}", width, subsequent_indent="  ")
    if finding.line:
        lines += textwrap.wrap(
            finding.line, width, initial_indent="    ", subsequent_indent=" " * 8
        )
    if finding.then:
        then = f"It is right if something holds elsewhere: {finding.then}."
        lines += textwrap.wrap(then, width, initial_indent="  ", subsequent_indent="  ")
    if finding.textbook and not finding.then:
        lines.append(f"  right is, from numpy_impl.textbook.{finding.textbook}:")
        lines += [f"    {line}" for line in right_lines(finding.textbook)]
    return lines


def right_lines(name: str) -> list[str]:
    """The textbook's code of a function, without its signature and docstring."""
    from numpy_impl import textbook  # here: most answers do without it

    source = textwrap.dedent(inspect.getsource(getattr(textbook, name)))
    body = source.split('"""')[2] if '"""' in source else source.split(":\n", 1)[1]
    return [line for line in textwrap.dedent(body).splitlines() if line.strip()]


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Everything but the pictures' numbers."""
    return json.dumps([_plain(verdict) for verdict in verdicts], indent=1)


def _plain(verdict: Verdict) -> dict[str, Any]:
    findings = [
        {
            key: value if not isinstance(value, float) or math.isfinite(value) else None
            for key, value in vars(finding).items()
            if key != "heat"
        }
        for finding in verdict.findings
    ]
    return {
        "name": verdict.name,
        "like": verdict.like,
        "style": verdict.style,
        "verdict": verdict.verdict,
        "conventions": list(verdict.conventions),
        "findings": findings,
        "skeleton": verdict.skeleton,
    }


def as_html(verdicts: Sequence[Verdict], whole: bool = True) -> str:
    """A page with maps of where the errors sit; not ``whole``: the part for a notebook's cell."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("verdicts.html" if whole else "cell.html")
    return template.render(
        verdicts=verdicts,
        size=size,
        right_lines=right_lines,
        picture=picture,
        RIGHT=RIGHT,
        HOW_TO_ADAPT=HOW_TO_ADAPT,
    )


def picture(heat: Any) -> str:
    """A map of errors as a data address: the last axis to the right, the others downwards.

    Of (N, C, H, W) a row of images for each sample, one for each channel.
    """
    from matplotlib.image import imsave

    heat = np.asarray(heat, float)
    heat = np.where(np.isfinite(heat), heat, np.nanmax(heat[np.isfinite(heat)], initial=1.0))
    if heat.ndim == 4:
        apart = np.pad(heat, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
        flat = np.concatenate([np.concatenate(list(one), axis=1) for one in apart])
    else:
        flat = heat.reshape(-1, heat.shape[-1] if heat.ndim else 1)
    flat = flat[:200]
    pixels = max(1, min(16, 640 // max(flat.shape)))
    enlarged = np.kron(flat, np.ones((pixels, pixels)))
    content = io.BytesIO()
    imsave(content, enlarged, cmap="magma", vmin=0, vmax=np.nanmax(flat), format="png")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
