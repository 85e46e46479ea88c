"""Print what a cache holds, its size, and whether every entry can be read."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_kd.bin.command import command_parser, run_command
from espnet_kd.cache.codec import Entry
from espnet_kd.cache.header import HEADER, INDEX, Header, read_header
from espnet_kd.cache.reader import Cache
from espnet_kd.host.kaldi_dir import read_table

EXAMPLE = """
python -m espnet_kd.bin.cache_info --cache exp/asr_teacher/targets/train \\
    --key_file dump/train/text
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("cache_info", __doc__, EXAMPLE)
    text = "Directory of the cache."
    parser.add_argument("--cache", type=Path, required=True, help=text)
    text = "Kaldi table of the utterances that the cache has to cover."
    parser.add_argument("--key_file", type=Path, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print the description of a cache; the status is 1 if anything is wrong."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Give the description, a fact a line."""
    return "\n".join(describe(args.cache, args.key_file))


def describe(directory: Path, key_file: Path | None) -> list[str]:
    """Describe a cache, a fact a line, after reading every entry.

    Args:
        directory: The cache.
        key_file: A table whose utterances the cache must cover; None asks for none.

    Raises:
        KDError: If it is unfinished or damaged, or does not cover the key file.
    """
    header = read_header(directory / HEADER)
    cache = Cache([directory])
    keys = list(read_table(directory / INDEX))
    entries = [entry for utt in keys for entry in cache.read([utt])]
    frames = sum(entry.frames for entry in entries)
    size = sum(path.stat().st_size for path in directory.glob("targets.*.ark"))
    dense = 2 * frames * header.vocabulary
    shown = vars(header) | {"token_list": f"{header.vocabulary} tokens"}
    lines = [f"{name}: {value}" for name, value in shown.items()]
    lines += _losses(entries, header)
    lines += [
        f"{own.count} codebooks of {own.centroids} centroids of {own.tap}: {own.count} "
        f"bytes a frame, {own.error:.1%} of the variance left out"
        for own in header.codebooks
    ]
    lines.append(
        f"{size / 1e6:.2f} MB, {frames} frames, {size / max(frames, 1):.1f} bytes a frame, "
        f"{100 * size / max(dense, 1):.2f} % of dense half-precision CTC posteriors"
    )
    if key_file is not None:
        wanted = list(read_table(key_file))
        cache.check_coverage(wanted, str(key_file))
        lines.append(f"covers all {len(wanted)} utterances of {key_file}")
    return lines


def _losses(entries: Sequence[Entry], header: Header) -> list[str]:
    """What the posteriors lose as they are stored, rounding included."""
    lines = []
    for part in header.parts:
        rows = [entry.rows[part] for entry in entries if part in entry.rows]
        count = sum(int(r.runs.sum()) for r in rows)
        for place, temperature in enumerate(header.temperatures_of(part) if rows else ()):
            total = sum(float(r.lost[place, 0]) for r in rows)
            most = max(float(r.lost[place, 1]) for r in rows)
            lines.append(
                f"{part} at temperature {temperature:g}: {count} rows lose "
                f"{total / max(count, 1):.2g} nats in the mean, {most:.2g} at most"
            )
    return lines


if __name__ == "__main__":
    main()
