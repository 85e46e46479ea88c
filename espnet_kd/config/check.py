"""The vocabulary of checks by which options and configurations are read."""

from collections.abc import Iterable, Mapping
from math import inf

from espnet_kd.errors import ArgumentsError, Problem, join_path, suggest

# Whatever is outside of these is a typing error, and makes a loss of nan.
LEAST, MOST = 1e-9, 1e9


class Check:
    """Collects what is wrong with some values, so that all of it is reported at once.

    A check takes a value's name and the value, and gives the value back. A bad value is
    noted, never raised, and a harmless one is given back, so that reading goes on.

    Args:
        path: Where the names stand, ``losses[0]``; empty at the top.

    Attributes:
        problems: What was found so far, here and in everything that ``at`` gave.
    """

    def __init__(self, path: str = "") -> None:
        self.path = path
        self.problems: list[Problem] = []

    def at(self, name: str) -> "Check":
        """The same collection, one level further down."""
        below = Check(join_path(self.path, name))
        below.problems = self.problems
        return below

    def add(self, name: str, text: str) -> None:
        """Note a problem that no check of this vocabulary finds."""
        self.problems.append(Problem(join_path(self.path, name), text))

    def has(self, name: str) -> bool:
        """Whether a problem with this very name was found already."""
        path = join_path(self.path, name)
        return any(problem.path == path for problem in self.problems)

    def done(self) -> None:
        """End a component's checks.

        Raises:
            ArgumentsError: With everything that was found, if anything was.
        """
        if self.problems:
            raise ArgumentsError(self.problems)

    def positive(self, name: str, value: object) -> float:
        """Require a finite number above 0."""
        number = _number(value)
        if number is None or not 0 < number < inf:
            self.add(name, f"must be a positive number, got {value!r}")
            return 1.0
        return self._ordinary(name, number)

    def not_negative(self, name: str, value: object, *, infinite: bool = False) -> float:
        """Require a number of at least 0, finite unless ``infinite`` ones are welcome."""
        number = _number(value)
        if number is not None and number >= 0 and (infinite or number < inf):
            return self._ordinary(name, number)
        kind = "number" if infinite else "finite number"
        self.add(name, f"must be a {kind} of at least 0, got {value!r}")
        return 0.0

    def _ordinary(self, name: str, number: float) -> float:
        """Require a number that arithmetic in single precision can do something with."""
        if number not in (0, inf) and not LEAST <= number <= MOST:
            self.add(name, f"must be between {LEAST:g} and {MOST:g}, got {number!r}")
            return 1.0
        return number

    def between(self, name: str, value: object, low: float, high: float) -> float:
        """Require a number strictly between two."""
        number = _number(value)
        if number is not None and low < number < high:
            return number
        self.add(name, f"must be between {low} and {high}, got {value!r}")
        return (low + high) / 2

    def at_least(self, name: str, value: object, low: int, unit: str = "") -> int:
        """Require a whole number, of ``unit`` in the message, of at least ``low``."""
        if isinstance(value, int) and not isinstance(value, bool) and value >= low:
            return value
        kind = f"whole number of {unit}" if unit else "whole number"
        self.add(name, f"must be a {kind} of at least {low}, got {value!r}")
        return low

    def count(self, name: str, value: object) -> int:
        """Require a whole number of at least 0."""
        return self.at_least(name, value, 0)

    def one_of(self, name: str, value: object, choices: Iterable[str]) -> str:
        """Require one of the given words."""
        known = tuple(choices)
        if value not in known:
            self.add(name, f"got {value!r}; {suggest(str(value), known)}")
        return str(value)

    def flag(self, name: str, value: object) -> bool:
        """Require true or false."""
        if not isinstance(value, bool):
            self.add(name, f"must be true or false, got {value!r}")
        return value is True

    def sequence(self, name: str, value: object) -> list[object]:
        """Require a list; nothing at all is an empty one."""
        if value is None or value == {}:
            return []
        if isinstance(value, list | tuple):
            return list(value)
        self.add(name, f"must be a list, got {value!r}")
        return []

    def mapping(
        self, name: str, value: object, known: Iterable[str]
    ) -> Mapping[str, object] | None:
        """Require a mapping; its unknown keys are problems of their own.

        Returns:
            The mapping; None if it is none.
        """
        known = tuple(known)
        if not isinstance(value, Mapping):
            self.add(name, f"must be a mapping with {', '.join(known)}, got {value!r}")
            return None
        self.at(name).keys(value, known)
        return value

    def keys(self, given: Mapping[str, object], known: Iterable[str]) -> bool:
        """Require the keys of a mapping to be known; whether they are."""
        known = tuple(known)
        unknown = [key for key in given if key not in known]
        for key in unknown:
            self.add(
                str(key), unspaced(key, known) or f"unknown key; {suggest(key, known)}"
            )
        return not unknown


def unspaced(key: object, known: Iterable[str]) -> str | None:
    """What to say of a key like ``exp:DIR``, which YAML makes of a missing blank."""
    name, colon, value = str(key).partition(":")
    if not colon or name not in known:
        return None
    return f"YAML takes '{key}' for a key; leave a blank after the colon: '{name}: {value}'"


def _number(value: object) -> float | None:
    """The value if it is a number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value
