"""Kaldi-style data directories: one line an utterance, sorted, written whole."""

import os
from collections.abc import Mapping
from pathlib import Path

from espnet_kd.documents import read_text
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file

# A key becomes part of a file's name, which is no longer on any disk.
LONGEST_KEY = 255


def read_table(path: Path) -> dict[str, str]:
    """Read ``key value`` lines; an empty value is kept as such.

    Raises:
        KDError: If the file is missing or no text, or a key comes twice.
    """
    if not os.path.exists(path):
        raise KDError(f"{path} is missing; run the stage that makes it")
    table: dict[str, str] = {}
    lines = read_text(path, f"{path} cannot be read").split("\n")
    for line in filter(str.strip, lines):
        key, *value = line.split(maxsplit=1)
        if len(key) > LONGEST_KEY:
            raise KDError(f"{path}: '{key[:30]}...' is no name but {len(key)} characters")
        if key in table:
            raise KDError(f"{path}: '{key}' comes twice")
        table[key] = value[0].strip() if value else ""
    return table


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Write ``key value`` lines, sorted by key, as Kaldi and sclite expect.

    Args:
        path: The file to write; its directory is made if it is not there.
        table: Key to value; an empty value leaves the key alone on its line.

    Raises:
        KDError: If the file cannot be written.
    """
    with whole_file(path) as file:
        file.writelines(f"{key} {table[key]}".rstrip(" ") + "\n" for key in sorted(table))


def write_speakers(folder: Path, utt2spk: Mapping[str, str]) -> None:
    """Write ``utt2spk`` and its inverse ``spk2utt``.

    Args:
        folder: The data directory.
        utt2spk: Utterance to speaker.
    """
    spk2utt: dict[str, list[str]] = {}
    for utt in sorted(utt2spk):
        spk2utt.setdefault(utt2spk[utt], []).append(utt)
    write_table(folder / "utt2spk", utt2spk)
    joined = {speaker: " ".join(utts) for speaker, utts in spk2utt.items()}
    write_table(folder / "spk2utt", joined)


def copy_subset(source: Path, target: Path, keep: set[str]) -> None:
    """Copy a data directory, keeping only some utterances in every table.

    Args:
        source: A data directory with ``utt2spk``.
        target: The data directory to write.
        keep: The utterances; a table that has none of them is left out.
    """
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name not in ("spk2utt", "utt2spk"):
            table = read_table(path)
            if table.keys() & keep:
                kept = {utt: value for utt, value in table.items() if utt in keep}
                write_table(target / path.name, kept)
    utt2spk = read_table(source / "utt2spk")
    write_speakers(target, {u: s for u, s in utt2spk.items() if u in keep})
