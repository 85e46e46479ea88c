"""The errors a user can meet, each a sentence that names the culprit and the remedy."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

# Characters of a library's own message that are shown.
REASON = 300
MESSAGE = 6000
LONG_WORD = re.compile(r"\S{400,}")


class KDError(Exception):
    """Distillation cannot go on; the message says why and what to do.

    A culprit may be a megabyte long: what is shown of a word, and of all, is bounded.
    """

    def __str__(self) -> str:
        """The message, long words and a long end left out."""
        text = LONG_WORD.sub(_shortened, super().__str__())
        return text if len(text) <= MESSAGE else f"{text[:MESSAGE]} ..."


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


def _shortened(word: re.Match[str]) -> str:
    return f"{word[0][:100]}...{word[0][-100:]}"


def join_path(prefix: str, path: str) -> str:
    """Join two parts of a configuration path: ``losses[0]`` and ``weight``."""
    if not prefix or not path:
        return prefix or path
    return f"{prefix}{path}" if path.startswith("[") else f"{prefix}.{path}"


def suggest(wrong: object, known: Iterable[str]) -> str:
    """Say which known name was probably meant, then list them all."""
    known = sorted(known)
    close = get_close_matches(str(wrong), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known) or 'none'}"


def reason_of(error: BaseException) -> str:
    """What a library's error says, in one line of bounded length, its kind first."""
    text = " ".join(str(error).split())
    kind = type(error).__name__
    return f"{kind}: {text[:REASON]}" if text else kind


def utterance_name(index: int, utt_ids: Sequence[str] | None) -> str:
    """What to call an utterance of a batch, whose names may not be known."""
    return utt_ids[index] if utt_ids else f"number {index} of the batch"


class ArgumentsError(ValueError):
    """What is wrong with the arguments of one component, all of it at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))
