"""Data that a command line names, looked at before ESPnet opens them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table

# Types whose values are paths, one a line, with a place in the file for Kaldi's archives.
PATHS = ("kaldi_ark", "sound", "npy")
PLACE = re.compile(r"(?P<path>.*?)(:(?P<offset>[0-9]{1,18}))?(\[[^\]]*\])?")
# What kaldiio takes for a pickle.
PICKLE = b"PKL"
# Characters of an utterance's text; attention takes the square of its tokens.
LONGEST = 20_000


def check_source(text: str, keys: Sequence[str] | None) -> tuple[str, str, str]:
    """Require data that can be read to their end without running anything.

    Kaldi's tables may name commands instead of files, and its archives may hold pickles,
    as which anything can be run.

    Args:
        text: ``PATH,NAME,TYPE``.
        keys: Utterances that are going to be read; None for all.

    Returns:
        Path, name and type.

    Raises:
        KDError: If it has another form, or a table names what is no file of data.
    """
    fields = text.split(",")
    if len(fields) != 3:
        raise KDError(f"the data '{text}' are not PATH,NAME,TYPE")
    path, name, kind = fields
    check = _check_place if kind in PATHS else _check_text if kind == "text" else None
    if check is not None:
        table = read_table(Path(path))
        for key in table if keys is None else keys:
            if key in table:
                check(f"{path}: '{key}'", table[key], kind)
    return path, name, kind


def _check_text(head: str, value: str, _kind: str) -> None:
    if len(value) > LONGEST:
        raise KDError(f"{head} has a text of {len(value):,} characters; cut the utterance")


def _check_place(head: str, value: str, kind: str) -> None:
    if value.startswith("|") or value.endswith("|"):
        raise KDError(
            f"{head} is a command ('{value[:60]}'), which is not run here; write its "
            "output to a file, as stage 3 of ESPnet's recipes does"
        )
    found = PLACE.fullmatch(value) if kind == "kaldi_ark" else None
    file = found["path"] if found else value
    if os.path.exists(file) and not os.path.isfile(file):
        raise KDError(f"{head} is {file}, which is no file")
    if (
        found
        and os.path.isfile(file)
        and _begins_with_pickle(file, int(found["offset"] or 0))
    ):
        raise KDError(
            f"{head} is a pickle in {file}, which could run code when it is read; refused. "
            "Get the data from a source you trust"
        )


def _begins_with_pickle(file: str, offset: int) -> bool:
    with open(file, "rb") as archive:
        archive.seek(offset)
        return archive.read(len(PICKLE)) == PICKLE
