"""Kaldi tables and lists whose lines are not what they should be."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from hostile.files import rewrite

VALUES = (
    *("", "-1", "0", "1e308", "9" * 5000, "nan", "x" * 100_000, "/etc/passwd", "/dev/zero"),
    *("../../../etc/passwd", "/proc/self/mem", ".", "a b c d", "\x00", "ümläut", "(x", ")"),
    *("~/x", "$(id)", "`id`", "%n%s", "1,2,3", "(a-b) (c-d)", "ark/feats.ark:-1"),
    *("ark/feats.ark:99999999999", "ark/feats.ark:5[1:2,3:4]", "None", "{", ";;", "@"),
)


def _lines(
    path: Path, order: Random, change: Callable[[list[str], int], list[str]]
) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines = change(lines, order.randrange(len(lines)))
    rewrite(path, "".join(f"{line}\n" for line in lines))


def _put(path: Path, order: Random, value: str) -> None:
    """A value in one of the lines, behind its key."""

    def change(lines: list[str], at: int) -> list[str]:
        return [*lines[:at], f"{lines[at].split()[0]} {value}", *lines[at + 1 :]]

    _lines(path, order, change)


def line_less(path: Path, order: Random, _canary: Path) -> None:
    """A line is missing."""
    _lines(path, order, lambda lines, at: lines[:at] + lines[at + 1 :])


def line_twice(path: Path, order: Random, _canary: Path) -> None:
    """A line comes twice."""
    _lines(path, order, lambda lines, at: [*lines, lines[at]])


def line_more(path: Path, order: Random, _canary: Path) -> None:
    """A line of nobody's."""
    _lines(path, order, lambda lines, at: [*lines[:at], "zz9 zz", *lines[at:]])


def key_alone(path: Path, order: Random, _canary: Path) -> None:
    """A key without a value."""
    _put(path, order, "")


def other_field(path: Path, order: Random, _canary: Path) -> None:
    """Another value."""
    _put(path, order, order.choice(VALUES))


def other_key(path: Path, order: Random, _canary: Path) -> None:
    """Another key, such as a path that leads away."""
    keys = ["../../evil", "/evil", "a/b", "x" * 300, "ü", "(", ")", "u1-(x)", "\x01", "-"]
    key = order.choice(keys)

    def change(lines: list[str], at: int) -> list[str]:
        rest = lines[at].partition(" ")[2]
        return [*lines[:at], f"{key} {rest}", *lines[at + 1 :]]

    _lines(path, order, change)


def other_order(path: Path, order: Random, _canary: Path) -> None:
    """The lines backwards."""
    _lines(path, order, lambda lines, at: lines[::-1])


def shell(path: Path, order: Random, canary: Path) -> None:
    """A command in a value's place, as Kaldi would run it."""
    _put(path, order, order.choice([f"touch {canary} |", f"| touch {canary}"]))


CHANGES = (
    *(line_less, line_twice, line_more, key_alone, other_field, other_key, other_order),
    *(shell,),
)


def pickled(path: Path, order: Random, canary: Path) -> None:
    """An archive in which kaldiio finds a pickle, which runs something."""
    from hostile.tensors import pickle_of

    trap = path.with_name("trap.ark")
    trap.write_bytes(b"u1 PKL" + pickle_of(canary))
    _put(path, order, f"{trap.name if 'cache' in path.parts else trap}:3")


INDEX = (pickled,)
