#!/usr/bin/env python3
"""Split a table into one file a job; prints how many there are (never an empty one)."""

import argparse
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table, write_table


def main(cmd: list[str] | None = None) -> None:
    """Split for at most the given number of jobs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scp", type=Path)
    parser.add_argument("nj", type=int)
    parser.add_argument("prefix", help="job N is written to PREFIX.N.scp")
    args = parser.parse_args(cmd)
    with named_errors("split_scp"):
        print(split(args.scp, args.nj, args.prefix))


def split(scp: Path, nj: int, prefix: str) -> int:
    """Write the parts, in order and of nearly one size; gives their number."""
    table = read_table(scp)
    if not table:
        raise KDError(f"{scp} is empty")
    keys = sorted(table)
    jobs = max(1, min(nj, len(keys)))
    for job in range(jobs):
        part = keys[job * len(keys) // jobs : (job + 1) * len(keys) // jobs]
        write_table(Path(f"{prefix}.{job + 1}.scp"), {key: table[key] for key in part})
    return jobs


if __name__ == "__main__":
    main()
