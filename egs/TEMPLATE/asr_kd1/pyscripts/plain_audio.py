#!/usr/bin/env python3
"""Turn a Kaldi data directory into one whose wav.scp names an audio file an utterance.

An entry of wav.scp that ends in '|' is a command, and IS RUN by bash; what it writes to
its standard output is a recording. Segments are cut out of their recordings. Both become
FLAC files of 16 bits in the audio directory; files that are there stay where they are.
"""

import argparse
import io
import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from audio_file import UNREADABLE
from prepare_data import Utterance, inspect_audio, refuse_or_drop, write_set

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table

SEGMENT_FIELDS = 3
# Seconds by which a segment may end behind its recording and is cut there, as in Kaldi.
OVERSHOOT = 0.5


@dataclass(frozen=True)
class Span:
    """Where an utterance lies in a recording, in seconds; None is the recording's end."""

    recording: str
    start: float = 0.0
    end: float | None = None


def main(cmd: list[str] | None = None) -> None:
    """Write one directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--audio_dir", type=Path, required=True)
    parser.add_argument("--fs", type=int, default=16000)
    parser.add_argument("--nj", type=int, default=2)
    parser.add_argument("--drop_bad_audio", action="store_true")
    args = parser.parse_args(cmd)
    with named_errors("plain_audio"):
        if args.data_dir.resolve() == args.output_dir.resolve():
            raise KDError(
                f"{args.output_dir} would be overwritten by what is made of it; give "
                "another --datadir"
            )
        utterances = plain(args.data_dir, args.audio_dir, args.fs, args.nj)
        name = args.output_dir.name
        good = refuse_or_drop(utterances, name, args.drop_bad_audio)
        write_set(args.output_dir, good)
        print(f"{name}: {len(good)} utterances", file=sys.stderr)


def plain(data_dir: Path, audio_dir: Path, fs: int, jobs: int) -> list[Utterance]:
    """Make the files; gives every utterance with its file and length, or its problem."""
    entries = read_table(data_dir / "wav.scp")
    spans = read_spans(data_dir, entries)
    by_recording: dict[str, list[Utterance]] = {}
    for utterance in read_utterances(data_dir, spans):
        recording = spans[utterance.name].recording
        by_recording.setdefault(recording, []).append(utterance)
    commands = [entries[r] for r in by_recording if is_command(entries[r])]
    if commands:
        print(
            f"{data_dir / 'wav.scp'}: {len(commands)} commands are run, the first: "
            f"{commands[0]}",
            file=sys.stderr,
        )
    source = Source(entries, spans, audio_dir, fs)
    with ThreadPoolExecutor(jobs) as pool:
        found = list(pool.map(source.files_of, by_recording, by_recording.values()))
    return [utterance for utterances in found for utterance in utterances]


def is_command(entry: str) -> bool:
    """Whether an entry of wav.scp is a command."""
    return entry.endswith("|")


def read_spans(data_dir: Path, entries: dict[str, str]) -> dict[str, Span]:
    """Where every utterance lies: in its segment, or it is a recording of its name."""
    path = data_dir / "segments"
    if not path.exists():
        return {name: Span(name) for name in entries}
    spans = {utt: _span(path, utt, text) for utt, text in read_table(path).items()}
    for utt, span in spans.items():
        if span.recording not in entries:
            raise KDError(
                f"{path}: '{utt}' is of '{span.recording}', which {data_dir / 'wav.scp'} "
                "does not have; add the recording, or drop the segment"
            )
    return spans


def _span(path: Path, utt: str, text: str) -> Span:
    fields = text.split()
    try:
        if len(fields) != SEGMENT_FIELDS:
            raise ValueError
        start, end = map(float, fields[1:])
        if not (math.isfinite(end) and start >= 0 and (end < 0 or end > start)):
            raise ValueError
    except ValueError:
        raise KDError(
            f"{path}: '{utt}' has '{text}', which is no recording, start and end in "
            "seconds (-1 for the recording's end); correct the line"
        ) from None
    return Span(fields[0], start, None if end < 0 else end)


def read_utterances(data_dir: Path, spans: dict[str, Span]) -> Iterator[Utterance]:
    """Read what is said and by whom; audio without a table text has no words.

    Raises:
        KDError: If an utterance has no speaker, or the text of others only.
    """
    speakers = read_table(data_dir / "utt2spk")
    text = data_dir / "text"
    texts = read_table(text) if text.exists() else dict.fromkeys(spans, "")
    for table, path in ((speakers, data_dir / "utt2spk"), (texts, text)):
        if lacking := spans.keys() - table.keys():
            raise KDError(
                f"{path} lacks {len(lacking)} of {len(spans)} utterances, first "
                f"'{min(lacking)}'; Kaldi's utils/fix_data_dir.sh drops them"
            )
    for utt in spans:
        yield Utterance(utt, speakers[utt], Path(), texts[utt])


@dataclass(frozen=True)
class Source:
    """What wav.scp and segments say, and where files are made of it.

    Attributes:
        entries: Recording to its entry in wav.scp.
        spans: Utterance to its place in a recording.
        folder: Where files are made.
        fs: Samples a second that every recording has to have.
    """

    entries: dict[str, str]
    spans: dict[str, Span]
    folder: Path
    fs: int

    def files_of(self, recording: str, utterances: list[Utterance]) -> list[Utterance]:
        """Give the utterances of one recording their files and lengths, or a problem."""
        entry = self.entries[recording]
        whole = all(self.spans[u.name] == Span(u.name) for u in utterances)
        if whole and not is_command(entry):
            return [replace(u, **_as_it_is(Path(entry), self.fs)) for u in utterances]
        samples, problem = read_recording(entry, self.fs)
        if problem:
            return [replace(u, audio=Path(recording), problem=problem) for u in utterances]
        return [self._cut(u, samples) for u in utterances]

    def _cut(self, utterance: Utterance, samples: np.ndarray) -> Utterance:
        span = self.spans[utterance.name]
        start, end = round(span.start * self.fs), len(samples)
        if span.end is not None:
            end = round(span.end * self.fs)
        if start >= len(samples) or end > len(samples) + OVERSHOOT * self.fs:
            length = len(samples) / self.fs
            problem = f"ends behind its recording, which has {length:.2f} s"
            where = f"{utterance.name} ({span.recording} {span.start:g} {span.end or -1:g})"
            return replace(utterance, audio=Path(where), problem=problem)
        cut = samples[start:end]
        path = self.folder / f"{utterance.name.replace('/', '_')}.flac"
        flac = io.BytesIO()
        soundfile.write(flac, cut, self.fs, format="FLAC", subtype="PCM_16")
        with whole_file(path, "wb") as file:
            file.write(flac.getvalue())
        return replace(utterance, audio=path, samples=len(cut))


def _as_it_is(path: Path, fs: int) -> dict[str, object]:
    """Fields of an utterance whose recording is a file of its own."""
    samples, problem = inspect_audio(path, fs)
    if problem == "missing" and not path.is_absolute():
        problem = f"missing; seen from {Path.cwd()}"
    return {"audio": path, "samples": samples, "problem": problem}


def read_recording(entry: str, fs: int) -> tuple[np.ndarray, str]:
    """Samples of a recording, 16 bits each, or nothing and what is wrong with it."""
    nothing = np.zeros(0, np.int16)
    source: Path | io.BytesIO = Path(entry)
    if is_command(entry):
        command = entry.rstrip("| ")
        # As Kaldi's commands are pipes themselves, a failure inside of one counts.
        run = ["bash", "-o", "pipefail", "-c", command]
        ran = subprocess.run(run, stdin=subprocess.DEVNULL, capture_output=True)
        if ran.returncode:
            said = ran.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            return nothing, (
                f"its command ended with status {ran.returncode}, and said: {said[-1]}; "
                f"run it by hand: {command}"
            )
        source = io.BytesIO(ran.stdout)
    elif not source.is_file():
        return nothing, f"{entry} is missing"
    try:
        samples, rate = soundfile.read(source, dtype="int16")
    except UNREADABLE as error:
        return nothing, f"no audio comes from '{entry}' ({error})"
    if rate != fs:
        return nothing, f"'{entry}' is at {rate} Hz instead of {fs}"
    if samples.ndim > 1:
        return nothing, f"'{entry}' has {samples.shape[1]} channels; one is needed"
    return samples, ""


if __name__ == "__main__":
    main()
