"""YAML and JSON that are not what they should be."""

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hostile.files import rewrite

STRANGE: tuple[Any, ...] = (
    *(None, True, [], {}, "", "x", "../../etc/passwd", -1, 0, 1, 0.5, -1.5, 10**9),
    *(2**63, 10**30, 10**400, 1e308, float("inf"), float("nan"), [[1]], {"a": 1}),
    *([None], ["x", 1, {}], "x" * 100_000, list(range(2000)), {"x": {"y": {"z": []}}}),
    *("\x00", "a\nb", "\u2028", "ünïcödé", "1e5", "%s%n{}", "$(touch canary)", "~"),
)
MARK = "MARKED"


def invalid_utf8(path: Path, order: Random, _canary: Path) -> None:
    """Bytes that are no UTF-8."""
    data = path.read_bytes()
    at = order.randrange(len(data))
    rewrite(path, data[:at] + b"\xff\xfe\xc3" + data[at:])


def utf16(path: Path, _order: Random, _canary: Path) -> None:
    """The same in another encoding."""
    text = path.read_text(encoding="utf-8")
    rewrite(path, text.encode("utf-16"))


def controls(path: Path, order: Random, _canary: Path) -> None:
    """Control characters, and separators of lines that are none."""
    text = path.read_text(encoding="utf-8")
    at = order.randrange(len(text))
    sign = order.choice(["\x00", "\x1b[31m", "\x0c", "\x85", "\u2028", "\t", "\r", "\x7f"])
    rewrite(path, text[:at] + sign + text[at:])


def windows(path: Path, _order: Random, _canary: Path) -> None:
    """A byte order mark and carriage returns."""
    text = path.read_text(encoding="utf-8")
    rewrite(path, "\ufeff" + text.replace("\n", "\r\n"))


def long_line(path: Path, order: Random, _canary: Path) -> None:
    """A line of a megabyte."""
    text = path.read_text(encoding="utf-8")
    at = order.randrange(len(text))
    rewrite(path, text[:at] + "x" * 1_000_000 + text[at:])


TEXT = (invalid_utf8, utf16, controls, windows, long_line)


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)


def _write(path: Path, content: Any) -> None:
    if path.suffix == ".json":
        rewrite(path, json.dumps(content))
    else:
        rewrite(path, yaml.safe_dump(content))


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(pairs):
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _place(content: Any, order: Random) -> tuple[Any, Any]:
    places = list(_places(content))
    # A long list of tokens is one place among others.
    first = [p for p in places if not isinstance(p[0], list) or p[1] < 2]
    return order.choice(first)


def _mark(path: Path, order: Random) -> None:
    """Draw one of its places, for what its format cannot write: see ``_fill``."""
    content = _read(path)
    holder, key = _place(content, order)
    holder[key] = MARK
    _write(path, content)


def _fill(path: Path, inside: str, before: str = "") -> None:
    """Write this where the mark is, and that before everything."""
    text = path.read_text(encoding="utf-8").replace(f'"{MARK}"', inside)
    rewrite(path, before + text.replace(MARK, inside))


def other_value(path: Path, order: Random, _canary: Path, count: int = 1) -> None:
    """Another value, of another type or size, in one place, or in several."""
    content = _read(path)
    for _ in range(count):
        holder, key = _place(content, order)
        holder[key] = order.choice(STRANGE)
    _write(path, content)


def other_values(path: Path, order: Random, canary: Path) -> None:
    """Other values in three places."""
    other_value(path, order, canary, 3)


def other_number(path: Path, order: Random, _canary: Path) -> None:
    """Another number where there is one."""
    content = _read(path)
    kinds = (int, float)
    places = [p for p in _places(content) if isinstance(p[0][p[1]], kinds)]
    holder, key = order.choice(places)
    wrong = [-1, 0, 3, 10**5, 10**7, 10**9, 10**12, 2**63, 10**30, 1e308, float("nan")]
    holder[key] = order.choice(wrong)
    _write(path, content)


def without(path: Path, order: Random, _canary: Path) -> None:
    """A part less."""
    content = _read(path)
    holder, key = _place(content, order)
    del holder[key]
    _write(path, content)


