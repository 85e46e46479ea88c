"""Decode a set with the teacher through the code that distils, and stop above a limit.

Greedy CTC over the very posteriors that the student would learn from: a wrong checkpoint,
wrong normalisation statistics or a wrong token list shows here, before hours are spent.
The word error rate counts every error as one (unit cost), which may differ a little
from sclite's.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from espnet_kd.alignment.ctc_best import greedy_ctc
from espnet_kd.alignment.words import word_error_rate
from espnet_kd.bin.command import (
    add_data,
    add_experiment,
    add_ngpu,
    command_parser,
    run_command,
)
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.host.text import detokeniser
from espnet_kd.model.outputs import given
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.live import LiveTeacher

EXAMPLE = """
python -m espnet_kd.bin.check_teacher --exp exp/asr_teacher --max_wer 30 \\
    --data_path_and_name_and_type dump/dev/feats.scp,speech,kaldi_ark \\
    --text dump/dev/text --output exp/gate.json
"""
REPORT_SECONDS = 10


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("check_teacher", __doc__, EXAMPLE)
    add = parser.add_argument
    add_experiment(parser, "teacher")
    add_data(parser, "that the teacher decodes", repeated=True)
    text = "Kaldi table of the transcripts of the data."
    add("--text", type=Path, required=True, help=text)
    text = "Highest word error rate that passes, in percent."
    add("--max_wer", type=float, required=True, help=text)
    text = (
        "Number of utterances decoded together. More than 1 is faster, and worse: "
        "convolutions of ESPnet's encoders look into the padding, which training avoids "
        "by batches of equal lengths."
    )
    add("--batch_size", type=int, default=1, help=text)
    add_ngpu(parser)
    text = "JSON file to write, with the error rate and the limit."
    add("--output", type=Path, default=None, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print the teacher's error rate; the status is 1 if it is above the limit."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> None:
    """Decode, tell the error rate, and write it if asked.

    Raises:
        KDError: If the error rate is above the limit, or utterances have no audio.
    """
    wer = teacher_wer(args)
    print(f"teacher {args.exp}: greedy CTC WER {wer:.2f} % (unit cost)")
    if args.output is not None:
        with whole_file(args.output) as file:
            json.dump({"wer": round(wer, 3), "limit": args.max_wer}, file)
    if not wer <= args.max_wer:
        raise KDError(
            f"{wer:.2f} % is above --teacher_max_wer {args.max_wer:g} %. "
            "A student would learn its errors. Check that checkpoint, token list, "
            "statistics and features belong together, train the teacher longer, or "
            "raise the limit if this is what you expect of it."
        )


def teacher_wer(args: argparse.Namespace) -> float:
    """Measure the word error rate of the teacher's greedy CTC output, in percent.

    Args:
        args: The command's.

    Raises:
        KDError: If the teacher has no CTC, or utterances have no audio.
    """
    task, config = task_class(args.task), TeacherConfig(args.exp, args.file)
    teacher = load_teacher(config, task)
    if not teacher.has("ctc"):
        raise KDError(
            f"{args.exp} has no CTC, by whose greedy words it is judged; train it with CTC "
            "(a transducer with auxiliary_ctc_weight above 0), or begin at --stage 9"
        )
    with open_experiment(args.exp, args.file) as experiment:
        settings = experiment.settings
        to_text = detokeniser(settings)
        data = args.data_path_and_name_and_type
        batches = stream(task, settings, data, batch_size=args.batch_size)
        hypotheses = decode(teacher, batches, args.ngpu)
        references = read_table(args.text)
        if missing := references.keys() - hypotheses.keys():
            raise KDError(
                f"{len(missing)} utterances of {args.text} have no audio, first "
                f"'{min(missing)}'"
            )
        # While the experiment is open, for its tokens may be described by a file of it.
        said = [(references[utt], to_text(hypotheses[utt])) for utt in references]
    return word_error_rate(said)


def decode(
    teacher: LiveTeacher, batches: Iterable[tuple[list[str], dict[str, Any]]], ngpu: int
) -> dict[str, list[str]]:
    """Decode greedily, through the teacher's own call in training.

    Args:
        teacher: A teacher with CTC.
        batches: Utterances' names and what the model's forward pass takes.
        ngpu: 0 for the CPU.

    Returns:
        Tokens by utterance.
    """
    start = shown = time.monotonic()
    device = "cuda" if ngpu else "cpu"
    model: Any = teacher.model
    found: dict[str, list[str]] = {}
    for utts, batch in batches:
        batch = {key: value.to(device) for key, value in batch.items()}
        targets = teacher(Question({**batch, "utt_id": utts}, Request(ctc=True)))
        logits = given(targets.ctc_logits, "ctc_logits")
        rows = greedy_ctc(logits, targets.encoder_out_lens, targets.blank_id)
        for utt, ids in zip(utts, rows, strict=True):
            found[utt] = [model.token_list[i] for i in ids]
        if time.monotonic() - shown > REPORT_SECONDS:
            shown = time.monotonic()
            rate = len(found) / (shown - start)
            print(f"{len(found)} utterances, {rate:.1f} a second", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
