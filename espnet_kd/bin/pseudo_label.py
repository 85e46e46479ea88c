"""Let a teacher transcribe a Kaldi data directory, and keep what is worth learning from.

ESPnet's own beam search decodes every utterance, in --nj processes; a run that was killed
goes on where it was. What passes the limits is written as a Kaldi data directory with the
teacher's words as text, ready for training (sequence-level distillation: Kim and Rush.
Sequence-Level Knowledge Distillation. 2016, section 3.2. https://arxiv.org/abs/1606.07947).
The table 'dropped' names everything else with its reason; report.json counts.

On a cluster, start each job by --job N with the same arguments, then once without it.
"""

import argparse
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from espnet_kd.bin.command import (
    add_experiment,
    add_inference_config,
    add_ngpu,
    command_parser,
    run_command,
)
from espnet_kd.errors import KDError
from espnet_kd.pseudo_labels.directory import write_labels
from espnet_kd.pseudo_labels.hypotheses import Decoded
from espnet_kd.pseudo_labels.select import Limits

EXAMPLE = """
python -m espnet_kd.bin.pseudo_label --exp exp/asr_teacher --nj 8 \\
    --data_dir dump/raw/unlabelled --output_dir dump/raw/labelled \\
    --inference_config conf/decode.yaml --min_confidence 0.8
"""
UNLIMITED = Limits()


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("pseudo_label", __doc__, EXAMPLE)
    add = parser.add_argument
    add_experiment(parser, "teacher")
    text = "Data directory to transcribe, with wav.scp or feats.scp, and utt2spk."
    add("--data_dir", type=Path, required=True, help=text)
    text = "Data directory to write."
    add("--output_dir", type=Path, required=True, help=text)
    add_inference_config(parser)
    text = "Number of hypotheses of an utterance; the N-th best becomes nbN-UTT."
    add("--nbest", type=int, default=1, help=text)
    add("--nj", type=int, default=1, help="Number of parallel decoding jobs.")
    text = "Number of the one job to run, from 1; without one, all run and are joined."
    add("--job", type=int, default=None, help=text)
    add_ngpu(parser)
    _add_limits(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    text = "Kaldi table of transcripts, by which --max_wer and the ratios are judged."
    add("--reference", type=Path, default=None, help=text)
    text = "Highest word error rate against the reference, in percent."
    add("--max_wer", type=float, default=UNLIMITED.max_wer, help=text)
    text = "Least mean probability of a hypothesis' tokens, 0 to 1."
    add("--min_confidence", type=float, default=UNLIMITED.min_confidence, help=text)
    text = "ratio of a hypothesis' characters to the reference's (without one, to what the "
    text += "audio's length makes expect)."
    add("--min_ratio", type=float, default=UNLIMITED.min_ratio, help=f"Least {text}")
    add("--max_ratio", type=float, default=UNLIMITED.max_ratio, help=f"Greatest {text}")


def main(cmd: list[str] | None = None) -> None:
    """Decode one job's utterances, or all of them and write the data directory."""
    arguments = sys.argv[1:] if cmd is None else cmd
    run_command(get_parser(), partial(run, arguments=arguments), arguments)


def run(args: argparse.Namespace, arguments: list[str]) -> None:
    """Decode one job's utterances, or all of them and write the data directory.

    Args:
        args: The command's.
        arguments: The command line that they were parsed from, which every job gets.

    Raises:
        KDError: If an argument is out of range, a job fails, or nothing is kept.
    """
    from espnet_kd.pseudo_labels.decoding import decode_all, decode_job, jobs_of

    limits = _limits(args)
    job = 1 if args.job is None else args.job
    if args.nbest < 1 or not 1 <= job <= args.nj:
        raise KDError("--nj and --nbest are at least 1, and --job 1 to --nj")
    if args.job is not None:
        decode_job(jobs_of(args, [job])[0], args.ngpu)
        return
    jobs = jobs_of(args, range(1, args.nj + 1))
    decode_all(jobs, [*arguments, "--job"])
    found: list[Decoded] = [decoded for job in jobs for decoded in job.log().found.values()]
    settings = {"exp": args.exp, "file": args.file, "search": jobs[0].search}
    report = write_labels(
        args.data_dir, args.output_dir, found, limits, args.reference, settings
    )
    print("\n".join(_lines(report)), file=sys.stderr)


def _limits(args: argparse.Namespace) -> Limits:
    limits = Limits(**{f.name: getattr(args, f.name) for f in fields(Limits)})
    if args.reference is None and limits.max_wer != UNLIMITED.max_wer:
        raise KDError("--max_wer needs --reference, the transcripts to compare with")
    return limits


def _lines(report: dict[str, Any]) -> list[str]:
    kept, total = report["kept"], report["hypotheses"]
    lines = [f"{kept} of {total} hypotheses kept"]
    lines += [f"  {count} dropped: {reason}" for reason, count in report["dropped"].items()]
    if "wer" in report:
        lines.append(f"WER {report['wer']:.2f} % of all, {report['wer_kept']:.2f} % kept")
    return lines


if __name__ == "__main__":
    main()