def renamed(path: Path, order: Random, _canary: Path) -> None:
    """Another key, of another type perhaps."""
    content = _read(path)
    holder, key = order.choice([p for p in _places(content) if isinstance(p[0], dict)])
    new = order.choice(["other", "", "a.b", "__class__", "\x00"])
    holder[new] = holder.pop(key)
    _write(path, content)


def other_top(path: Path, order: Random, _canary: Path) -> None:
    """Another thing than a mapping."""
    _write(path, order.choice(STRANGE))


def deep(path: Path, order: Random, _canary: Path) -> None:
    """Brackets in brackets."""
    depth = order.choice([120, 900, 5000, 100_000])
    opening, closing = order.choice([("[", "]"), ('{"a":', "}")])
    rewrite(path, opening * depth + "1" + closing * order.choice([depth, depth, 0]))


def deep_value(path: Path, order: Random, _canary: Path) -> None:
    """Brackets in brackets as one of its values."""
    _mark(path, order)
    depth = order.choice([90, 150])
    _fill(path, "[" * depth + "]" * depth)


DOCUMENT = (
    *(other_value, other_values, other_number, without, renamed, other_top),
    *(deep, deep_value),
)


def laughs(path: Path, order: Random, _canary: Path) -> None:
    """A few lines that mean billions, as one of the values."""
    _mark(path, order)
    pairs = [*pairwise("abcdefghijkl")]
    if order.random() < 0.5:
        lines = ["x: &a [lol, lol]"]
        lines += [f"y{k}: &{k} [{', '.join(['*' + p] * 9)}]" for p, k in pairs]
    else:
        lines = ["x: &a {u: lol, v: lol}"]
        for before, name in pairs:
            inside = ", ".join(f"k{i}: *{before}" for i in range(9))
            lines.append(f"y{name}: &{name} {{{inside}}}")
    _fill(path, "*l", before="\n".join(lines) + "\n")


def cycle(path: Path, order: Random, _canary: Path) -> None:
    """A value that holds itself."""
    _mark(path, order)
    _fill(path, order.choice(["&me [*me]", "&me {a: *me}", "&me {a: {b: [*me]}}"]))


def executing(path: Path, order: Random, canary: Path) -> None:
    """A tag of PyYAML's that calls a function."""
    _mark(path, order)
    _fill(path, f'!!python/object/apply:os.system ["touch {canary}"]')


def scalar(path: Path, order: Random, _canary: Path) -> None:
    """A scalar that PyYAML makes something else of, or stumbles over."""
    _mark(path, order)
    wild = ["2020-01-01", "2020-99-99", "!!binary aGVsbG8=", "!!timestamp x", "!!int ''"]
    wild += ["!!float x", "1:99:99", "0x", "!!set {a, b}", "!!omap [a: 1]", "!!bool x"]
    wild += ["0b", "!!null x", "=", "<<", "!!str [a]", "!!map x", "{[1]: 2}", "{1: 2}"]
    wild += ["9" * 5000, "!unknown x", "*nobody", "2001-12-14 21:59:43.10 -25:99"]
    _fill(path, order.choice(wild))


def merge_keys(path: Path, _order: Random, _canary: Path) -> None:
    """A merge of what cannot be merged, and keys that come twice."""
    text = path.read_text(encoding="utf-8")
    rewrite(path, f"<<: [1, 2]\n{text}\n{text}")


YAML = (laughs, cycle, executing, scalar, merge_keys)


def json_number(path: Path, order: Random, _canary: Path) -> None:
    """A number that JSON can say and few can read."""
    _mark(path, order)
    _fill(path, order.choice(["9" * 5000, "1e999", "-Infinity", "NaN", "-0", "1E400"]))


JSON = (json_number,)


def other_in_line(path: Path, order: Random, _canary: Path) -> None:
    """Another value in one of the lines."""
    lines = path.read_text(encoding="utf-8").splitlines()
    at = order.randrange(len(lines))
    content = json.loads(lines[at])
    holder, key = _place(content, order)
    holder[key] = order.choice(STRANGE)
    lines[at] = json.dumps(content)
    rewrite(path, "\n".join(lines) + "\n")


def deep_line(path: Path, order: Random, _canary: Path) -> None:
    """A line of brackets."""
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[order.randrange(len(lines))] = "[" * 100_000 + "]" * 100_000
    rewrite(path, "\n".join(lines) + "\n")


LINES = (other_in_line, deep_line)
