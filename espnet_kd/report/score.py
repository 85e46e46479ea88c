"""Word and character error rates by sclite, as ESPnet's recipes count them."""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file

LONGEST = 100_000
NAME = re.compile(r"[^\s()]{1,600}")
# Debian's package sctk does not put it on PATH.
PLACES = ("sclite", "/usr/lib/sctk/bin/sclite")
RAW_SUM = re.compile(r"\|\s*Sum\s*\|((?:\s*\d+){2})\s*\|((?:\s*\d+){6})\s*\|")


@dataclass(frozen=True)
class Score:
    """Counts of an alignment.

    Attributes:
        sentences: Number of utterances.
        words: Number of reference words (or characters).
        correct: Number of reference words that are right.
        substitutions: Number of reference words that are replaced.
        deletions: Number of reference words that are missing.
        insertions: Number of words that the reference does not have.
        wrong_sentences: Number of utterances with any error.
    """

    sentences: int
    words: int
    correct: int
    substitutions: int
    deletions: int
    insertions: int
    wrong_sentences: int

    @property
    def error_rate(self) -> float:
        """Errors in a hundred reference words, in percent; 0 without a word."""
        errors = self.substitutions + self.deletions + self.insertions
        return 100.0 * errors / self.words if self.words else 0.0


def find_sclite(name: str | None = None) -> str:
    """Find sclite, by a path or where Debian puts it.

    Raises:
        KDError: If it is not installed, with how to install it.
    """
    for place in (name,) if name else PLACES:
        if found := shutil.which(place):
            return found
    raise KDError(
        "sclite is not installed, and scoring needs it. On Debian or Ubuntu: "
        "apt-get install sctk. Elsewhere: build SCTK (github.com/usnistgov/SCTK) and "
        "put sclite on PATH, or name it by --sclite."
    )


def split_words(text: str) -> list[str]:
    """Split a transcript into words."""
    return text.split()


def split_characters(text: str) -> list[str]:
    """Split a transcript into characters, a space written as ESPnet writes it."""
    return [c if c != " " else "<space>" for c in " ".join(text.split())]


UNITS: dict[str, Callable[[str], list[str]]] = {
    "wer": split_words,
    "cer": split_characters,
}


def score(
    reference: Mapping[str, str],
    hypothesis: Mapping[str, str],
    folder: Path,
    *,
    unit: str = "wer",
    speakers: Mapping[str, str] | None = None,
    sclite: str | None = None,
) -> Score:
    """Score hypotheses by sclite; ref.trn, hyp.trn and result.txt stay in ``folder``.

    Args:
        reference: Utterance to transcript.
        hypothesis: Utterance to recognised text; one that is missing counts as empty.
        folder: Where the three files go.
        unit: ``wer`` or ``cer``.
        speakers: Utterance to speaker, for sclite's table by speaker.
        sclite: Path of the program; without one it is looked for.

    Raises:
        KDError: If sclite is absent or its answer is not understood.
    """
    program, speakers = find_sclite(sclite), speakers or {}
    _check_texts(reference, speakers)
    _check_texts(hypothesis, speakers)
    for name, texts in (("ref.trn", reference), ("hyp.trn", hypothesis)):
        with whole_file(folder / name) as file:
            for utt in sorted(reference):
                units = " ".join(UNITS[unit](texts.get(utt, "")))
                file.write(f"{units} ({speakers.get(utt, utt)}-{utt})\n")
    answer = subprocess.run(
        [
            *(program, "-r", folder / "ref.trn", "trn", "-h", folder / "hyp.trn", "trn"),
            *("-i", "rm", "-o", "all", "stdout"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    with whole_file(folder / "result.txt") as file:
        file.write(answer.stdout + answer.stderr)
    return parse_result(answer.stdout, folder / "result.txt")


def _check_texts(texts: Mapping[str, str], speakers: Mapping[str, str]) -> None:
    """Require what sclite reads as it is meant, and aligns in less than hours."""
    for utt, text in texts.items():
        if len(text) > LONGEST:
            text = f"'{utt}' has a text of {len(text):,} characters"
            raise KDError(f"{text}, which sclite cannot align; cut it into utterances")
        if not NAME.fullmatch(f"{speakers.get(utt, utt)}-{utt}"):
            raise KDError(
                f"'{utt}' of speaker '{speakers.get(utt, utt)}' in utt2spk is no name for "
                "sclite: no blanks, no parentheses, no more than 600 characters"
            )


def parse_result(text: str, source: Path) -> Score:
    """Read the counts from sclite's raw table.

    Raises:
        KDError: If the text has no such table.
    """
    found = RAW_SUM.search(text)
    if found is None:
        raise KDError(f"sclite's answer has no 'Sum' row; see {source}")
    sentences, words = map(int, found[1].split())
    correct, sub, dele, ins, _errors, wrong = map(int, found[2].split())
    return Score(sentences, words, correct, sub, dele, ins, wrong)
