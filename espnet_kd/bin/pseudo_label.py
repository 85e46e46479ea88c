"""Let a teacher transcribe a Kaldi data directory, and keep what is worth learning from.

ESPnet's own beam search hears every utterance, in --nj processes; a run that was killed
goes on where it was. What passes the limits is written as a Kaldi data directory with the
teacher's words as text, ready for training (sequence-level distillation: Kim and Rush.
Sequence-Level Knowledge Distillation. 2016, section 3.2. https://arxiv.org/abs/1606.07947).
The table 'dropped' names everything else with its reason; report.json counts.

On a cluster, start each job by --job N with the same arguments, then once without it.
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.pseudo_labels.directory import write_labels
from espnet_kd.pseudo_labels.hypotheses import Heard
from espnet_kd.pseudo_labels.select import Limits

UNLIMITED = Limits()


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--data_dir", type=Path, required=True, help="wav.scp or feats.scp, utt2spk")
    add("--output_dir", type=Path, required=True, help="the new data directory")
    add("--inference_config", type=Path, default=None, help="as of asr_inference")
    add("--nbest", type=int, default=1, help="hypotheses; the N-th best becomes nbN-UTT")
    add("--reference", type=Path, default=None, help="transcripts, for the limits")
    add("--nj", type=int, default=1, help="processes")
    add("--job", type=int, default=None, help="only this one of them, and no more")
    add("--ngpu", type=int, default=0)
    add("--max_wer", type=float, default=UNLIMITED.max_wer, help="percent, against it")
    add("--min_confidence", type=float, default=0.0, help="probability of a token, 0 to 1")
    add("--min_ratio", type=float, default=0.0, help="characters beside the expected")
    add("--max_ratio", type=float, default=UNLIMITED.max_ratio)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Hear one job's utterances, or all and write the directory."""
    arguments = sys.argv[1:] if cmd is None else cmd
    args = get_parser().parse_args(arguments)
    with named_errors("pseudo_label"):
        run(args, arguments)


def run(args: argparse.Namespace, arguments: list[str]) -> None:
    """Do what ``main`` says."""
    from espnet_kd.pseudo_labels.decoding import hear, hear_all, jobs_of

    limits = Limits(**{f.name: getattr(args, f.name) for f in fields(Limits)})
    if args.reference is None and limits.max_wer != UNLIMITED.max_wer:
        raise KDError("--max_wer needs --reference, the transcripts to compare with")
    job = 1 if args.job is None else args.job
    if args.nbest < 1 or not 1 <= job <= args.nj:
        raise KDError("--nj and --nbest are at least 1, and --job 1 to --nj")
    if args.job is not None:
        hear(jobs_of(args, [job])[0], args.ngpu)
        return
    jobs = jobs_of(args, range(1, args.nj + 1))
    hear_all(jobs, [*arguments, "--job"])
    everything: list[Heard] = [heard for job in jobs for heard in job.log().found.values()]
    settings = {"exp": args.exp, "file": args.file, "search": jobs[0].search}
    report = write_labels(
        args.data_dir, args.output_dir, everything, limits, args.reference, settings
    )
    print("\n".join(_lines(report)), file=sys.stderr)


def _lines(report: dict) -> list[str]:
    kept, total = report["kept"], report["hypotheses"]
    lines = [f"{kept} of {total} hypotheses kept"]
    lines += [f"  {count} dropped: {reason}" for reason, count in report["dropped"].items()]
    if "wer" in report:
        lines.append(f"WER {report['wer']:.2f} % of all, {report['wer_kept']:.2f} % kept")
    return lines


if __name__ == "__main__":
    main()
