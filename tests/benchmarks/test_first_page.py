"""The first page's figure shows the first page's table."""

import re

from first_page import FIGURE, PAGE, draw, read_rows

ROWS = [
    ("student alone", 57.3),
    ("the teacher beside it", 30.5),
    ("the teacher's parameters", 25.1),
    ("both: recommended", 20.7),
    ("(teacher, four times the size)", 15.9),
]


def test_the_figure_is_of_the_page_as_it_is():
    page = PAGE.read_text(encoding="utf-8")
    assert FIGURE.read_text(encoding="utf-8") == draw(read_rows(page))
    assert f"]({FIGURE.relative_to(PAGE.parent)})" in page


def test_every_row_is_read_and_its_bar_is_as_long_as_its_number():
    rows = read_rows(PAGE.read_text(encoding="utf-8"))
    assert rows == ROWS
    widths = re.findall(r'x="220" y="\d+" width="([\d.]+)"', draw(rows))
    assert [float(width) for width in widths] == [
        round(360 * wer / 57.3, 1) for _, wer in ROWS
    ]
