#!/usr/bin/env python3
"""Drop utterances that cannot be trained on: too long, too short, empty, featureless.

Each dropped utterance is named with its reason in FOLDER/dropped; the counts are
printed. An utterance shorter than the encoder's subsampling needs would stop training.
"""

import argparse
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import copy_subset, read_table, write_table


def main(cmd: list[str] | None = None) -> None:
    """Filter one directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--fs", type=int, default=16000)
    parser.add_argument("--min_seconds", type=float, default=0.1)
    parser.add_argument("--max_seconds", type=float, default=30.0)
    parser.add_argument("--keep_empty_text", action="store_true")
    args = parser.parse_args(cmd)
    with named_errors("filter_data"):
        reasons = find_unfit(
            args.data_dir,
            fs=args.fs,
            seconds=(args.min_seconds, args.max_seconds),
            keep_empty_text=args.keep_empty_text,
        )
        write_kept(args.data_dir, args.output_dir, reasons)


def find_unfit(
    data_dir: Path, *, fs: int, seconds: tuple[float, float], keep_empty_text: bool
) -> dict[str, str]:
    """Utterances to drop, with the reason."""
    texts = read_table(data_dir / "text")
    feats = data_dir / "feats.scp"
    known = read_table(feats) if feats.exists() else texts
    shortest, longest = seconds
    reasons = {}
    for utt, samples in read_table(data_dir / "utt2num_samples").items():
        if not re.fullmatch("[0-9]{1,15}", samples):
            text = f"{utt}' has '{samples[:60]}' samples, which is no whole number"
            raise KDError(f"{data_dir}/utt2num_samples: '{text}")
        duration = int(samples) / fs
        if duration < shortest:
            reasons[utt] = f"shorter than {shortest:g} s"
        elif duration > longest:
            reasons[utt] = f"longer than {longest:g} s"
        elif not texts.get(utt) and not keep_empty_text:
            reasons[utt] = "empty text"
        elif utt not in known:
            reasons[utt] = "no features"
    return reasons


def write_kept(data_dir: Path, output_dir: Path, reasons: dict[str, str]) -> None:
    """Write the filtered directory, and what was dropped from it."""
    keep = read_table(data_dir / "text").keys() - reasons.keys()
    if not keep:
        counts = ", ".join(f"{n} {r}" for r, n in Counter(reasons.values()).items())
        raise KDError(f"{data_dir}: nothing is left to train on ({counts})")
    partial = output_dir.with_name(output_dir.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    copy_subset(data_dir, partial, set(keep))
    write_table(partial / "dropped", reasons)
    shutil.rmtree(output_dir, ignore_errors=True)
    partial.rename(output_dir)
    for reason, count in Counter(reasons.values()).items():
        print(f"{output_dir}: dropped {count} ({reason})", file=sys.stderr)
    print(f"{output_dir}: kept {len(keep)}", file=sys.stderr)


if __name__ == "__main__":
    main()
