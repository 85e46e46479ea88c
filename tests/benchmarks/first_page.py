"""Draw the first page's table of real speech as bars, a panel a corpus: the page's figure.

    python tests/benchmarks/first_page.py        writes egs/an4/asr_kd1/wer_by_recipe.svg

The numbers are read from README.md, and nothing is measured here.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape

REPO = Path(__file__).resolve().parents[2]
PAGE = REPO / "README.md"
FIGURE = REPO / "egs" / "an4" / "asr_kd1" / "wer_by_recipe.svg"
CELL = r"\| *\**(?P<{}>[\d.]+)\** *"
ROW = re.compile(
    r"^\| *(?P<start>[^|]*?) *\| *(?P<learns>[^|]*?) *"
    + "".join(map(CELL.format, ("audio", "audio_greedy", "quarter", "quarter_greedy")))
    + r"\|$",
    re.MULTILINE,
)
# What each row of the table is called in the figure, by its first two columns.
TITLES = {
    ("random", "transcripts"): "student alone",
    ("random", "transcripts and teacher"): "the teacher beside it",
    ("teacher", "transcripts"): "the teacher's parameters",
    ("teacher", "transcripts and teacher (`recommended`)"): "both: recommended",
    ("(the teacher)", ""): "(teacher, four times the size)",
}
PANELS = (
    "AN4 from audio: WER in percent, by the beam",
    "With a quarter of the transcripts",
)
WIDTH, LEFT, STEP, BAR = 640, 220, 28, 18
COLOURS = {"both: recommended": "#1b7837", "(teacher, four times the size)": "#b0b0b0"}
Row = tuple[str, float]


def read_rows(page: str) -> tuple[list[Row], list[Row]]:
    """Titles and word error rates by the beam, one list a panel, in the table's order."""
    found = [(TITLES[m["start"], m["learns"]], m) for m in ROW.finditer(page)]
    audio, quarter = (
        [(title, float(m[column])) for title, m in found] for column in ("audio", "quarter")
    )
    return audio, quarter


def panel_lines(heading: str, rows: list[Row], top: int) -> list[str]:
    """One panel's lines of SVG from ``top`` down, its worst row over the whole width."""
    scale = (WIDTH - LEFT - 60) / max(wer for _, wer in rows)
    lines = [f'<text x="8" y="{top + 18}">{escape(heading)}</text>']
    for place, (title, wer) in enumerate(rows):
        bar, width = top + 30 + STEP * place, round(wer * scale, 1)
        colour = COLOURS.get(title, "#7b9cc4")
        middle = bar + BAR - 4
        lines += [
            f'<text x="{LEFT - 8}" y="{middle}" text-anchor="end">{escape(title)}</text>',
            f'<rect x="{LEFT}" y="{bar}" width="{width}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + width + 6:g}" y="{middle}">{wer}</text>',
        ]
    return lines


def draw(panels: tuple[list[Row], ...]) -> str:
    """Draw the panels one below the other, as an SVG of bars."""
    tall = [STEP * len(rows) + 34 for rows in panels]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{sum(tall)}" '
        f'viewBox="0 0 {WIDTH} {sum(tall)}" font-family="sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{sum(tall)}" fill="#ffffff"/>',
    ]
    for place, (heading, rows) in enumerate(zip(PANELS, panels, strict=True)):
        lines += panel_lines(heading, rows, sum(tall[:place]))
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write the figure."""
    FIGURE.write_text(draw(read_rows(PAGE.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main()
