"""The first page's figure shows the first page's table."""

import re

from first_page import FIGURE, PAGE, draw, read_rows

TITLES = (
    "student alone",
    "the teacher beside it",
    "the teacher's parameters",
    "both: recommended",
    "(teacher, four times the size)",
)
AUDIO = list(zip(TITLES, (20.2, 12.8, 8.8, 7.7, 5.2), strict=True))
QUARTER = list(zip(TITLES, (57.3, 30.5, 25.1, 20.7, 15.9), strict=True))


def test_the_figure_is_of_the_page_as_it_is():
    page = PAGE.read_text(encoding="utf-8")
    assert FIGURE.read_text(encoding="utf-8") == draw(read_rows(page))
    assert f"]({FIGURE.relative_to(PAGE.parent)})" in page


def test_every_row_is_read_and_its_bar_is_as_long_as_its_number():
    panels = read_rows(PAGE.read_text(encoding="utf-8"))
    assert panels == (AUDIO, QUARTER)
    widths = re.findall(r'x="220" y="\d+" width="([\d.]+)"', draw(panels))
    assert [float(width) for width in widths] == [
        round(360 * wer / rows[0][1], 1) for rows in (AUDIO, QUARTER) for _, wer in rows
    ]
