"""Make a cache of the shards that cache_teacher wrote; refuse gaps and doubles."""

import argparse
from pathlib import Path

from espnet_kd.bin.command import command_parser, run_command
from espnet_kd.cache.writer import merge
from espnet_kd.host.kaldi_dir import read_table

EXAMPLE = """
python -m espnet_kd.bin.merge_cache --cache exp/asr_teacher/targets/train \\
    --key_file dump/train/text
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("merge_cache", __doc__, EXAMPLE)
    text = "Directory of the shards, which becomes the cache."
    parser.add_argument("--cache", type=Path, required=True, help=text)
    text = "Kaldi table of all utterances that the shards together must hold."
    parser.add_argument("--key_file", type=Path, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Merge the shards, and print how many utterances the cache holds."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Merge the shards; give a line about the cache."""
    header = merge(args.cache, list(read_table(args.key_file)))
    return f"{args.cache}: {header.utterances} utterances of {header.teacher}"


if __name__ == "__main__":
    main()
