#!/usr/bin/env python3
"""Join the jobs' feature indexes; fails unless every utterance is there exactly once."""

import argparse
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table, write_table


def main(cmd: list[str] | None = None) -> None:
    """Join the parts of one data directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wav_scp", type=Path, required=True)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("parts", nargs="+", type=Path, help="without .scp")
    args = parser.parse_args(cmd)
    with named_errors("merge_feats"):
        merge(args.wav_scp, args.output_dir, args.parts)


def merge(wav_scp: Path, output_dir: Path, parts: list[Path]) -> None:
    """Write feats.scp and feats_shape."""
    for suffix, name in ((".scp", "feats.scp"), (".shape", "feats_shape")):
        joined: dict[str, str] = {}
        for part in parts:
            table = read_table(Path(f"{part}{suffix}"))
            if double := joined.keys() & table.keys():
                raise KDError(f"{part}: '{min(double)}' is in another part as well")
            joined |= table
        if missing := read_table(wav_scp).keys() - joined.keys():
            raise KDError(
                f"{len(missing)} utterances of {wav_scp} have no features, first "
                f"'{min(missing)}'; run the stage again"
            )
        write_table(output_dir / name, joined)


if __name__ == "__main__":
    main()
