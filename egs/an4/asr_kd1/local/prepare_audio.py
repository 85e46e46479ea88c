#!/usr/bin/env python3
"""Lay AN4's audio out as Kaldi data directories, split as ESPnet's own recipe does.

The source holds train.tsv and test.tsv (utterance, file, transcript; the speaker is what
stands before the first hyphen) and the files that they name. The first hundred utterances
of train, sorted by name, become train_dev; the rest becomes train_nodev.
"""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_text
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import write_speakers, write_table

FIELDS = 3


@dataclass(frozen=True)
class Recording:
    """One row of a list."""

    utterance: str
    audio: Path
    text: str

    @property
    def speaker(self) -> str:
        """The name before the first hyphen."""
        return self.utterance.partition("-")[0]


def main(cmd: list[str] | None = None) -> None:
    """Write train_nodev, train_dev and test."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--dev_utterances", type=int, default=100)
    args = parser.parse_args(cmd)
    with named_errors("prepare_audio"):
        prepare(args.source, args.output_dir, args.dev_utterances)


def prepare(source: Path, output_dir: Path, dev_utterances: int) -> None:
    """Write the three directories; train_nodev last, which says that all are whole."""
    for name, recordings in split(source, dev_utterances).items():
        write_set(output_dir / name, recordings)


def split(source: Path, dev_utterances: int) -> dict[str, list[Recording]]:
    """The recordings of test, train_dev and train_nodev, in this order.

    Raises:
        KDError: If nothing would be left to train on.
    """
    train = read_list(source / "train.tsv")
    if len(train) <= dev_utterances:
        raise KDError(
            f"{source / 'train.tsv'} has {len(train)} utterances, which leaves none to "
            f"train on beside the {dev_utterances} for validation; give the whole corpus"
        )
    return {
        "test": read_list(source / "test.tsv"),
        "train_dev": train[:dev_utterances],
        "train_nodev": train[dev_utterances:],
    }


def read_list(path: Path) -> list[Recording]:
    """Read a list, sorted by utterance."""
    if not path.exists():
        raise KDError(
            f"{path} is missing; --an4_audio names a folder with train.tsv, test.tsv and "
            "the audio that they list"
        )
    lines = read_text(path, f"{path} cannot be read").rstrip("\n").split("\n")
    rows = [_recording(path, number, line) for number, line in enumerate(lines, 1)]
    return sorted(rows, key=lambda row: row.utterance)


def _recording(path: Path, number: int, line: str) -> Recording:
    fields = line.split("\t")
    if len(fields) != FIELDS:
        raise KDError(
            f"{path}, line {number} has {len(fields)} fields instead of {FIELDS}: "
            "utterance, file and transcript, with tabs between them"
        )
    utterance, file, text = fields
    audio = Path(os.path.abspath(path.parent / file))  # resolve() stumbles over circles
    return Recording(utterance, audio, " ".join(text.split()))


def write_set(folder: Path, recordings: list[Recording]) -> None:
    """Write one directory; its text last."""
    write_table(folder / "wav.scp", {r.utterance: str(r.audio) for r in recordings})
    write_speakers(folder, {r.utterance: r.speaker for r in recordings})
    write_table(folder / "text", {r.utterance: r.text for r in recordings})


if __name__ == "__main__":
    main()
