"""The utterances that a student gets most wrong, beside every system's words."""

import re
from collections.abc import Mapping
from pathlib import Path

from espnet_kd.alignment.words import word_errors
from espnet_kd.documents import read_text
from espnet_kd.errors import KDError
from espnet_kd.report.section import Section

TRN = re.compile(r"(.*)\(([^()]*)\)\s*$")


def read_trn(path: Path) -> dict[str, str]:
    """Read the utterances of a file in sclite's format, ``words (name)`` a line.

    Raises:
        KDError: If the file is missing or has another format.
    """
    if not path.exists():
        raise KDError(f"{path} is missing; run the scoring stage first")
    found: dict[str, str] = {}
    for line in filter(None, read_text(path, f"{path} cannot be read").split("\n")):
        match = TRN.fullmatch(line)
        if match is None:
            raise KDError(f"{path} is no .trn file; run the scoring stage again")
        found[match[2]] = match[1].strip()
    if not found:
        raise KDError(f"{path} holds no utterance; run the scoring stage again")
    return found


def worst_section(
    reference: Mapping[str, str], systems: Mapping[str, Mapping[str, str]], count: int = 10
) -> Section:
    """Show the most wrong utterances of the last system, with all systems' words.

    Args:
        reference: Utterance to words.
        systems: Name of a system to its utterances' words.
        count: Number of utterances at most; those without an error are left out.
    """
    last = list(systems)[-1]
    errors = {u: word_errors(words, systems[last][u]) for u, words in reference.items()}
    ranked = sorted((u for u in errors if errors[u]), key=lambda u: (-errors[u], u))
    head = ["utterance", "reference"]
    head += [f"{name} (errors)" for name in systems]
    rows = []
    for utt in ranked[:count]:
        words = reference[utt]
        cells = [f"{t[utt]} ({word_errors(words, t[utt])})" for t in systems.values()]
        rows.append([utt, words, *cells])
    text = "" if rows else f"{last} makes no error."
    return Section(f"Worst utterances of {last}", head, rows, text=text)
