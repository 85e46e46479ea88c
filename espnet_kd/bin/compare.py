r"""Compare recognisers on one test set: error rates, what of it is chance, agreement.

    python -m espnet_kd.bin.compare --reference dump/test/text \
        --system teacher=exp/t/decode/test/text --system student=exp/s/decode/test/text

Every pair gets a bootstrap interval over utterances (Bisani and Ney 2004). Agreement is
100 minus the word error rate against the words of the first system, which thus is the
teacher. Errors are counted at unit cost, which may differ a little from sclite's.
"""

import argparse
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.report.comparison import agreement_section, interval_section
from espnet_kd.report.section import markdown


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
    with named_errors("compare"):
        reference = read_table(args.reference)
        systems = dict(_system(text, reference) for text in args.system)
        options = {"draws": args.draws, "seed": args.seed}
        print(markdown(agreement_section(reference, systems)))
        print(markdown(interval_section(reference, systems, **options)))


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
