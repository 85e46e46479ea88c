"""Hypotheses on disk: a line an utterance, appended as they come, resumed after a kill."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espnet_kd.documents import parse_json
from espnet_kd.errors import KDError


@dataclass(frozen=True)
class Hypothesis:
    """One answer of a search.

    Attributes:
        text: Words of the answer, as the teacher writes them.
        confidence: Mean probability of a token, 0 to 1: the exponential of the search's
            mean log-probability over tokens and end.
    """

    text: str
    confidence: float


@dataclass(frozen=True)
class Decoded:
    """What the teacher's search found in one utterance.

    Attributes:
        utt: Name of the utterance.
        length: Number of samples or frames of the audio.
        nbest: Hypotheses, best first; none if the audio is too short for the teacher.
    """

    utt: str
    length: int
    nbest: tuple[Hypothesis, ...]


class HypothesisLog:
    """The file of one job's ``Decoded``, an utterance a line.

    The first line says what the file was made from. A line that a kill cut off is dropped,
    and the utterance is decoded again.

    Args:
        path: The file; made if it is not there.
        made_from: Teacher, search and utterances; a file that is there must be begun with
            the same.

    Attributes:
        found: Name of an utterance to what was found in it.

    Raises:
        KDError: If the file was begun with something else, or is damaged.
    """

    def __init__(self, path: Path, made_from: Mapping[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(path)
        damaged = f"{path} is damaged; remove it to begin anew"
        begun, *rest = [_parsed(line, damaged) for line in lines] or [made_from]
        if not isinstance(begun, dict):
            raise KDError(damaged)
        if begun != made_from:
            raise KDError(
                f"{path} was begun with {_difference(begun, made_from)}; "
                "remove it to begin anew, or name another --output_dir"
            )
        self.found = {d.utt: d for d in (_decoded(raw, damaged) for raw in rest)}
        if lines:
            os.truncate(path, sum(len(line) + 1 for line in lines))
        else:
            path.unlink(missing_ok=True)
            self._append(json.dumps(made_from))

    def add(self, decoded: Decoded) -> None:
        """Append one utterance, so that it is there after a kill.

        Raises:
            KDError: If the disk is full.
        """
        self.found[decoded.utt] = decoded
        self._append(json.dumps(asdict(decoded), ensure_ascii=False))

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


def _whole_lines(path: Path) -> list[bytes]:
    if path.exists() and not path.is_file():
        raise KDError(f"{path} is no file; name another --output_dir")
    # What follows the last line end was cut off.
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _parsed(line: bytes, damaged: str) -> Any:
    try:
        return parse_json(line.decode(), damaged)
    except UnicodeDecodeError:
        raise KDError(damaged) from None


def _decoded(raw: Any, damaged: str) -> Decoded:
    """What a line says of an utterance.

    Raises:
        KDError: If it says something else.
    """
    try:
        nbest = tuple(Hypothesis(**hypothesis) for hypothesis in raw["nbest"])
        decoded = Decoded(raw["utt"], raw["length"], nbest)
    except (LookupError, TypeError):
        raise KDError(damaged) from None
    texts = [decoded.utt, *(hypothesis.text for hypothesis in nbest)]
    shares = [hypothesis.confidence for hypothesis in nbest]
    sound = all(isinstance(text, str) for text in texts) and type(decoded.length) is int
    if not sound or not all(type(s) in (int, float) and 0 <= s <= 1 for s in shares):
        raise KDError(damaged)
    return decoded


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = [k for k in before.keys() | now.keys() if before.get(k) != now.get(k)]
    return "another " + " and ".join(sorted(keys))
