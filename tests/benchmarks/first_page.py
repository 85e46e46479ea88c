"""Draw the first page's table of real speech as bars: the figure that the page shows.

    python tests/benchmarks/first_page.py        writes egs/an4/asr_kd1/wer_by_recipe.svg

The numbers are read from README.md, and nothing is measured here.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "README.md"
FIGURE = REPO / "egs" / "an4" / "asr_kd1" / "wer_by_recipe.svg"
ROW = re.compile(
    r"^\| *(?P<start>[^|]*?) *\| *(?P<learns>[^|]*?) *\| \**(?P<beam>[\d.]+)\** \| "
    r"\**[\d.]+\** \|$",
    re.MULTILINE,
)
# What each row of the table is called in the figure, by its first two columns.
TITLES = {
    ("random", "transcripts"): "student alone",
    ("random", "transcripts and teacher"): "the teacher beside it",
    ("teacher", "transcripts"): "the teacher's parameters",
    ("teacher", "transcripts and teacher (`recommended`)"): "both: recommended",
    ("(the teacher, all transcripts)", ""): "(teacher, four times the size)",
}
WIDTH, LEFT, STEP, BAR = 640, 220, 28, 18
COLOURS = {"both: recommended": "#1b7837", "(teacher, four times the size)": "#b0b0b0"}


def read_rows(page: str) -> list[tuple[str, float]]:
    """Titles and word error rates by the beam, in the table's order."""
    return [(TITLES[m["start"], m["learns"]], float(m["beam"])) for m in ROW.finditer(page)]


def draw(rows: list[tuple[str, float]]) -> str:
    """Draw the rows as an SVG of bars, the worst over the whole width."""
    scale = (WIDTH - LEFT - 60) / max(wer for _, wer in rows)
    height = STEP * len(rows) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<text x="8" y="18">AN4, a quarter of the transcripts: WER in percent</text>',
    ]
    for place, (title, wer) in enumerate(rows):
        top, width = 30 + STEP * place, round(wer * scale, 1)
        colour = COLOURS.get(title, "#7b9cc4")
        middle = top + BAR - 4
        lines += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(title)}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{width}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6:g}" y="{middle}">{wer}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write the figure."""
    FIGURE.write_text(draw(read_rows(PAGE.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
