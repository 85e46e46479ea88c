"""Hypotheses on disk: a line an utterance, appended as they come, resumed after a kill."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espnet_kd.errors import KDError


@dataclass(frozen=True)
class Hypothesis:
    """One answer of a search.

    Attributes:
        text: Its words, as the teacher writes them.
        confidence: The search's score for each token, as a probability: the exponential
            of the mean log-probability over tokens and end, 0 to 1.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class Heard:
    """What the teacher heard in one utterance.

    Attributes:
        utt: The utterance.
        length: Samples or frames of its audio.
        nbest: Hypotheses, best first; none if the audio is too short for the teacher.
    """

    utt: str
    length: int
    nbest: tuple[Hypothesis, ...]


class HypothesisLog:
    """A file of ``Heard``, one job's.

    The first line says what it was made from. A line that a kill cut off is dropped, and
    its utterance heard again.

    Args:
        path: The file; made if it is not there.
        made_from: Teacher, search and utterances; what it was begun with must be this.

    Raises:
        KDError: If it was begun with something else.
    """

    def __init__(self, path: Path, made_from: Mapping[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path)
        if lines and json.loads(lines[0]) != made_from:
            raise KDError(
                f"{path} was begun with {_difference(json.loads(lines[0]), made_from)}; "
                "remove it to begin anew, or name another --output_dir"
            )
        self.found = {heard.utt: heard for heard in map(_parsed, lines[1:])}
        if lines:
            os.truncate(path, sum(len(line.encode()) + 1 for line in lines))
        else:
            path.unlink(missing_ok=True)
            self._append(json.dumps(made_from))

    def add(self, heard: Heard) -> None:
        """Append one utterance, so that it is there after a kill."""
        self.found[heard.utt] = heard
        self._append(json.dumps(asdict(heard), ensure_ascii=False))

    def _append(self, line: str) -> None:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise KDError(
                f"cannot write {self.path}: {error.strerror or error}. Free some space, "
                "then run the same again; what is there is kept."
            ) from None


def _whole_lines(path: Path) -> list[str]:
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = text.split("\n")[:-1]  # what follows the last line end was cut off
    try:
        for line in lines:
            json.loads(line)
    except ValueError:
        raise KDError(f"{path} is damaged; remove it to begin anew") from None
    return lines


def _parsed(line: str) -> Heard:
    raw = json.loads(line)
    nbest = tuple(Hypothesis(**hypothesis) for hypothesis in raw["nbest"])
    return Heard(raw["utt"], raw["length"], nbest)


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [k for k in before.keys() | now.keys() if before.get(k) != now.get(k)]
    return "another " + " and ".join(sorted(keys))
