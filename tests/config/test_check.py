"""The vocabulary of checks: what passes, what is said of the rest, and what comes back."""

import pytest

from espnet_kd.config.check import Check, unspaced
from espnet_kd.errors import ArgumentsError

NAN, INF = float("nan"), float("inf")
RIGHT = [
    ("positive", 0.5, ()),
    ("not_negative", 0, ()),
    ("between", 0.5, (0, 1)),
    ("at_least", 3, (3,)),
    ("count", 0, ()),
    ("one_of", "b", (("a", "b"),)),
    ("flag", False, ()),
    ("sequence", [1, 2], ()),
]
WRONG = [
    ("positive", 0, (), 1.0, "must be a positive number, got 0"),
    ("positive", INF, (), 1.0, "must be a positive number, got inf"),
    ("positive", True, (), 1.0, "must be a positive number, got True"),
    ("not_negative", -1, (), 0.0, "must be a finite number of at least 0, got -1"),
    ("not_negative", NAN, (), 0.0, "must be a finite number of at least 0, got nan"),
    ("not_negative", "1", (), 0.0, "must be a finite number of at least 0, got '1'"),
    ("between", 1, (0, 1), 0.5, "must be between 0 and 1, got 1"),
    ("at_least", 2, (3,), 3, "must be a whole number of at least 3, got 2"),
    ("at_least", 2.0, (1, "steps"), 1, "whole number of steps of at least 1, got 2.0"),
    ("count", True, (), 0, "must be a whole number of at least 0, got True"),
    ("one_of", "bb", (("a", "b"),), "bb", "got 'bb'; did you mean 'b'? known: a, b"),
    ("flag", "no", (), False, "must be true or false, got 'no'"),
    ("sequence", "ab", (), [], "must be a list, got 'ab'"),
]


@pytest.mark.parametrize(("kind", "value", "more"), RIGHT)
def test_what_is_right_comes_back_and_nothing_is_noted(kind, value, more):
    check = Check()
    assert getattr(check, kind)("x", value, *more) == value
    check.done()


@pytest.mark.parametrize(("kind", "value", "more", "instead", "text"), WRONG)
def test_what_is_wrong_is_noted_and_replaced(kind, value, more, instead, text):
    check = Check("losses[0]")
    assert getattr(check, kind)("x", value, *more) == instead
    (problem,) = check.problems
    assert problem.path == "losses[0].x"
    assert text in problem.text


def test_infinity_where_it_is_welcome():
    check = Check()
    assert check.not_negative("x", INF, infinite=True) == INF
    check.not_negative("x", NAN, infinite=True)
    assert [str(p) for p in check.problems] == [
        "x: must be a number of at least 0, got nan"
    ]


def test_a_level_further_down_shares_the_problems():
    check = Check()
    check.at("losses[0]").at("schedule").add("final", "bad")
    assert [str(problem) for problem in check.problems] == ["losses[0].schedule.final: bad"]
    assert check.has("losses[0].schedule.final")
    assert check.at("losses[0]").has("schedule.final")
    assert not check.has("final")


def test_everything_is_raised_together():
    check = Check()
    check.done()
    check.add("a", "one")
    check.add("b", "two")
    with pytest.raises(ArgumentsError, match="a: one; b: two") as error:
        check.done()
    assert [problem.path for problem in error.value.problems] == ["a", "b"]


def test_mappings_and_their_keys():
    check = Check("top")
    assert check.mapping("x", {"a": 1}, ["a", "b"]) == {"a": 1}
    assert check.mapping("y", 3, ["a", "b"]) is None
    check.mapping("z", {"aa": 1}, ["a", "b"])
    assert [str(problem) for problem in check.problems] == [
        "top.y: must be a mapping with a, b, got 3",
        "top.z.aa: unknown key; did you mean 'a'? known: a, b",
    ]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("exp:x", "YAML takes 'exp:x' for a key; leave a blank after the colon: 'exp: x'"),
        (
            "exp:a:b",
            "YAML takes 'exp:a:b' for a key; leave a blank after the colon: 'exp: a:b'",
        ),
        ("exq:x", None),
        ("exp", None),
        (3, None),
    ],
)
def test_a_missing_blank_after_a_colon_is_recognised(key, said):
    assert unspaced(key, ["exp", "lm"]) == said
