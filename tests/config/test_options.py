"""Options declared by annotations: which there are, and what each may be."""

from dataclasses import dataclass
from typing import Annotated, Literal

import pytest

from espnet_kd.config.check import Check
from espnet_kd.config.options import (
    Count,
    Positive,
    Share,
    check_options,
    check_value,
    options_of,
    read_section,
)


def measure(one, other, *, kind: Literal["a", "b"] = "a", top: Positive = 1.0, free=None):
    """A function with three options."""


@dataclass(frozen=True)
class Settings:
    """A section with two settings, one of which may be nothing."""

    share: Share = 0.5
    head: Count | None = None


def said(value, hint):
    check = Check()
    check_value(check, "x", value, hint)
    return [problem.text for problem in check.problems]


def test_options_are_the_keyword_only_parameters_of_a_function():
    options = options_of(measure)
    assert [(option.name, option.default) for option in options] == [
        ("kind", "a"),
        ("top", 1.0),
        ("free", None),
    ]


def test_options_are_the_fields_of_a_dataclass():
    assert [option.name for option in options_of(Settings)] == ["share", "head"]


def only_even(check, name, value):
    if value % 2:
        check.add(name, "is odd")


@pytest.mark.parametrize(
    ("right", "wrong", "hint", "text"),
    [
        ("a", "c", Literal["a", "b"], "got 'c'; known: a, b"),
        (True, 1, bool, "must be true or false, got 1"),
        (2.0, -2.0, Positive, "must be a positive number, got -2.0"),
        (None, -1, Count | None, "must be a whole number of at least 0, got -1"),
        (0, None, Count, "must be a whole number of at least 0, got None"),
        (4, 3, Annotated[int, only_even], "is odd"),
    ],
)
def test_annotations_say_what_a_value_may_be(right, wrong, hint, text):
    assert said(right, hint) == []
    assert said(wrong, hint) == [text]


def test_what_is_not_annotated_is_taken_as_it_comes():
    check = Check()
    check_options(check, options_of(measure), {"free": object(), "kind": "c"})
    assert [problem.path for problem in check.problems] == ["kind"]


def test_a_section_is_read_into_its_dataclass():
    check = Check()
    assert read_section(check, "part", {"head": 3}, Settings) == Settings(0.5, 3)
    assert not check.problems


def test_a_section_with_a_problem_is_none():
    check = Check()
    raw = {"share": 2, "haed": 1}
    assert read_section(check, "part", raw, Settings) is None
    assert read_section(check, "other", 5, Settings) is None
    assert [str(problem) for problem in check.problems] == [
        "part.haed: unknown key; did you mean 'head'? known: head, share",
        "part.share: must be between 0 and 1, got 2",
        "other: must be a mapping with share, head, got 5",
    ]
