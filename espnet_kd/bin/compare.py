r"""Compare recognisers on one test set: error rates, what of it is chance, agreement.

    python -m espnet_kd.bin.compare --reference dump/test/text \
        --system teacher=exp/t/decode/test/text --system student=exp/s/decode/test/text

Every pair gets a bootstrap interval over utterances (Bisani and Ney 2004). Agreement is
100 minus the word error rate against the words of the first system, which thus is the
teacher. Errors are counted at unit cost, which may differ a little from sclite's.
"""

import argparse
import sys
from itertools import combinations
from pathlib import Path

from espnet_kd.errors import KDError
from espnet_kd.kaldi_dir import read_table
from espnet_kd.labels.normalise import word_error_rate, word_errors
from espnet_kd.report.bootstrap import paired_interval


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="a Kaldi text")
    parser.add_argument(
        "--system", action="append", required=True, help="NAME=TEXT, the teacher first"
    )
    parser.add_argument("--draws", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print two tables."""
    args = get_parser().parse_args(cmd)
    try:
        reference = read_table(args.reference)
        systems = dict(_system(text, reference) for text in args.system)
        print(rates(reference, systems))
        print(intervals(reference, systems, args.draws, args.seed))
    except KDError as error:
        sys.exit(f"compare: {error}")


def rates(reference: dict[str, str], systems: dict[str, dict[str, str]]) -> str:
    """Error rate of each system, and its agreement with the first."""
    first = next(iter(systems.values()))
    lines = ["| system | WER % | agreement % |", "|---|---|---|"]
    for name, texts in systems.items():
        wer = word_error_rate([(reference[u], texts[u]) for u in reference])
        same = 100 - word_error_rate([(first[u], texts[u]) for u in reference])
        lines.append(f"| {name} | {wer:.2f} | {same:.2f} |")
    return "\n".join([*lines, ""])


def intervals(
    reference: dict[str, str], systems: dict[str, dict[str, str]], draws: int, seed: int
) -> str:
    """Difference of every pair, with its interval."""
    words = [len(text.split()) for text in reference.values()]
    errors = {
        name: [word_errors(reference[u], texts[u]) for u in reference]
        for name, texts in systems.items()
    }
    lines = ["| pair | difference | 95 % interval | clear |", "|---|---|---|---|"]
    for one, other in combinations(systems, 2):
        found = paired_interval(errors[one], errors[other], words, draws=draws, seed=seed)
        clear = "yes" if found.is_clear else "no"
        span = f"{found.low:+.2f} to {found.high:+.2f}"
        lines.append(f"| {one} - {other} | {found.difference:+.2f} | {span} | {clear} |")
    return "\n".join([*lines, ""])


def _system(text: str, reference: dict[str, str]) -> tuple[str, dict[str, str]]:
    name, _, path = text.partition("=")
    if not path:
        raise KDError(f"--system '{text}' is not NAME=TEXT")
    found = read_table(Path(path))
    if missing := reference.keys() - found.keys():
        raise KDError(
            f"{path} lacks {len(missing)} utterances of the reference, first "
            f"'{min(missing)}'; decode the whole set"
        )
    return name, found


if __name__ == "__main__":
    main()
