"""The parts that models play in a report: their titles, order and colours.

A role is ``teacher``, ``control`` (the student alone), ``parameters`` (the student, started
from the teacher's parameters and then alone) or ``distilled``; ``distilled:NAME`` for
students that learned otherwise from the same teacher and are told apart by NAME.
"""

from collections.abc import Iterable
from itertools import chain, repeat

TITLES = {
    "teacher": "teacher",
    "control": "student, alone",
    "parameters": "student, teacher's parameters",
    "distilled": "student, distilled",
}
DISTILLED = "distilled"
COLOURS = {
    "teacher": "#333333",
    "control": "#c0504d",
    "parameters": "#e6a03c",
    "distilled": "#1f77b4",
}
# Colours of further students, in order; the last serves all that are left.
FURTHER = ("#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17a2b8", "#777777")


def is_role(text: str) -> bool:
    """Whether a text names a role."""
    kind, separator, name = text.partition(":")
    return bool(name) and kind == DISTILLED if separator else kind in TITLES


def has_of_teacher(role: str) -> bool:
    """Whether a student of this role has anything of the teacher."""
    return _kind(role) not in ("teacher", "control")


def title_of(role: str) -> str:
    """Give the role's name for a reader."""
    kind, _, name = role.partition(":")
    return f"{TITLES[kind]} ({name})" if name else TITLES[kind]


def in_order(roles: Iterable[str]) -> list[str]:
    """Sort distinct roles: teacher, control, parameters, named students, ``distilled``."""
    kinds = [*TITLES]
    ranks = {role: kinds.index(_kind(role)) for role in roles}
    return sorted(ranks, key=lambda role: (ranks[role], role == DISTILLED))


def colours_of(roles: Iterable[str]) -> dict[str, str]:
    """Give each role a colour, in order; the same roles get the same colours."""
    further = chain(FURTHER, repeat(FURTHER[-1]))
    return {role: COLOURS.get(role) or next(further) for role in in_order(roles)}


def _kind(role: str) -> str:
    return role.partition(":")[0]
