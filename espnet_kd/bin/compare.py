"""Compare recognisers on one test set: error rates, chance, agreement with the first.

Every pair of systems gets a bootstrap interval over utterances (Bisani and Ney 2004).
Agreement is 100 minus the word error rate against the words of the first system, which
thus is the teacher. Errors are counted at unit cost, which may differ a little from
sclite's.
"""

import argparse
from pathlib import Path

from espnet_kd.bin.command import command_parser, run_command
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.report.comparison import agreement_section, interval_section
from espnet_kd.report.section import markdown

EXAMPLE = """
python -m espnet_kd.bin.compare --reference dump/test/text \\
    --system teacher=exp/teacher/decode/test/text \\
    --system student=exp/student/decode/test/text
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("compare", __doc__, EXAMPLE)
    add = parser.add_argument
    add("--reference", type=Path, required=True, help="Kaldi table of the transcripts.")
    text = "System to compare, as NAME=TEXT with a Kaldi table TEXT; the teacher first."
    add("--system", action="append", required=True, help=text)
    text = "Number of test sets drawn for a bootstrap interval."
    add("--draws", type=int, default=10000, help=text)
    add("--seed", type=int, default=0, help="Seed of the drawing.")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print a table of rates and agreement, and a table of intervals."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Give both tables as Markdown."""
    reference = read_table(args.reference)
    if not any(reference.values()):
        raise KDError(f"{args.reference} holds no words to compare with")
    systems = dict(_system(text, reference) for text in args.system)
    agreement = agreement_section(reference, systems)
    intervals = interval_section(reference, systems, draws=args.draws, seed=args.seed)
    return f"{markdown(agreement)}\n{markdown(intervals)}"


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
