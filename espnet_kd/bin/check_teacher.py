"""Decode a set with the teacher through the code that distils, and stop if it is bad.

Greedy CTC over the very posteriors that the student would learn from: a wrong checkpoint,
wrong normalisation statistics or a wrong token list shows here, before hours are spent.
The word error rate counts every error as one (unit cost), which may differ a little
from sclite's.
"""

import argparse
import json
import sys
import time
from itertools import groupby
from pathlib import Path

import torch

from espnet_kd.alignment.words import word_error_rate
from espnet_kd.bin.command import named_errors
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher

REPORT_SECONDS = 10


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    parser.add_argument("--file", default=None, help="as 'file' of a kd_conf's teacher")
    parser.add_argument("--task", default="asr")
    parser.add_argument(
        "--data_path_and_name_and_type",
        action="append",
        required=True,
        help="PATH,speech,TYPE of the set to decode",
    )
    parser.add_argument("--text", type=Path, required=True, help="its transcripts")
    parser.add_argument("--max_wer", type=float, required=True, help="in percent")
    parser.add_argument(
        "--batch_size",
        type=int,
        default=1,
        help="more than 1 is faster, and worse: convolutions of ESPnet's encoders look "
        "into the padding, which training avoids by batches of equal lengths",
    )
    parser.add_argument("--ngpu", type=int, default=0)
    parser.add_argument("--output", type=Path, default=None, help="a JSON file")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print the teacher's error rate; exit 1 if it is above the limit."""
    args = get_parser().parse_args(cmd)
    with named_errors("check_teacher"):
        wer = teacher_wer(args)
    print(f"teacher {args.exp}: greedy CTC WER {wer:.2f} % (unit cost)")
    if args.output is not None:
        with whole_file(args.output) as file:
            json.dump({"wer": round(wer, 3), "limit": args.max_wer}, file)
    if not wer <= args.max_wer:
        sys.exit(
            f"check_teacher: {wer:.2f} % is above --teacher_max_wer {args.max_wer:g} %. "
            "A student would learn its errors. Check that checkpoint, token list, "
            "statistics and features belong together, train the teacher longer, or "
            "raise the limit if this is what you expect of it."
        )


def teacher_wer(args: argparse.Namespace) -> float:
    """Word error rate of the teacher's greedy CTC output, in percent."""
    task, config = task_class(args.task), TeacherConfig(args.exp, args.file)
    teacher = load_teacher(config, task)
    teacher.check(Request(ctc=True))
    with open_experiment(args.exp, args.file) as experiment:
        settings = experiment.settings
        to_text = _detokeniser(settings)
        data = args.data_path_and_name_and_type
        batches = stream(task, settings, data, batch_size=args.batch_size)
        hypotheses = decode(teacher, batches, args.ngpu)
    references = read_table(args.text)
    if missing := references.keys() - hypotheses.keys():
        raise KDError(
            f"{len(missing)} utterances of {args.text} have no audio, first "
            f"'{min(missing)}'"
        )
    return word_error_rate([(references[u], to_text(hypotheses[u])) for u in references])


def decode(teacher: LiveTeacher, batches, ngpu: int) -> dict[str, list[str]]:
    """Greedy tokens of every utterance, by the teacher's own call in training."""
    start = shown = time.monotonic()
    device = "cuda" if ngpu else "cpu"
    found: dict[str, list[str]] = {}
    for utts, batch in batches:
        batch = {key: value.to(device) for key, value in batch.items()}
        targets = teacher(Question({**batch, "utt_id": utts}, Request(ctc=True)))
        best = targets.ctc_logits.argmax(-1).tolist()
        lens = targets.encoder_out_lens.tolist()
        for utt, row, length in zip(utts, best, lens, strict=True):
            ids = collapse(row[:length], targets.blank_id)
            found[utt] = [teacher.model.token_list[i] for i in ids]
        if time.monotonic() - shown > REPORT_SECONDS:
            shown = time.monotonic()
            rate = len(found) / (shown - start)
            print(f"{len(found)} utterances, {rate:.1f} a second", file=sys.stderr)
    return found


def collapse(path: list[int], blank_id: int) -> list[int]:
    """CTC's map from a path to labels: join repeats, then drop blanks."""
    return [label for label, _ in groupby(path) if label != blank_id]


def _detokeniser(settings: dict):
    from espnet2.text.build_tokenizer import build_tokenizer

    kind = settings["token_type"]
    tokenizer = build_tokenizer(token_type=kind, bpemodel=settings.get("bpemodel"))
    return tokenizer.tokens2text


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
