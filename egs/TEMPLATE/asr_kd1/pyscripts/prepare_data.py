#!/usr/bin/env python3
"""Verify a corpus in LibriSpeech's layout and write it as Kaldi data directories.

Each set's directory gets wav.scp, text, utt2spk, spk2utt and utt2num_samples. Every
audio file is opened: one that is missing, truncated or at another sampling rate is named
and counted; the stage stops, or drops them if --drop_bad_audio is given.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile
from audio_file import UNREADABLE
from corpora import ARCHIVES, SETS
from download import fetch

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_text
from espnet_kd.errors import KDError, suggest
from espnet_kd.host.kaldi_dir import write_speakers, write_table

SHOWN = 10


@dataclass(frozen=True)
class Utterance:
    """One transcribed recording, and what is wrong with it."""

    name: str
    speaker: str
    audio: Path
    text: str
    samples: int = 0
    problem: str = ""


def main(cmd: list[str] | None = None) -> None:
    """Prepare the named sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--corpus_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--fs", type=int, default=16000)
    parser.add_argument("--download", action="store_true")
    parser.add_argument("--drop_bad_audio", action="store_true")
    args = parser.parse_args(cmd)
    with named_errors("prepare_data"):
        for name in dict.fromkeys(args.sets):
            prepare_set(args, name)


def prepare_set(args: argparse.Namespace, name: str) -> None:
    """Write one set's data directory."""
    utterances: list[Utterance] = []
    for subset in subsets_of(args.corpus, name):
        folder = args.corpus_dir / subset
        if not folder.is_dir() and args.download and subset in ARCHIVES:
            fetch(ARCHIVES[subset], args.corpus_dir)
        utterances += read_subset(folder)
    utterances = verify(utterances, args.fs)
    good = refuse_or_drop(utterances, name, args.drop_bad_audio)
    write_set(args.output_dir / name, good)
    hours = sum(u.samples for u in good) / args.fs / 3600
    print(f"{name}: {len(good)} utterances, {hours:.2f} h", file=sys.stderr)


def subsets_of(corpus: str, name: str) -> tuple[str, ...]:
    """Subset folders of a set of a corpus."""
    if corpus not in SETS:
        raise KDError(f"unknown corpus '{corpus}'; {suggest(corpus, SETS)}")
    if name not in SETS[corpus]:
        raise KDError(f"{corpus} has no set '{name}'; {suggest(name, SETS[corpus])}")
    return SETS[corpus][name]


def read_subset(folder: Path) -> list[Utterance]:
    """Read every transcript below a subset's folder."""
    if not folder.is_dir():
        raise KDError(
            f"{folder} is not there. Point --librispeech_dir at a folder that holds it, "
            "or let stage 1 download it (--download true, needs the network)."
        )
    utterances = [u for path in sorted(folder.rglob("*.trans.txt")) for u in _read(path)]
    if not utterances:
        raise KDError(f"{folder} holds no *.trans.txt with lines; is it unpacked whole?")
    return utterances


def _read(transcript: Path) -> Iterator[Utterance]:
    for line in read_text(transcript, f"{transcript} cannot be read").split("\n"):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        if "/" in name:
            raise KDError(f"{transcript}: '{name[:60]}' is no utterance's name")
        # Speaker and chapter, as ESPnet's recipe: a reader changes between chapters.
        speaker = name.rsplit("-", 1)[0]
        audio = transcript.parent / f"{name}.flac"
        yield Utterance(name, speaker, audio, text.strip())


def verify(utterances: list[Utterance], fs: int) -> list[Utterance]:
    """Open every file; note its length or what is wrong with it."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda u: _verified(u, fs), utterances))


def _verified(utterance: Utterance, fs: int) -> Utterance:
    samples, problem = inspect_audio(utterance.audio, fs)
    return replace(utterance, samples=samples, problem=problem)


def inspect_audio(path: Path, fs: int) -> tuple[int, str]:
    """Length in samples and an empty string, or 0 and what is wrong."""
    if not os.path.isfile(path):
        return 0, "missing"
    try:
        with soundfile.SoundFile(path) as audio:
            if audio.samplerate != fs:
                return 0, f"at {audio.samplerate} Hz instead of {fs}"
            if audio.channels != 1:
                return 0, f"has {audio.channels} channels; one is needed"
            audio.seek(max(audio.frames - 1, 0))
            if audio.frames and len(audio.read(1)) != 1:
                return 0, "truncated"
            return audio.frames, ""
    except UNREADABLE as error:
        return 0, f"unreadable or truncated ({error})"


def refuse_or_drop(utterances: list[Utterance], name: str, drop: bool) -> list[Utterance]:
    """Stop at bad audio, naming it, unless told to drop it."""
    bad = [u for u in utterances if u.problem]
    for utterance in bad[:SHOWN]:
        print(f"{utterance.audio}: {utterance.problem}", file=sys.stderr)
    if bad and not drop:
        raise KDError(
            f"{name}: {len(bad)} of {len(utterances)} audio files are bad, the first "
            f"{min(len(bad), SHOWN)} are listed above. Restore them, or drop them "
            "with --drop_bad_audio true."
        )
    if bad:
        print(f"{name}: dropped {len(bad)} bad audio files", file=sys.stderr)
    return [u for u in utterances if not u.problem]


def write_set(folder: Path, utterances: list[Utterance]) -> None:
    """Write the tables of one data directory."""
    write_table(folder / "wav.scp", {u.name: str(u.audio.resolve()) for u in utterances})
    write_table(folder / "text", {u.name: u.text for u in utterances})
    write_speakers(folder, {u.name: u.speaker for u in utterances})
    lengths = {u.name: str(u.samples) for u in utterances}
    write_table(folder / "utt2num_samples", lengths)


if __name__ == "__main__":
    main()
