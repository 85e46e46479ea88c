#!/usr/bin/env python3
"""Join Kaldi data directories: the tables that all of them have, and every utterance."""

import argparse
import sys
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table, write_speakers, write_table

# Not by utterance, or of one directory alone.
LEFT_OUT = ("utt2spk", "spk2utt", "dropped", "report.json")


def main(cmd: list[str] | None = None) -> None:
    """Write the joined directory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("data_dirs", type=Path, nargs="+")
    args = parser.parse_args(cmd)
    with named_errors("combine_data"):
        combine(args.data_dirs, args.output_dir)


def combine(data_dirs: list[Path], output_dir: Path) -> None:
    """Write every common table, text last."""
    common = set.intersection(
        *({p.name for p in d.iterdir() if _is_table(p)} for d in data_dirs)
    )
    if "text" not in common:
        raise KDError(f"not all of {', '.join(map(str, data_dirs))} have a text")
    write_speakers(output_dir, _joined(data_dirs, "utt2spk"))
    for name in sorted(common, key=lambda name: name == "text"):
        write_table(output_dir / name, _joined(data_dirs, name))
    print(
        f"{output_dir}: {len(read_table(output_dir / 'text'))} utterances", file=sys.stderr
    )


def _is_table(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and path.name not in LEFT_OUT


def _joined(data_dirs: list[Path], name: str) -> dict[str, str]:
    joined: dict[str, str] = {}
    for folder in data_dirs:
        table = read_table(folder / name)
        if doubles := joined.keys() & table.keys():
            raise KDError(
                f"'{min(doubles)}' is in {folder}/{name} and in another before it"
            )
        joined |= table
    return joined


if __name__ == "__main__":
    main()
