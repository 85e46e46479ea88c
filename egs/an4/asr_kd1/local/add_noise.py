#!/usr/bin/env python3
"""Copy Kaldi data directories with noise in their audio, at one ratio.

The folds of the noise (clips.tsv: file, fold) are shared out, so that no noise of a test
is heard before: 1 and 2 are for train_nodev, 3 for train_dev, 4 for test. Which noise an
utterance gets, and which stretch of it, depends on its name and the seed alone.
"""

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

import soundfile
from mixing import clips_of, draws_of, mixed, stretch_of
from voices import FS, read_mono

from espnet_kd.bin.command import named_errors
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table, write_table

FOLDS = {"train_nodev": ("1", "2"), "train_dev": ("3",), "test": ("4",)}


def main(cmd: list[str] | None = None) -> None:
    """Write every set; train_nodev last, which says that all are whole."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="clean directories")
    parser.add_argument("--noise", type=Path, required=True, help="clips, and clips.tsv")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--snr", type=float, default=5.0, help="in dB")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(cmd)
    with named_errors("add_noise"):
        for name in reversed(FOLDS):
            clips = clips_of(args.noise, FOLDS[name])
            add(args.source / name, args.output_dir / name, clips, args.snr, args.seed)


def add(source: Path, folder: Path, clips: Sequence[Path], snr: float, seed: int) -> None:
    """Write one directory; its wav.scp last."""
    heard = {}
    for utterance, path in read_table(source / "wav.scp").items():
        draws = draws_of(seed, utterance)
        clip = clips[draws.integers(len(clips))]
        speech = read_mono(Path(path))
        noise = stretch_of(read_mono(clip), len(speech), draws)
        target = folder.absolute() / "audio" / f"{utterance}.wav"
        with whole_file(target, "wb") as file:
            # Floating point: noise may take the sum out of the range of whole numbers.
            soundfile.write(file, mixed(speech, noise, snr), FS, "FLOAT", format="WAV")
        heard[utterance] = str(target)
    for name in ("text", "utt2spk", "spk2utt"):
        shutil.copyfile(source / name, folder / name)
    write_table(folder / "wav.scp", heard)


if __name__ == "__main__":
    main()
