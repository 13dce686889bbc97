"""A report as a list of blocks, written as Markdown and as one HTML file from the same values."""

import base64
import csv
import html
import io
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Heading:
    text: str
    level: int = 2


@dataclass(frozen=True)
class Contents:
    """Links to the headings, those of a third level below those of the second."""

    headings: Sequence[Heading]


@dataclass(frozen=True)
class Paragraph:
    """Text; ``code`` and **bold** as in Markdown."""

    text: str


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Table:
    """Rows of strings below a header; ``bars`` names columns of percentages drawn as bars.

    ``name`` is that of the CSV file with the same cells. A long table is folded away below the
    line ``fold``, which a click opens.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: frozenset[str] = frozenset()
    fold: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture, the PNG's bytes, beside the report at ``path``; the caption describes it."""

    path: Path
    caption: str
    content: bytes


Block = Heading | Contents | Paragraph | Code | Table | Figure


def anchor(heading: str) -> str:
    """The name that GitHub and GitLab give a heading's place in the page."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def markdown(blocks: Sequence[Block], folder: Path) -> str:
    """The report as Markdown, pictures by their path relative to ``folder``."""
    return "\n\n".join(_markdown(block, folder) for block in blocks) + "\n"


def _markdown(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return "#" * level + " " + text
        case Contents(headings):
            return "\n".join(
                f"{'  ' * (h.level - 2)}- [{h.text}](#{anchor(h.text)})" for h in headings
            )
        case Paragraph(text):
            return text
        case Code(text):
            return f"```\n{text}\n```"
        case Figure(path, caption, _):
            return f"![{caption}]({path.relative_to(folder).as_posix()})\n\n*{caption}*"
        case Table(_, header, rows, _, fold):
            lines = [list(header), ["---"] * len(header), *[list(row) for row in rows]]
            text = "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                for line in lines
            )
            # GitHub and GitLab fold it too, and read the table if blank lines stand around it
            return (
                f"<details><summary>{_inline(fold)}</summary>\n\n{text}\n\n</details>"
                if fold
                else text
            )


def csv_text(table: Table) -> str:
    """The table's cells as CSV, without the marks of Markdown."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.header)
    writer.writerows(
        [[cell.replace("`", "").replace("**", "") for cell in row] for row in table.rows]
    )
    return buffer.getvalue()


_STYLE = """
:root { color-scheme: light; --ink: #1b1f24; --line: #d0d7de; --blue: #0072b2; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1160px; padding: 16px 20px 60px; color: var(--ink);
  background: #fff; font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { line-height: 1.2; } h2 { margin-top: 2.2em; border-bottom: 1px solid var(--line); }
code, pre { font-family: ui-monospace, Consolas, monospace; font-size: .88em;
  background: #f3f5f7; border-radius: 4px; overflow-wrap: anywhere; }
code { padding: 1px 4px; } pre { padding: 10px; white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; font-size: .86em; margin: 1em 0; }
th, td { border-bottom: 1px solid var(--line); padding: 5px 8px; text-align: left;
  vertical-align: top; overflow-wrap: break-word; }
th { border-bottom: 2px solid var(--ink); }
tbody tr:hover { background: #f6f8fa; }
.figures { display: grid; gap: 1.2em 1.6em; margin: 1.4em 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .9em; color: #57606a; margin-top: 4px; }
nav ul { list-style: none; margin: 1.4em 0; padding: 10px 16px; columns: 2 320px;
  border: 1px solid var(--line); border-radius: 6px; }
nav li { padding: 2px 0; break-inside: avoid; } nav .level3 { padding-left: 1.4em; }
a { color: #0969da; }
details { margin: 1em 0; border: 1px solid var(--line); border-radius: 6px; padding: 0 12px; }
summary { cursor: pointer; padding: 8px 0; font-weight: 600; }
.bar { display: block; height: 6px; min-width: 60px; background: #e6eaee; border-radius: 3px; }
.bar i { display: block; height: 6px; background: var(--blue); border-radius: 3px; }
@media (max-width: 760px) {
  body { padding: 10px 12px 40px; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  tr { border: 1px solid var(--line); border-radius: 6px; margin: 10px 0; padding: 4px 0; }
  td { border: 0; overflow-wrap: anywhere; padding: 3px 10px;
    display: grid; grid-template-columns: 42% 1fr; gap: 8px; }
  td::before { content: attr(data-label); color: #57606a; }
}
"""


def html_page(blocks: Sequence[Block], title: str) -> str:
    """The report as one file that needs no other: pictures inside, no script, no network."""
    parts = []
    # figures that follow each other stand side by side where there is room
    for together, group in itertools.groupby(blocks, lambda block: isinstance(block, Figure)):
        text = "\n".join(_html(block) for block in group)
        parts.append(f"<div class='figures'>\n{text}\n</div>" if together else text)
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _inline(text: str) -> str:
    escaped = html.escape(text, quote=False)
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped)


def _cell(label: str, text: str, bar: bool) -> str:
    drawn = ""
    if bar and text.endswith("%"):
        width = min(100.0, float(text.rstrip("%")))
        drawn = f"<span class='bar'><i style='width:{width:.1f}%'></i></span>"
    # one element, so that the narrow layout's grid has two columns
    return f"<td data-label='{html.escape(label)}'><span>{_inline(text)}{drawn}</span></td>"


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level} id='{anchor(text)}'>{_inline(text)}</h{level}>"
        case Contents(headings):
            links = "\n".join(
                f"<li class='level{h.level}'><a href='#{anchor(h.text)}'>{_inline(h.text)}</a></li>"
                for h in headings
            )
            return f"<nav aria-label='Contents'><ul>\n{links}\n</ul></nav>"
        case Paragraph(text):
            return f"<p>{_inline(text)}</p>"
        case Code(text):
            return f"<pre>{html.escape(text)}</pre>"
        case Figure(_, caption, content):
            data = base64.b64encode(content).decode()
            alt = html.escape(caption)
            return (
                f"<figure><img alt='{alt}' src='data:image/png;base64,{data}'>"
                f"<figcaption>{_inline(caption)}</figcaption></figure>"
            )
        case Table(_, header, rows, bars, fold):
            head = "".join(f"<th>{_inline(cell)}</th>" for cell in header)
            lines = []
            for row in rows:
                cells = zip(header, row, strict=True)
                lines.append(
                    "<tr>"
                    + "".join(_cell(name, text, name in bars) for name, text in cells)
                    + "</tr>"
                )
            joined = "\n".join(lines)
            text = f"<table><thead><tr>{head}</tr></thead><tbody>\n{joined}\n</tbody></table>"
            if not fold:
                return text
            return f"<details><summary>{_inline(fold)}</summary>\n{text}\n</details>"
