#!/usr/bin/env python3
"""Kaldi-compatible log Mel filter banks of one job's utterances, as ark and scp."""

import argparse
import sys
import time
from pathlib import Path

import kaldi_native_fbank
import kaldiio
import numpy as np
from audio_file import read_samples

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table

REPORT_SECONDS = 10


def main(cmd: list[str] | None = None) -> None:
    """Extract the features of one list of utterances."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wav_scp", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="without .ark")
    parser.add_argument("--fs", type=int, default=16000)
    parser.add_argument("--n_mels", type=int, default=80)
    args = parser.parse_args(cmd)
    with named_errors("extract_fbank"):
        extract(args.wav_scp, args.output, args.fs, args.n_mels)


def extract(wav_scp: Path, output: Path, fs: int, n_mels: int) -> None:
    """Write ``output.ark``, then ``output.scp`` and ``output.shape``, which make it so.

    The index appears last, under its name only when everything is written: a job that
    was killed leaves no index, and is done again.
    """
    wavs, start, shown = read_table(wav_scp), time.monotonic(), time.monotonic()
    # Not with_suffix: 'feats.1' has none to replace.
    ark, scp, partial, shape = (
        Path(f"{output}{suffix}") for suffix in (".ark", ".scp", ".scp.partial", ".shape")
    )
    scp.unlink(missing_ok=True)
    ark.parent.mkdir(parents=True, exist_ok=True)
    shapes = []
    try:
        with kaldiio.WriteHelper(f"ark,scp:{ark},{partial}") as writer:
            for done, (utt, wav) in enumerate(wavs.items(), 1):
                try:
                    samples = read_audio(Path(wav), fs)
                except KDError as error:
                    raise KDError(f"{wav_scp}, '{utt}': {error}") from None
                feats = fbank(samples, fs, n_mels)
                writer(utt, feats)
                shapes.append(f"{utt} {feats.shape[0]},{feats.shape[1]}\n")
                if time.monotonic() - shown > REPORT_SECONDS:
                    shown = time.monotonic()
                    left = (shown - start) / done * (len(wavs) - done)
                    print(f"{done}/{len(wavs)}, {left:.0f} s left", file=sys.stderr)
        shape.write_text("".join(shapes))
    except OSError as error:
        for path in (ark, partial):
            path.unlink(missing_ok=True)
        raise KDError(
            f"cannot write {ark}: {error.strerror or error}. Free some space, then run "
            "the stage again; the finished jobs are kept."
        ) from None
    partial.rename(scp)


def read_audio(path: Path, fs: int) -> np.ndarray:
    """Samples of a file at the expected rate, in 16-bit units as Kaldi counts."""
    samples, rate = read_samples(path)
    if rate != fs:
        raise KDError(f"{path} is at {rate} Hz instead of {fs}")
    if samples.ndim != 1:
        raise KDError(f"{path} has {samples.shape[1]} channels; keep one of them")
    return samples * 32768


def fbank(samples: np.ndarray, fs: int, n_mels: int) -> np.ndarray:
    """Log Mel energies, (frames, n_mels) float32; 25 ms windows every 10 ms."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = fs
    options.frame_opts.dither = 0.0  # dither would make features differ by run
    options.mel_opts.num_bins = n_mels
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(fs, samples.tolist())
    computer.input_finished()
    frames: list[np.ndarray] = [
        computer.get_frame(i) for i in range(computer.num_frames_ready)
    ]
    return np.stack(frames) if frames else np.zeros((0, n_mels), np.float32)


if __name__ == "__main__":
    main()
