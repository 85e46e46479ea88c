"""The parts that models play in a report: their titles, order and colours.

A role is ``teacher``, ``control`` or ``distilled``; ``distilled:NAME`` for students that
had other things of the same teacher, by which they are told apart.
"""

from collections.abc import Iterable

TITLES = {
    "teacher": "teacher",
    "control": "student, alone",
    "distilled": "student, distilled",
}
DISTILLED = "distilled"
COLOURS = {"teacher": "#333333", "control": "#c0504d", "distilled": "#1f77b4"}
# Of further students, in order; the last serves all that are left.
FURTHER = ("#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17a2b8", "#777777")


def is_role(text: str) -> bool:
    """Whether a text names a role."""
    kind, separator, name = text.partition(":")
    return (
        kind in TITLES and bool(name) == bool(separator) and (kind == DISTILLED or not name)
    )


def is_distilled(role: str) -> bool:
    """Whether a model of this role had something of the teacher."""
    return role.partition(":")[0] == DISTILLED


def title_of(role: str) -> str:
    """What a reader calls it."""
    kind, _, name = role.partition(":")
    return f"{TITLES[kind]} ({name})" if name else TITLES[kind]


def in_order(roles: Iterable[str]) -> list[str]:
    """Each once: teacher, control, other students as they came, the run's own last."""
    kinds = [*TITLES]
    ranks = {role: kinds.index(role.partition(":")[0]) for role in roles}
    return sorted(ranks, key=lambda role: (ranks[role], role == DISTILLED))


def colours_of(roles: Iterable[str]) -> dict[str, str]:
    """A colour for each, in order; the same roles, the same colours."""
    ordered = in_order(roles)
    further = [role for role in ordered if role not in COLOURS]
    ranks = {role: min(i, len(FURTHER) - 1) for i, role in enumerate(further)}
    return {role: COLOURS.get(role) or FURTHER[ranks[role]] for role in ordered}
