"""A report's content, held once; Jinja templates make Markdown and HTML of it, csv the tables."""

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from experiments.checkpoint import write_atomically

TEMPLATES = Path(__file__).resolve().parent / "templates"


@dataclass(frozen=True)
class Table:
    """Rows of strings below a header; ``bars`` names columns of percentages drawn as bars.

    ``name`` is that of the CSV file with the same cells. A long table is folded away below the
    line ``fold``, which a click opens.

    Raises:
        ValueError: for a row that is not as long as the header.
    """

    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: frozenset[str] = frozenset()
    fold: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(
                    f"{self.name}: a row must have {len(self.header)} cells, got {list(row)}"
                )

    def records(self) -> list[dict[str, str]]:
        """Each row's cells by the names of their columns."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]

    def csv(self) -> str:
        """The cells as CSV, without the marks of Markdown."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(
            [[cell.replace("`", "").replace("**", "") for cell in row] for row in self.rows]
        )
        return buffer.getvalue()


@dataclass(frozen=True)
class Figure:
    """A picture, the PNG's bytes; ``name`` is its file's. A template captions what it is ``of``."""

    name: str
    png: bytes
    of: str = ""

    def base64(self) -> str:
        return base64.b64encode(self.png).decode()


@dataclass(frozen=True)
class Content:
    """All that the pages say besides the templates' prose: figures by section, tables, values."""

    tables: Sequence[Table] = ()
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def markdown(self, template: str) -> str:
        """The template's page, pictures by their path beside it."""
        return self._page("markdown", template)

    def html(self, template: str) -> str:
        """The template's page, one file that needs no other: no script, no network."""
        return self._page("html", template)

    def _page(self, language: str, template: str) -> str:
        text = (
            environment(language)
            .get_template(template)
            .render(
                self.values,
                tables={table.name: table for table in self.tables},
                figures=self.figures,
                headings=[],  # the vocabulary's macros note theirs, for the contents
            )
        )
        # blocks stand apart by one blank line, however many statements were between them
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    def pictures(self) -> dict[str, bytes]:
        """The PNG of every figure by its file's name."""
        return {figure.name: figure.png for part in self.figures.values() for figure in part}

    def write(self, folder: Path) -> None:
        """Every table as CSV, and the pictures, in a folder of their own."""
        (folder / "figures").mkdir(exist_ok=True)
        for name, png in self.pictures().items():
            write_atomically(folder / "figures" / name, png)
        for table in self.tables:
            write_atomically(folder / f"{table.name}.csv", table.csv().encode())


def environment(language: str) -> jinja2.Environment:
    """What renders a template whose blocks are the macros of ``language``.j2: markdown or html."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=language == "html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.do"],
    )
    found.globals["language"] = language
    found.filters |= {"anchor": anchor, "inline": inline, "one_line": one_line}
    return found


def anchor(heading: str) -> str:
    """The name that GitHub and GitLab give a heading's place in the page."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def inline(text: str) -> Markup:
    """Text as HTML, Markdown's ``code`` and **bold** with it."""
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", escaped))


def one_line(text: str) -> str:
    """A template's wrapped lines as one; what was escaped already stays so."""
    return type(text)(" ").join(text.split())
