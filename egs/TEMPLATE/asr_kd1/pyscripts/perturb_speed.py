#!/usr/bin/env python3
"""Add speed-perturbed copies to a data directory, as ESPnet's script names them.

Factor 0.9 makes utterances sp0.9-ID of speakers sp0.9-SPK. Audio is resampled, so pitch
changes with tempo, as by sox's speed effect. A file that is there is whole and is kept.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import soundfile
import soxr
from audio_file import read_samples

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table, write_speakers, write_table


def main(cmd: list[str] | None = None) -> None:
    """Perturb one directory by all factors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--audio_dir", type=Path, required=True)
    parser.add_argument("--factors", nargs="+", type=float, required=True)
    args = parser.parse_args(cmd)
    with named_errors("perturb_speed"):
        perturb(args.data_dir, args.output_dir, args.audio_dir, args.factors)


def perturb(
    data_dir: Path, output_dir: Path, audio_dir: Path, factors: list[float]
) -> None:
    """Write ``output_dir`` with one copy of every utterance a factor."""
    if any(factor <= 0 for factor in factors):
        raise KDError(f"speed factors must be positive, got {factors}")
    wavs, texts = read_table(data_dir / "wav.scp"), read_table(data_dir / "text")
    speakers = read_table(data_dir / "utt2spk")
    samples = read_table(data_dir / "utt2num_samples")
    for name, table in (("text", texts), ("utt2spk", speakers)):
        if missing := wavs.keys() - table.keys():
            raise KDError(f"{data_dir}/{name} lacks '{min(missing)}' of wav.scp")
    audio: dict[str, str] = {}
    text: dict[str, str] = {}
    utt2spk: dict[str, str] = {}
    lengths: dict[str, str] = {}
    for factor in factors:
        prefix = "" if factor == 1.0 else f"sp{factor:g}-"
        paths = wavs
        if prefix:
            folder = audio_dir / prefix.strip("-")
            try:
                lengths |= _copies(wavs, folder, factor, prefix)
            except KDError as error:
                raise KDError(f"{data_dir}/wav.scp: {error}") from None
            paths = {utt: str(folder / f"{prefix}{utt}.flac") for utt in wavs}
        else:
            lengths |= samples
        for utt in wavs:
            audio[prefix + utt], text[prefix + utt] = paths[utt], texts[utt]
            utt2spk[prefix + utt] = prefix + speakers[utt]
    write_table(output_dir / "wav.scp", audio)
    write_table(output_dir / "text", text)
    write_table(output_dir / "utt2num_samples", lengths)
    write_speakers(output_dir, utt2spk)


def _copies(
    wavs: dict[str, str], folder: Path, factor: float, prefix: str
) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    start, lengths = time.monotonic(), dict[str, str]()
    jobs = [(Path(wav), folder / f"{prefix}{utt}.flac") for utt, wav in wavs.items()]
    with ThreadPoolExecutor() as pool:
        counts = pool.map(lambda job: perturb_file(job[0], job[1], factor), jobs)
        for done, (job, count) in enumerate(zip(jobs, counts, strict=True), 1):
            lengths[job[1].stem] = str(count)
            if done % 2000 == 0:
                left = (time.monotonic() - start) / done * (len(jobs) - done)
                print(f"{prefix} {done}/{len(jobs)}, {left:.0f} s left", file=sys.stderr)
    return lengths


def perturb_file(source: Path, target: Path, factor: float) -> int:
    """Write a perturbed copy, whole or not at all; gives its length in samples."""
    if not target.exists():
        samples, rate = read_samples(source)
        partial = target.with_suffix(".partial")
        changed = soxr.resample(samples, rate * factor, rate)
        try:
            soundfile.write(partial, changed, rate, format="FLAC")
            partial.rename(target)
        except (OSError, soundfile.LibsndfileError) as error:
            partial.unlink(missing_ok=True)
            raise KDError(f"cannot write {target}: {error}; is the disk full?") from None
    return int(soundfile.info(target).frames)


if __name__ == "__main__":
    main()
