#!/usr/bin/env python3
"""Lay AN4's features out as Kaldi data directories: train, dev, test, and train in two.

The source holds train, dev and test, each with feats.ark, text and utt2spk: 39
coefficients (13 MFCC and their first and second differences), 100 frames a second.
Every fourth utterance of train goes to train_25, the others to train_75: a quarter that
somebody transcribed, and the audio that nobody did.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import kaldiio
import numpy as np

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.data_source import PICKLE
from espnet_kd.host.kaldi_dir import copy_subset, read_table, write_speakers, write_table

SETS = ("train", "dev", "test")
TRANSCRIBED = 4


def main() -> None:
    """Write the five directories."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    args = parser.parse_args()
    with named_errors("prepare"):
        for name in SETS:
            write_set(args.source / name, args.output_dir / name)
        split(args.output_dir / "train")


def write_set(source: Path, folder: Path) -> None:
    """Write one set; its text last, which says that it is whole."""
    archive = source / "feats.ark"
    if not archive.is_file():
        raise KDError(f"{archive} is missing; --an4_dir names a folder of {SETS}")
    target = folder.parent / "ark" / source.name  # beside the tables, not among them
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with kaldiio.WriteHelper(f"ark,scp:{target}.ark,{folder}/feats.scp") as write:
        for utt, feats in read_archive(archive):
            write(utt, feats)
    write_speakers(folder, read_table(source / "utt2spk"))
    write_table(folder / "text", read_table(source / "text"))


def read_archive(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Read an archive in order, and no pickle in it, which kaldiio would run."""
    try:
        with open(path, "rb") as file:
            while utt := kaldiio.matio.read_token(file):
                if file.peek(len(PICKLE)).startswith(PICKLE):
                    raise KDError(f"{path}: '{utt}' is a pickle, which could run code")
                yield utt, kaldiio.matio.read_kaldi(file)
    except KDError:
        raise
    except Exception as error:  # whatever damaged bytes do to kaldiio
        text = f"{path} is damaged ({reason_of(error)}); copy the corpus anew"
        raise KDError(text) from None


def split(train: Path) -> None:
    """Write train_25 and train_75."""
    utts = sorted(read_table(train / "text"))
    if len(utts) < TRANSCRIBED:
        raise KDError(f"{train}/text has {len(utts)} utterances, too few to be split")
    quarter = set(utts[::TRANSCRIBED])
    for name, keep in (("train_25", quarter), ("train_75", set(utts) - quarter)):
        copy_subset(train, train.with_name(name), keep)


if __name__ == "__main__":
    main()
