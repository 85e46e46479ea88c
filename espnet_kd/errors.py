"""The errors a user can meet, each a sentence that names the culprit and the remedy."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class KDError(Exception):
    """Distillation cannot go on; the message says why and what to do."""


class ExperimentError(KDError):
    """An experiment's config or weights cannot be found, read, built or trusted."""


class TeacherError(KDError):
    """A teacher cannot be had, or what it says cannot be learned from."""


class AlignmentError(KDError):
    """What teacher and student say cannot be laid side by side."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a configuration: where it stands and what it is."""

    path: str
    text: str

    def __str__(self) -> str:
        """Path and text in one line."""
        return f"{self.path}: {self.text}" if self.path else self.text

    def under(self, prefix: str) -> "Problem":
        """The same problem, seen from one level further up."""
        return Problem(join_path(prefix, self.path), self.text)


class ConfigError(KDError):
    """Every problem of a configuration at once, each with its path and remedy."""

    def __init__(self, problems: Iterable[Problem], source: str = "kd_conf") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{count} problem{'s' if count != 1 else ''} in {source}"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))


def join_path(prefix: str, path: str) -> str:
    """Join two parts of a configuration path: ``losses[0]`` and ``weight``."""
    if not prefix or not path:
        return prefix or path
    return f"{prefix}{path}" if path.startswith("[") else f"{prefix}.{path}"


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, then list them all."""
    known = sorted(known)
    close = get_close_matches(str(wrong), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known) or 'none'}"


def utterance_name(index: int, utt_ids: Sequence[str] | None) -> str:
    """What to call an utterance of a batch, whose names may not be known."""
    return utt_ids[index] if utt_ids else f"number {index} of the batch"


class ArgumentsError(ValueError):
    """What is wrong with the arguments of one component, all of it at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class ArgumentCheck:
    """Collect the problems of a constructor's arguments, then raise them together."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def positive(self, name: str, value: object) -> None:
        """Require a number above 0."""
        if not _is_number(value) or not value > 0:
            self._add(name, f"must be a positive number, got {value!r}")

    def not_negative(self, name: str, value: object) -> None:
        """Require a number of at least 0."""
        if not _is_number(value) or not value >= 0:
            self._add(name, f"must be a number of at least 0, got {value!r}")

    def between(self, name: str, value: object, low: float, high: float) -> None:
        """Require a number strictly between two."""
        if not _is_number(value) or not low < value < high:
            self._add(name, f"must be between {low} and {high}, got {value!r}")

    def at_least(self, name: str, value: object, low: int) -> None:
        """Require a whole number of at least ``low``."""
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            self._add(name, f"must be a whole number of at least {low}, got {value!r}")

    def count(self, name: str, value: object) -> None:
        """Require a whole number of at least 0."""
        self.at_least(name, value, 0)

    def one_of(self, name: str, value: object, choices: Iterable[str]) -> None:
        """Require one of the given words."""
        choices = tuple(choices)
        if value not in choices:
            self._add(name, f"got {value!r}; {suggest(str(value), choices)}")

    def accept(self, name: str, reason: str | None) -> None:
        """Add a problem if there is a reason for one."""
        if reason is not None:
            self._add(name, reason)

    def collect(self, build: Callable[..., object], **options: object) -> None:
        """Take over the problems that another constructor finds."""
        try:
            build(**options)
        except ArgumentsError as error:
            self._problems += error.problems

    def done(self) -> None:
        """Raise ArgumentsError if anything was wrong."""
        if self._problems:
            raise ArgumentsError(self._problems)

    def _add(self, name: str, text: str) -> None:
        self._problems.append(Problem(name, text))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
