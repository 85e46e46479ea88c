"""Write a cache: shards that go on where they were killed, then one index over all."""

import io
import os
from dataclasses import replace
from pathlib import Path

import kaldiio

from espnet_kd.cache.codec import Entry, decode, encode, read_block
from espnet_kd.cache.header import HEADER, INDEX, Header, read_header, write_header
from espnet_kd.cache.places import read_index
from espnet_kd.documents import read_text
from espnet_kd.errors import KDError
from espnet_kd.host.files import hash_files, whole_file


class Shard:
    """One job's part of a cache.

    An entry counts once its line is in the index, and the line follows its bytes. After
    a kill the archive is cut behind the last entry that can be read in full, and what is
    missing is written again.

    Args:
        directory: The cache.
        number: Of the job.
        header: What is written; a shard begun with another is refused.
    """

    def __init__(self, directory: Path, number: int, header: Header) -> None:
        self.ark = directory / f"targets.{number}.ark"
        self.index = directory / f"targets.{number}.scp"
        self.header_file = directory / f"targets.{number}.json"
        self.header = header
        self.done: set[str] = set()
        directory.mkdir(parents=True, exist_ok=True)
        self._check_header()
        self._resume()

    def add(self, entry: Entry) -> None:
        """Write an entry.

        Raises:
            KDError: If the disk is full or cannot be written.
        """
        block = io.BytesIO()
        kaldiio.save_ark(block, {entry.utt: encode(entry)}, write_function="numpy")
        try:
            with open(self.ark, "ab") as ark:
                offset = ark.tell() + len(entry.utt.encode()) + 1
                ark.write(block.getvalue())
            with open(self.index, "a", encoding="utf-8") as index:
                index.write(f"{entry.utt} {self.ark.name}:{offset}\n")
        except OSError as error:
            raise KDError(
                f"cannot write {self.ark}: {error.strerror or error}. Free some space and "
                "run the same again; it goes on from here."
            ) from error
        self.done.add(entry.utt)

    def _check_header(self) -> None:
        if not self.header_file.exists():
            write_header(self.header_file, self.header)
        elif read_header(self.header_file) != self.header:
            raise KDError(
                f"{self.ark} was begun with another teacher or other settings; remove "
                "it, or write to another directory"
            )

    def _resume(self) -> None:
        """Keep the entries that are whole, cut off the rest."""
        begun = read_text(self.index, f"{self.index}") if self.index.exists() else ""
        kept: dict[str, str] = {}
        end = 0
        for line in begun.split("\n"):
            utt, _, place = line.rpartition(" ")
            after = _end_of(self.ark, utt, place) if utt not in kept else None
            if after is None:
                break
            kept[utt] = place
            end = after
        if begun or self.ark.exists():
            self._cut(end)
            with whole_file(self.index) as index:
                index.writelines(f"{utt} {place}\n" for utt, place in kept.items())
        self.done = set(kept)

    def _cut(self, end: int) -> None:
        try:
            if os.path.exists(self.ark) and not os.path.isfile(self.ark):
                raise KDError(f"{self.ark} is no file; write to another directory")
            with open(self.ark, "ab") as ark:
                ark.truncate(end)
        except OSError as error:
            text = f"cannot write {self.ark}: {error.strerror or error}"
            raise KDError(f"{text}; write to another directory") from None


def _end_of(ark: Path, utt: str, place: str) -> int | None:
    """Where an entry ends in its archive, or None if it is not whole."""
    name, _, offset = place.rpartition(":")
    if name != ark.name or not ark.is_file():
        return None
    try:
        with open(ark, "rb") as file:
            file.seek(int(offset))
            decode(read_block(file), utt)
            return file.tell()
    except Exception:  # whatever half an entry does to a reader
        return None


def merge(directory: Path, wanted: list[str]) -> Header:
    """Make one index over all shards, and the header that makes it a cache.

    Args:
        directory: With the shards.
        wanted: Every utterance that there must be.

    Raises:
        KDError: If shards differ, or utterances are missing or double.
    """
    headers = {path: read_header(path) for path in sorted(directory.glob("targets.*.json"))}
    if not headers:
        raise KDError(f"{directory} holds no shards (targets.N.json)")
    first_path, first = next(iter(headers.items()))
    for path, header in headers.items():
        if header != first:
            raise KDError(
                f"{path.name} and {first_path.name} are of different teachers "
                "or settings; remove the one that is wrong"
            )
    lines: dict[str, str] = {}
    for path in headers:
        for utt, place in read_index(path.with_suffix(".scp")).items():
            if utt in lines:
                raise KDError(
                    f"'{utt}' is in two shards: {lines[utt]} and {place}. Was it begun "
                    "with another number of jobs? Remove the directory and write it again"
                )
            lines[utt] = place
    _check_coverage(directory, lines, wanted)
    with whole_file(directory / INDEX) as index:
        index.writelines(f"{utt} {lines[utt]}\n" for utt in sorted(lines))
    digest = hash_files([directory / INDEX])
    header = replace(first, utterances=len(lines), index_hash=digest)
    write_header(directory / HEADER, header)
    return header


def _check_coverage(directory: Path, lines: dict[str, str], wanted: list[str]) -> None:
    missing = [utt for utt in wanted if utt not in lines]
    needless = lines.keys() - set(wanted)
    if missing:
        raise KDError(
            f"{directory}: {len(missing)} of {len(wanted)} utterances are missing, first "
            f"'{missing[0]}': a job has not come to its end; run it again"
        )
    if needless:
        raise KDError(
            f"{directory}: {len(needless)} utterances are not of this data, first "
            f"'{min(needless)}': "
            "shards of another set or number of jobs lie there; remove them"
        )
