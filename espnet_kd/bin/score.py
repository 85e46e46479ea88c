"""Score a decoding directory by sclite and write its counts as JSON."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.report.score import UNITS, find_sclite, score


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only look for sclite")
    parser.add_argument("--data_dir", type=Path, help="has text and utt2spk")
    parser.add_argument("--decode_dir", type=Path, help="has text")
    parser.add_argument("--sclite", default=None)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write score_wer/, score_cer/ and score.json into the decoding directory."""
    args = get_parser().parse_args(cmd)
    with named_errors("score"):
        if args.check:
            print(find_sclite(args.sclite), file=sys.stderr)
            return
        print(json.dumps(score_directory(args.data_dir, args.decode_dir, args.sclite)))


def score_directory(data_dir: Path, decode_dir: Path, sclite: str | None) -> dict:
    """Score words and characters; gives what score.json holds."""
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
