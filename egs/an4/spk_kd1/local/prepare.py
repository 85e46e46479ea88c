#!/usr/bin/env python3
"""Lay AN4 out for speaker models: whom to learn by name, and pairs of voices to compare.

AN4 holds train.tsv and test.tsv (utterance, file, transcript; the speaker is what stands
before the first hyphen). Some speakers of train are for dev, which is pairs of their
utterances: its wav.scp and wav2.scp name the two sides, its labels say 1 where one speaker
says both. Each side is pieces of a few seconds, evenly spaced, as ESPnet's own recipe has
them. Train has a number for the speaker in labels, which follows spk2utt. Both have lengths
in speech_shape. Test is laid out as usual: local/evaluate.py compares all of its pairs.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from generate import generate
from prepare_audio import Recording, write_set
from voices import FS, apart, read_mono

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import write_table

PIECES = 3


def get_parser() -> argparse.ArgumentParser:
    """Give the script's parser."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--an4_audio", type=Path, help="folder of AN4 as audio")
    source.add_argument("--generated", action="store_true", help="make a few signals up")
    add("--output_dir", type=Path, required=True)
    add("--dev_speakers", type=int, default=8, help="number of them, of train's")
    add("--dev_pairs", type=int, default=300, help="of each kind, of one voice and of two")
    add("--seconds", type=float, default=2.0, help="of a piece of dev")
    add("--seed", type=int, default=0)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write train, dev and test."""
    args = get_parser().parse_args(cmd)
    with named_errors("prepare"):
        speech = args.an4_audio
        if args.generated:
            speech, _ = generate(args.output_dir / "generated", FS, args.seed)
        prepare(args, speech)


def prepare(args: argparse.Namespace, speech: Path) -> None:
    """Write the three directories; train last, which says that all are whole."""
    voices = apart(speech, args.dev_speakers)
    write_set(args.output_dir / "test", voices["test"])
    pairs = drawn_pairs(voices["dev"], args.dev_pairs, np.random.default_rng(args.seed))
    write_pairs(args.output_dir / "dev", pairs, round(args.seconds * FS))
    write_voices(args.output_dir / "train", voices["train"])


def write_voices(folder: Path, recordings: Sequence[Recording]) -> None:
    """Write train: a number for each speaker, and lengths, by which batches are made."""
    numbers = {s: n for n, s in enumerate(sorted({r.speaker for r in recordings}))}
    write_table(
        folder / "labels", {r.utterance: str(numbers[r.speaker]) for r in recordings}
    )
    lengths = {r.utterance: str(len(read_mono(r.audio))) for r in recordings}
    write_table(folder / "speech_shape", lengths)
    write_set(folder, recordings)


def drawn_pairs(
    recordings: Sequence[Recording], count: int, draws: np.random.Generator
) -> list[tuple[Recording, Recording]]:
    """Pairs of different utterances: as many of one speaker as of two, or all there are.

    Raises:
        KDError: If one of the kinds is missing.
    """
    pairs = list(combinations(recordings, 2))
    kinds = [[p for p in pairs if is_one_voice(p) == same] for same in (True, False)]
    if not all(kinds):
        raise KDError(
            "dev needs two speakers at least, and one of them with two utterances; raise "
            "--dev_speakers"
        )
    found = []
    for kind in kinds:
        places = draws.permutation(len(kind))[:count]
        found += [kind[place] for place in sorted(places)]
    return found


def is_one_voice(pair: tuple[Recording, Recording]) -> bool:
    """Whether one speaker says both."""
    return pair[0].speaker == pair[1].speaker


def write_pairs(
    folder: Path, pairs: Sequence[tuple[Recording, Recording]], length: int
) -> None:
    """Write dev: the pieces of each utterance once, and the pairs."""
    places = {}
    for recording in {r.utterance: r for pair in pairs for r in pair}.values():
        path = folder.absolute() / "pieces" / f"{recording.utterance}.npy"
        with whole_file(path, "wb") as file:
            np.save(file, pieces_of(read_mono(recording.audio), length))
        places[recording.utterance] = str(path)
    names = {"*".join(r.utterance for r in pair): pair for pair in pairs}
    for side, table in enumerate(("wav.scp", "wav2.scp")):
        sides = {key: places[pair[side].utterance] for key, pair in names.items()}
        write_table(folder / table, sides)
    write_table(folder / "speech_shape", dict.fromkeys(names, f"{PIECES},{length}"))
    labels = {key: str(int(is_one_voice(pair))) for key, pair in names.items()}
    write_table(folder / "labels", labels)


def pieces_of(samples: np.ndarray, length: int) -> np.ndarray:
    """Evenly spaced pieces, (PIECES, length); what is shorter begins anew."""
    if len(samples) < length:
        samples = np.pad(samples, (0, length - len(samples)), "wrap")
    starts = np.linspace(0, len(samples) - length, PIECES).astype(int)
    return np.stack([samples[start : start + length] for start in starts])


if __name__ == "__main__":
    main()
