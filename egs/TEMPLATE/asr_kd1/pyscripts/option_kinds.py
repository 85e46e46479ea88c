"""Kinds of values that a recipe's option may have, each with the sentence that refuses.

Only the standard library is imported, and Python 3.7 is enough: options are read before
the recipe's environment is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """What values of one kind look like.

    Attributes:
        shown: The value as ``--help`` writes it: ``N``.
        problem: Gives what is wrong with a value, or an empty string.
    """

    shown: str
    problem: Callable[[str], str]


def whole(at_least: int = 1) -> Kind:
    """A whole number in digits, of no more than the shell can compare."""

    def problem(value: str) -> str:
        if not re.fullmatch("0|[1-9][0-9]*", value) or int(value) < at_least:
            return f"must be a whole number of at least {at_least}, got '{value}'"
        return f"must have at most nine digits, got '{value}'" if len(value) > 9 else ""

    return Kind("N", problem)


def number(*, zero: bool = False, infinite: bool = False) -> Kind:
    """A decimal number above 0; 0 as well where ``zero``, inf where ``infinite``."""
    wanted = "a number of at least 0" if zero else "a number above 0"
    wanted += " or inf" if infinite else ""

    def problem(value: str) -> str:
        if infinite and value == "inf":
            return ""
        known = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value)
        if known and (zero or float(value) > 0):
            return ""
        return f"must be {wanted}, got '{value}'"

    return Kind("X", problem)


def choice(*words: str) -> Kind:
    """One of some words."""

    def problem(value: str) -> str:
        return "" if value in words else f"must be {' or '.join(words)}, got '{value}'"

    return Kind("|".join(words), problem)


def boolean() -> Kind:
    """The word true or false."""
    return choice("true", "false")


def anything() -> Kind:
    """A text that nothing is asked of."""
    return Kind("TEXT", lambda value: "")


def name() -> Kind:
    """A part of a file's name: of a set, of a tag."""

    def problem(value: str) -> str:
        good = re.fullmatch(r"[^\s,/]+", value)
        return "" if good else f"must be a word without comma or slash, got '{value}'"

    return Kind("NAME", problem)


def path() -> Kind:
    """A path as ESPnet's own options can hold it."""

    def problem(value: str) -> str:
        good = re.fullmatch(r"[^\s,]+", value)
        return "" if good else f"must be a path without blank or comma, got '{value}'"

    return Kind("DIR", problem)


def folder() -> Kind:
    """A folder that is there."""
    written = path()

    def problem(value: str) -> str:
        missing = "" if Path(value).is_dir() else f"no such folder: '{value}'"
        return written.problem(value) or missing

    return Kind("DIR", problem)


def config() -> Kind:
    """A configuration file that is there."""
    written = path()

    def problem(value: str) -> str:
        if not value:
            return "is needed: name a configuration file"
        hint = (
            ""
            if set("/.") & set(value)
            else ", which is a path here, such as conf/NAME.yaml"
        )
        missing = "" if Path(value).is_file() else f"no such config: '{value}'{hint}"
        return written.problem(value) or missing

    return Kind("FILE", problem)


def optional(kind: Kind, *words: str) -> Kind:
    """A kind's value, one of some words, or nothing where no word is given."""
    others = words or ("",)

    def problem(value: str) -> str:
        return "" if value in others else kind.problem(value)

    return Kind("|".join(filter(None, (*words, kind.shown))), problem)


def several(kind: Kind) -> Kind:
    """One or more values of a kind in one text, separated by blanks, none of them twice."""

    def problem(value: str) -> str:
        words = value.split()
        if not words:
            return "is needed: name one or more"
        doubles = (f"names '{w}' twice" for w in words if words.count(w) > 1)
        return next(filter(None, map(kind.problem, words)), "") or next(doubles, "")

    return Kind(f'"{kind.shown} ..."', problem)
