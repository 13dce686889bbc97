"""What check.py's documentation shows is so; else: python -m parity_tests.checking.gallery"""

import re

from parity_tests.checking import gallery


def test_the_gallerys_table_is_up_to_date():
    assert gallery.PAGE.read_text(encoding="utf-8") == gallery.table()


def without_rounding(text: str) -> str:
    """Errors of rounding differ from machine to machine."""
    return re.sub(r" +\n", "\n", re.sub(r"\b\d\.\de-1[4-9]\b *", "", text))


def test_outputs_are_real():
    page = gallery.HOW_TO.read_text(encoding="utf-8")
    assert page.count("$ python check.py") == 3
    now = without_rounding(gallery.with_outputs(page))
    assert re.sub(r"  +", " ", now) == re.sub(r"  +", " ", without_rounding(page))
