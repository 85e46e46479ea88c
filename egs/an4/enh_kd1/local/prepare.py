#!/usr/bin/env python3
"""Mix AN4's speech with noise; speakers and noises of train, dev and test are their own.

AN4 holds train.tsv and test.tsv (utterance, file, transcript; the speaker is what stands
before the first hyphen). Some speakers of train are for dev. The noise holds clips.tsv
(file, fold): folds 1 and 2 are for train, 3 for dev, 4 for test.

Written are wav.scp (what is heard), spk1.scp (the clean speech), text, utt2spk and
spk2utt. What is heard in dev and test is mixed here, once and for all, as 'mixtures' says:
utterance, noise, ratio in dB. In train it is the clean speech itself, for ESPnet's own
preprocessor mixes that anew whenever it is read, with the noises of train/noise.scp.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile
from generate import generate
from mixing import clips_of, draws_of, mixed, stretch_of
from prepare_audio import Recording, write_set
from voices import FS, apart, read_mono

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import write_table

FOLDS = {"train": ("1", "2"), "dev": ("3",), "test": ("4",)}


@dataclass(frozen=True)
class Mixing:
    """How dev and test are mixed.

    Attributes:
        low: Lowest ratio of speech to noise, in dB.
        high: Highest ratio.
        seed: Seed of noises, places in them and ratios.
    """

    low: float
    high: float
    seed: int


def get_parser() -> argparse.ArgumentParser:
    """Give the script's parser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--an4_audio", type=Path, help="folder of AN4 as audio")
    source.add_argument("--generated", action="store_true", help="make a few signals up")
    add("--noise", type=Path, help="folder of noises, with clips.tsv")
    add("--output_dir", type=Path, required=True)
    add("--dev_speakers", type=int, default=8, help="number of them, of train's")
    add("--low_snr", type=float, default=-5.0, help="in dB")
    add("--high_snr", type=float, default=10.0, help="in dB")
    add("--seed", type=int, default=0)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write train, dev and test."""
    args = get_parser().parse_args(cmd)
    with named_errors("prepare"):
        speech, noise = args.an4_audio, args.noise
        if args.generated:
            speech, noise = generate(args.output_dir / "generated", FS, args.seed)
        if noise is None:
            raise KDError("--noise DIR is missing: a folder of noises, with clips.tsv")
        how = Mixing(args.low_snr, args.high_snr, args.seed)
        prepare(speech, noise, args.output_dir, args.dev_speakers, how)


def prepare(
    speech: Path, noise: Path, output_dir: Path, dev_speakers: int, how: Mixing
) -> None:
    """Write the three directories; train last, which says that all are whole.

    Raises:
        KDError: If a file is missing or does not fit, or sets would share a speaker.
    """
    voices = apart(speech, dev_speakers)
    clips = {name: clips_of(noise, folds) for name, folds in FOLDS.items()}
    for name in ("test", "dev"):
        write_mixed(output_dir / name, voices[name], clips[name], how)
    names = {
        "-".join(clip.with_suffix("").parts[-2:]): str(clip) for clip in clips["train"]
    }
    write_table(output_dir / "train" / "noise.scp", names)
    write_clean(output_dir / "train", voices["train"])
    write_set(output_dir / "train", voices["train"])


def write_clean(folder: Path, recordings: Sequence[Recording]) -> None:
    """Write spk1.scp: what of the mixture is speech."""
    write_table(folder / "spk1.scp", {r.utterance: str(r.audio) for r in recordings})


def write_mixed(
    folder: Path, recordings: Sequence[Recording], clips: Sequence[Path], how: Mixing
) -> None:
    """Write one directory whose mixtures are made here."""
    heard, told = [], {}
    for recording in recordings:
        draws = draws_of(how.seed, recording.utterance)
        clip = clips[draws.integers(len(clips))]
        snr = round(float(draws.uniform(how.low, how.high)), 2)
        speech = read_mono(recording.audio)
        noise = stretch_of(read_mono(clip), len(speech), draws)
        path = folder.absolute() / "audio" / f"{recording.utterance}.wav"
        with whole_file(path, "wb") as file:
            # Floating point: noise may take the sum out of the range of whole numbers.
            data = mixed(speech, noise, snr)
            soundfile.write(file, data, FS, format="WAV", subtype="FLOAT")
        heard.append(replace(recording, audio=path))
        told[recording.utterance] = f"{clip.parent.name}/{clip.name} {snr:g}"
    write_table(folder / "mixtures", told)
    write_clean(folder, recordings)
    write_set(folder, heard)


if __name__ == "__main__":
    main()
