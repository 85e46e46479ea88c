"""Text, YAML and JSON that somebody else wrote: read as plain values of a sane size.

YAML can say more than a file's size shows: a few lines of aliases mean billions of values,
a value can hold itself, and a bare ``2020-01-01`` is a date. What is read here can be
copied, compared, printed and written again by whoever gets it.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from espnet_kd.errors import KDError

# A config with 150,000 tokens has 3 MB; PyYAML reads about 0.2 MB a second.
LARGEST = 8 << 20
MOST_VALUES = 1_000_000
MOST_LEVELS = 100
LARGEST_NUMBER = 1 << 63
# What PyYAML's constructors of numbers, dates and sets raise at scalars of another form.
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


def read_text(path: Path, head: str, error: type[KDError] = KDError) -> str:
    """Read a file of UTF-8 text.

    Args:
        path: The file; devices and pipes, which may never end, are refused.
        head: What the sentence begins with if it cannot be read.
        error: What is raised then.

    Raises:
        KDError: If it is missing, no file, or no UTF-8.
    """
    try:
        if os.path.exists(path) and not path.is_file():
            raise error(f"{head}: it is a directory or a device, not a file")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as wrong:
        raise error(f"{head}: it is no UTF-8 text (byte {wrong.start})") from None
    except (OSError, ValueError) as wrong:  # of a name with a NUL
        raise error(f"{head}: {getattr(wrong, 'strerror', None) or wrong}") from None
    if "\0" in text:  # what a full disk leaves
        raise error(f"{head}: it is no text but holds NUL characters")
    return text


def read_yaml(path: Path, head: str, error: type[KDError] = KDError) -> Any:
    """Read a YAML file, and none of the objects that it may name.

    Args:
        path: The file.
        head: What the sentence begins with if it cannot be read.
        error: What is raised then.

    Raises:
        KDError: If it cannot be read, or holds no plain values.
    """
    return parse_yaml(_small_text(path, head, error), head, error)


def parse_yaml(text: str, head: str, error: type[KDError] = KDError) -> Any:
    """Read YAML, as ``read_yaml`` reads a file."""
    return _plain(_parsed(yaml.safe_load, text, head, error), head, error)


def read_json(path: Path, head: str, error: type[KDError] = KDError) -> Any:
    """Read a JSON file, as ``read_yaml`` reads one of YAML."""
    return parse_json(_small_text(path, head, error), head, error)


def parse_json(text: str, head: str, error: type[KDError] = KDError) -> Any:
    """Read JSON, as ``read_json`` reads a file."""
    return _plain(_parsed(json.loads, text, head, error), head, error)


def _small_text(path: Path, head: str, error: type[KDError]) -> str:
    if os.path.isfile(path) and path.stat().st_size > LARGEST:
        size = path.stat().st_size / 1e6
        raise error(f"{head}: {size:.0f} MB are more than such a file can need")
    return read_text(path, head, error)


def _parsed(parse: Callable[[str], Any], text: str, head: str, error: type[KDError]) -> Any:
    try:
        return parse(text)
    except yaml.YAMLError as wrong:
        raise error(f"{head}: {wrong}") from None
    except RecursionError:
        raise error(f"{head}: it is nested too deeply") from None
    except MALFORMED as wrong:
        raise error(f"{head}: it holds a malformed value ({wrong})") from None


def _plain(value: Any, head: str, error: type[KDError]) -> Any:
    """The value, if whoever gets it can walk through all of it."""
    try:
        _extent(value, 0, {})
    except ValueError as wrong:
        raise error(f"{head}: {wrong}") from None
    return value


def _extent(value: Any, level: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values in a value, aliases written out, and its levels.

    Raises:
        ValueError: If there are too many, or some are none of JSON's.
    """
    if not isinstance(value, dict | list):
        _check_scalar(value)
        return 1, 0
    if id(value) not in known:
        if level > MOST_LEVELS:  # where a value that holds itself ends, too
            raise ValueError("it is nested too deeply")
        parts = value
        if isinstance(value, dict):
            parts = [*value.values(), *value]
        inside = [_extent(part, level + 1, known) for part in parts]
        levels = 1 + max((levels for _, levels in inside), default=0)
        known[id(value)] = (1 + sum(count for count, _ in inside), levels)
    count, levels = known[id(value)]
    if level + levels > MOST_LEVELS:
        raise ValueError("it is nested too deeply")
    if count > MOST_VALUES:
        raise ValueError(f"it means more than {MOST_VALUES:,} values")
    return count, levels


def _check_scalar(value: Any) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("it holds a text with a NUL character")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("it holds a text that is no Unicode") from None
    elif isinstance(value, int):
        if abs(value) >= LARGEST_NUMBER:
            raise ValueError("it holds a number of more than 64 bits")
    elif value is not None and not isinstance(value, float):
        kind = type(value).__name__
        raise ValueError(f"it holds a value of type {kind}; put it in quotes if it is text")
