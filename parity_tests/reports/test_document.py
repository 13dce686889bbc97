"""Blocks in Markdown, HTML and CSV, what templates may hold, and what the eye sees in a picture."""

import io
import re
from html.parser import HTMLParser
from textwrap import dedent

import jinja2
import numpy as np
import pytest

from reports import figures
from reports.document import TEMPLATES, Content, Figure, Table, environment

PICTURE = figures._png(figures.plt.figure(figsize=(1, 1)))
LANGUAGES = ("markdown", "html")


def page(language: str, text: str, **values) -> str:
    """A template of these lines in one language; ``doc`` has its blocks."""
    text = '{% import language ~ ".j2" as doc with context %}\n' + dedent(text)
    text = environment(language).from_string(text).render(values, headings=[])
    return re.sub(r"\n{3,}", "\n\n", text)  # as a whole page has it


def both(text: str, **values) -> tuple[str, str]:
    return page("markdown", text, **values), page("html", text, **values)


def test_blocks_in_both_languages() -> None:
    table = Table("t", ["a|b", "share"], [["1|2%", "50.0%"]], frozenset({"share"}))
    text, html = both(
        """
        {{ doc.heading(title) }}
        {% call doc.p() %}
        **bold**,
        {{ marked }}
        {% endcall %}
        {{ doc.code("a < b") }}
        {{ doc.table(table) }}
        {% call(figure) doc.figures(pictures) %}What {{ figure.of }} shows{% endcall %}""",
        title="A & B",
        marked="`x < 1`",
        table=table,
        pictures=[Figure("f.png", PICTURE, "it")],
    )
    assert "## A & B\n" in text
    assert "\n**bold**, `x < 1`\n\n```\na < b\n```\n\n| a\\|b | share |\n| --- | --- |\n" in text
    assert "\n| 1\\|2% | 50.0% |\n\n" in text
    assert "![What it shows](figures/f.png)\n\n*What it shows*" in text
    assert "<h2 id='a--b'>A &amp; B</h2>" in html
    assert "<p><strong>bold</strong>, <code>x &lt; 1</code></p>" in html
    assert "<pre>a &lt; b</pre>" in html
    assert "width:50.0%" in html
    assert html.count("class='bar'") == 1  # of the column that is named
    assert "<figcaption>What it shows</figcaption>" in html
    assert table.csv() == "a|b,share\n1|2%,50.0%\n"


def test_contents_lead_to_the_headings_in_both_languages() -> None:
    text, html = both(
        """
        {% set body %}
        {{ doc.heading("The title", 1) }}
        {{ doc.heading("The lab's “table”, again") }}
        {{ doc.heading("Every part", 3) }}
        {% endset %}
        {{ doc.contents() }}
        {{ body }}"""
    )
    assert text.strip().splitlines()[:2] == [
        "- [The lab's “table”, again](#the-labs-table-again)",
        "  - [Every part](#every-part)",
    ]
    for name, level in (("the-labs-table-again", 2), ("every-part", 3)):
        assert f"<li class='level{level}'><a href='#{name}'>" in html
        assert f"<h{level} id='{name}'>" in html
    assert html.count("<li") == 2


def test_a_folded_table_has_a_line_to_open_and_the_same_cells() -> None:
    folded = Table("t", ["a", "b"], [["1", "2"]], fold="2 < 3 columns")
    text, html = both("{{ doc.table(it) }}", it=folded)
    assert text.strip() == (
        "<details><summary>2 &lt; 3 columns</summary>\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n</details>"
    )
    assert "<details><summary>2 &lt; 3 columns</summary>\n<table>" in html
    assert "</table>\n</details>" in html
    plain = Table("t", ["a", "b"], [["1", "2"]])
    assert "<details>" not in "".join(both("{{ doc.table(it) }}", it=plain))
    assert folded.csv() == plain.csv()


class Read(HTMLParser):
    """A page's tags, values of attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str | None] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [value for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_value_can_be_taken_for_html() -> None:
    """Wherever a block puts a value, it is read back as it was."""
    evil = "<i x='1\" y=2>&amp;"
    template = """
        {{ doc.heading(evil) }} {{ doc.contents() }} {{ doc.code(evil) }} {{ doc.table(table) }}
        {% call doc.p() %}{{ evil }}{% endcall %}
        {% call(figure) doc.figures(pictures) %}It's {{ figure.of }}{% endcall %}"""
    values = {
        "evil": evil,
        "table": Table("t", [evil], [[evil]], fold=evil),
        "pictures": [Figure("f.png", PICTURE, evil)],
    }
    found = Read(page("html", template, **values))
    assert "i" not in found.tags
    assert found.text.count(evil) == 8
    assert found.text.count(f"It's {evil}") == 1
    assert found.attributes.count(evil) == 1  # the label of the cell
    assert found.attributes.count(f"It's {evil}") == 1  # what the picture shows


def test_a_value_that_is_missing_is_an_error() -> None:
    for language in LANGUAGES:
        with pytest.raises(jinja2.UndefinedError, match="'nothing' is undefined"):
            page(language, "{% call doc.p() %}{{ nothing }}{% endcall %}")
    with pytest.raises(jinja2.UndefinedError, match="no attribute 'accuracy'"):
        Content(values={"agreement": ""}).markdown("readme.j2")


def test_a_row_is_as_long_as_the_header() -> None:
    with pytest.raises(ValueError, match=r"t: a row must have 2 cells, got \['1'\]"):
        Table("t", ["a", "b"], [["1", "2"], ["1"]])


def test_both_languages_have_the_same_blocks() -> None:
    modules = [environment(name).get_template(f"{name}.j2").module for name in LANGUAGES]
    markdown, html = ({name for name in vars(of) if not name.startswith("_")} for of in modules)
    assert markdown == html == {"heading", "contents", "p", "code", "table", "figures"}


def test_prose_is_the_same_text_in_both_languages() -> None:
    """Values are escaped, a template's own text is not: it must need no escape."""
    pages = [path for path in TEMPLATES.glob("*.j2") if path.name not in ("html.j2", "markdown.j2")]
    prose = [path for path in pages if not path.name.endswith(".html.j2")]
    assert len(prose) >= 5
    for path in prose:
        text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.DOTALL)
        assert not re.findall("[<&].*", text), path.name


def coloured(counts: np.ndarray, most: int) -> float:
    """The share of a confusion matrix's pixels that are neither white nor grey nor black."""
    pixels = figures.plt.imread(io.BytesIO(figures.confusion("T", counts, most)))[..., :3]
    return float((np.ptp(pixels, axis=-1) > 0.1).mean())


def test_in_a_confusion_matrix_the_errors_alone_are_coloured() -> None:
    right = np.diag(np.arange(900, 1000, 10))
    assert coloured(right, 1) == 0
    one, ten = right.copy(), right.copy()
    one[2, 7] = 1
    ten[range(9), range(1, 10)] = 1
    ten[9, 0] = 30
    cell = coloured(one, 30)
    assert 0.003 < cell < 0.01  # a cell of a hundred, seen though it is the least error
    assert 9 * cell < coloured(ten, 30) < 11 * cell
    assert figures.errors_alone(ten).sum() == 39
