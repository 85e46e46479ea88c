"""One finding of a report: what RESULTS.md and the page both show."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A table, and a figure of the same numbers.

    Attributes:
        title: Heading of the section.
        head: Headings of the table's columns.
        rows: Cells of the table, as text.
        strong: Index of the column that is printed bold; None for none.
        figure: An SVG, or nothing.
        text: A remark below the table.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: int | None = None
    figure: str = ""
    text: str = ""


def markdown(section: Section) -> str:
    """Write a section for RESULTS.md; the figure is on the page only."""
    lines = [f"#### {section.title}\n"]
    if section.rows:
        lines += [_line(section.head), "|---" * len(section.head) + "|"]
        lines += [_line(_emphasised(row, section.strong)) for row in section.rows]
    if section.text:
        lines.append(f"\n{section.text}" if section.rows else section.text)
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _emphasised(cells: Sequence[str], strong: int | None) -> list[str]:
    return [f"**{c}**" if i == strong else c for i, c in enumerate(cells)]
