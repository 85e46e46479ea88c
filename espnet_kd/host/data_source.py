"""Data that a command line names, looked at before ESPnet opens them."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
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
    if kind in PATHS or kind == "text":
        table = read_table(Path(path))
        wanted = [key for key in (table if keys is None else keys) if key in table]
        values = [(f"{path}: '{key}'", table[key]) for key in wanted]
        if kind == "text":
            _check_texts(values)
        else:
            _check_places(values, kind)
    return path, name, kind


def _check_texts(values: Iterable[tuple[str, str]]) -> None:
    for head, text in values:
        if len(text) > LONGEST:
            length = f"{len(text):,}"
            raise KDError(f"{head} has a text of {length} characters; cut the utterance")


def _check_places(values: Iterable[tuple[str, str]], kind: str) -> None:
    places = (_Place.of(head, value, kind) for head, value in values)
    # One look at an archive serves all the utterances that follow each other in it.
    for file, inside in groupby(places, attrgetter("file")):
        if os.path.isfile(file):
            _refuse_pickles(file, list(inside))
        elif os.path.exists(file):
            raise KDError(f"{next(inside).head} is {file}, which is no file")


@dataclass(frozen=True)
class _Place:
    """Where an utterance's data are.

    Attributes:
        head: What a sentence about it begins with.
        file: The file.
        offset: Where they begin in an archive of Kaldi's; None for a whole file.
    """

    head: str
    file: str
    offset: int | None

    @classmethod
    def of(cls, head: str, value: str, kind: str) -> "_Place":
        if value.startswith("|") or value.endswith("|"):
            raise KDError(
                f"{head} is a command ('{value[:60]}'), which is not run here; write its "
                "output to a file, as stage 3 of ESPnet's recipes does"
            )
        found = PLACE.fullmatch(value) if kind == "kaldi_ark" else None
        if found is None:
            return cls(head, value, None)
        return cls(head, found["path"], int(found["offset"] or 0))


def _refuse_pickles(file: str, places: Sequence[_Place]) -> None:
    if places[0].offset is None:
        return
    with open(file, "rb") as archive:
        for place in places:
            archive.seek(place.offset or 0)
            if archive.read(len(PICKLE)) == PICKLE:
                raise KDError(
                    f"{place.head} is a pickle in {file}, which could run code when it is "
                    "read; refused. Get the data from a source you trust"
                )


def as_speech(data: Sequence[str], hears: str) -> list[str]:
    """Name a stream of some data their speech, in its place.

    Args:
        data: ``PATH,NAME,TYPE`` each.
        hears: The stream's name; empty leaves the data as they are.

    Raises:
        KDError: If that is not among them.
    """
    if not hears:
        return list(data)
    named = [(text, *text.rsplit(",", 2)) for text in data]
    found = [parts for parts in named if len(parts) == 4 and parts[2] == hears]
    if not found:
        raise KDError(
            f"--hears {hears}: none of the data has that name; add "
            f"--data_path_and_name_and_type PATH,{hears},sound"
        )
    _, path, _, kind = found[0]
    others = [text for text, *rest in named if rest[1:2] not in (["speech"], [hears])]
    return [f"{path},speech,{kind}", *others]
