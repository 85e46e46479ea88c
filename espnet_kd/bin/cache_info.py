"""Print what a cache holds, its size, and whether every entry can be read."""

import argparse
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.cache.header import HEADER, INDEX, read_header
from espnet_kd.cache.reader import Cache
from espnet_kd.host.kaldi_dir import read_table


def main(cmd: list[str] | None = None) -> None:
    """Print; exit 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--key_file", type=Path, help="say how much of this it covers")
    args = parser.parse_args(cmd)
    with named_errors("cache_info"):
        print("\n".join(describe(args.cache, args.key_file)))


def describe(directory: Path, key_file: Path | None) -> list[str]:
    """Lines about a cache.

    Raises:
        KDError: If it is unfinished or damaged, or does not cover the key file.
    """
    header = read_header(directory / HEADER)
    cache = Cache([directory])
    keys = list(read_table(directory / INDEX))
    frames = sum(entry.frames for utt in keys for entry in cache.read([utt]))
    size = sum(path.stat().st_size for path in directory.glob("targets.*.ark"))
    dense = 2 * frames * header.vocabulary
    shown = vars(header) | {"token_list": f"{header.vocabulary} tokens"}
    lines = [f"{name}: {value}" for name, value in shown.items()]
    lines.append(
        f"{size / 1e6:.2f} MB, {frames} frames, {size / max(frames, 1):.1f} bytes a frame, "
        f"{100 * size / max(dense, 1):.2f} % of dense half-precision CTC posteriors"
    )
    if key_file is not None:
        wanted = list(read_table(key_file))
        cache.check_coverage(wanted, str(key_file))
        lines.append(f"covers all {len(wanted)} utterances of {key_file}")
    return lines


if __name__ == "__main__":
    main()
