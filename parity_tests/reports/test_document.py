"""Blocks in Markdown, HTML and CSV, and what the eye sees in a picture."""

import io

import numpy as np

from reports import figures
from reports.document import (
    Code,
    Contents,
    Figure,
    Heading,
    Paragraph,
    Table,
    csv_text,
    html_page,
    markdown,
)

PICTURE = figures._png(figures.plt.figure(figsize=(1, 1)))


def test_blocks_in_both_languages(tmp_path) -> None:
    blocks = [
        Heading("A & B"),
        Paragraph("**bold**, `x < 1`"),
        Code("a < b"),
        Table("t", ["a|b", "share"], [["1|2", "50.0%"]], frozenset({"share"})),
        Figure(tmp_path / "figures" / "f.png", "What it shows", PICTURE),
    ]
    text, page = markdown(blocks, tmp_path), html_page(blocks, "T & U")
    assert "| 1\\|2 | 50.0% |" in text
    assert "![What it shows](figures/f.png)" in text
    assert "<h2 id='a--b'>A &amp; B</h2>" in page
    assert "<strong>bold</strong>, <code>x &lt; 1</code>" in page
    assert "width:50.0%" in page
    assert csv_text(blocks[3]) == "a|b,share\n1|2,50.0%\n"


def test_contents_lead_to_the_headings_in_both_languages(tmp_path) -> None:
    headings = [Heading("The lab's “table”, again"), Heading("Every part", 3)]
    blocks = [Contents(headings), *headings]
    assert markdown(blocks, tmp_path).splitlines()[:2] == [
        "- [The lab's “table”, again](#the-labs-table-again)",
        "  - [Every part](#every-part)",
    ]
    page = html_page(blocks, "T")
    for name, level in (("the-labs-table-again", 2), ("every-part", 3)):
        assert f"<li class='level{level}'><a href='#{name}'>" in page
        assert f"<h{level} id='{name}'>" in page


def test_a_folded_table_has_a_line_to_open_and_the_same_cells(tmp_path) -> None:
    folded = Table("t", ["a", "b"], [["1", "2"]], fold="2 < 3 columns")
    text, page = markdown([folded], tmp_path), html_page([folded], "T")
    assert text == (
        "<details><summary>2 &lt; 3 columns</summary>\n\n"
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n\n</details>\n"
    )
    assert "<details><summary>2 &lt; 3 columns</summary>\n<table>" in page
    assert "</table>\n</details>" in page
    plain = Table("t", ["a", "b"], [["1", "2"]])
    assert "<details>" not in markdown([plain], tmp_path) + html_page([plain], "T")
    assert csv_text(folded) == csv_text(plain)


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
