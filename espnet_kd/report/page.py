"""The report as one file for a browser, which needs nothing beside it."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from espnet_kd.report.section import Section

TEMPLATE = "page.html.j2"


def page(
    title: str, sections: Sequence[Section], environment: Sequence[str], note: str = ""
) -> str:
    """Render a report as HTML.

    Args:
        title: Title of the page.
        sections: The sections in order; figures are put in as they are, all else is
            escaped.
        environment: What the results depend on, a line each.
        note: A warning above everything.
    """
    jinja = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html: str = jinja.get_template(TEMPLATE).render(
        title=title, sections=sections, environment=environment, note=note
    )
    return html
