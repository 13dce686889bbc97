"""Verdicts as text for a terminal, as a page, as JSON."""

import base64
import inspect
import io
import json
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from numpy_impl import textbook
from torch_ref.checking.verdict import RIGHT, Finding, Verdict

_WIDTH = 100
_TEMPLATES = Path(__file__).parent / "templates"


def as_text(verdicts: Sequence[Verdict]) -> str:
    """One screen for each component, and a line for each where there are several."""
    blocks = [_block(verdict) for verdict in verdicts]
    if len(verdicts) > 1:
        width = max(len(verdict.name) for verdict in verdicts)
        lines = [f"{v.name:<{width}}  {v.verdict:<22} {', '.join(v.keys)}" for v in verdicts]
        blocks.append("\n".join(line.rstrip() for line in lines))
    return "\n\n".join(blocks)


def _block(verdict: Verdict) -> str:
    beside = f" beside PyTorch's {verdict.like}" if verdict.like else ""
    lines = [f"{verdict.name}{beside}: {verdict.verdict}"]
    if verdict.style:
        lines.append(f"read as {verdict.style}")
    lines += [f"found: {convention}" for convention in verdict.conventions]
    rows = [("part", "verdict", "worst error", "where")]
    rows += [(f.part, f.verdict, _size(f.error), f.where) for f in verdict.findings]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines.append("")
    for row in rows:
        cells = [f"  {cell:<{width}}" for cell, width in zip(row, widths, strict=False)]
        lines.append(("".join(cells) + f"  {row[3]}").rstrip())
    for finding in verdict.findings:
        if finding.verdict != RIGHT:
            lines += ["", *_said(finding)]
    return "\n".join(lines)


def _size(error: float) -> str:
    if not error:
        return ""
    return f"{error:.1e}" if math.isfinite(error) else "infinite"


def _said(finding: Finding) -> list[str]:
    lines = textwrap.wrap(f"{finding.part}: {finding.says}", _WIDTH, subsequent_indent="  ")
    if finding.line:
        lines.append(f"    {finding.line}")
    if finding.then:
        then = f"It is right if something holds elsewhere: {finding.then}."
        lines += textwrap.wrap(then, _WIDTH, initial_indent="  ", subsequent_indent="  ")
    if finding.textbook and not finding.then:
        lines.append(f"  right is, from numpy_impl.textbook.{finding.textbook}:")
        lines += [f"      {line}" for line in right_lines(finding.textbook)]
    return lines


def right_lines(name: str) -> list[str]:
    """The textbook's code of a function, without its signature and docstring."""
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
    }


def as_html(verdicts: Sequence[Verdict], whole: bool = True) -> str:
    """A page with maps of where the errors sit; not ``whole``: the part for a notebook's cell."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("verdicts.html" if whole else "cell.html")
    return template.render(
        verdicts=verdicts, size=_size, right_lines=right_lines, picture=picture, RIGHT=RIGHT
    )


def picture(heat: Any) -> str:
    """A map of errors, the first axes downwards and the last to the right, as a data address."""
    from matplotlib.image import imsave

    flat = np.asarray(heat, float).reshape(-1, np.shape(heat)[-1] if np.ndim(heat) else 1)
    flat = np.where(np.isfinite(flat), flat, np.nanmax(flat[np.isfinite(flat)], initial=1.0))
    content = io.BytesIO()
    imsave(content, flat[:200], cmap="magma", vmin=0, format="png")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
