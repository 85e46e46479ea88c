"""Make a cache of the shards that cache_teacher wrote; refuse gaps and doubles."""

import argparse
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.cache.writer import merge
from espnet_kd.host.kaldi_dir import read_table


def main(cmd: list[str] | None = None) -> None:
    """Merge, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--key_file", type=Path, required=True, help="all its utterances")
    args = parser.parse_args(cmd)
    with named_errors("merge_cache"):
        header = merge(args.cache, list(read_table(args.key_file)))
    print(f"{args.cache}: {header.utterances} utterances of {header.teacher}")


if __name__ == "__main__":
    main()
