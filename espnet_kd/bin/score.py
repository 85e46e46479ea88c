"""Score a decoding directory by sclite and write its counts as JSON.

The files score_wer/, score_cer/ and score.json are written into the decoding directory.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from espnet_kd.bin.command import command_parser, run_command
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.report.score import UNITS, find_sclite, score

EXAMPLE = """
python -m espnet_kd.bin.score --data_dir dump/test \\
    --decode_dir exp/asr_student/decode/test
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("score", __doc__, EXAMPLE)
    add = parser.add_argument
    text = "Only look whether sclite is installed; score nothing."
    add("--check", action="store_true", help=text)
    add("--data_dir", type=Path, help="Data directory of the set, with text and utt2spk.")
    add("--decode_dir", type=Path, help="Directory of the decoding, with its text.")
    text = "Path of sclite; without one, PATH and the place of Debian's package are tried."
    add("--sclite", default=None, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Score a decoding directory, and print the counts as JSON."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str | None:
    """Give the counts as JSON; with ``--check`` only say where sclite is.

    Raises:
        KDError: If a directory is not named, or scoring fails.
    """
    if args.check:
        print(find_sclite(args.sclite), file=sys.stderr)
        return None
    if args.data_dir is None or args.decode_dir is None:
        raise KDError("name what is to be scored by --data_dir and --decode_dir")
    return json.dumps(score_directory(args.data_dir, args.decode_dir, args.sclite))


def score_directory(data_dir: Path, decode_dir: Path, sclite: str | None) -> dict[str, Any]:
    """Score words and characters of a decoding directory.

    Args:
        data_dir: Holds ``text`` and ``utt2spk``.
        decode_dir: Holds ``text``; gets ``score_wer/``, ``score_cer/`` and ``score.json``.
        sclite: Path of the program, or None to look for it.

    Returns:
        What ``score.json`` holds: the counts and ``error_rate`` of ``wer`` and ``cer``.

    Raises:
        KDError: If a table is missing, an utterance is unknown, or sclite fails.
    """
    reference, speakers = (read_table(data_dir / name) for name in ("text", "utt2spk"))
    hypothesis = read_table(decode_dir / "text")
    if unknown := hypothesis.keys() - reference.keys():
        raise KDError(f"{decode_dir}/text: '{min(unknown)}' is not in {data_dir}/text")
    result = {}
    for unit in UNITS:
        folder = decode_dir / f"score_{unit}"
        counts = score(
            reference, hypothesis, folder, unit=unit, speakers=speakers, sclite=sclite
        )
        result[unit] = {**asdict(counts), "error_rate": round(counts.error_rate, 3)}
    with whole_file(decode_dir / "score.json") as file:
        json.dump(result, file, indent=2)
    return result


if __name__ == "__main__":
    main()
