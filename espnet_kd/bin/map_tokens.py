"""Learn what a teacher's tokens are in a student's, from what both say of one audio.

The student must have CTC and be trained, on its own labels at first. The map is written
as arrays, and beside it a table of each token's strongest pairs, whose head is printed.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from espnet_kd.alignment.frames import at_student_frames, compared_lens
from espnet_kd.bin.command import (
    add_data,
    add_drawn,
    add_ngpu,
    add_task,
    command_parser,
    run_command,
)
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import draw_utterances, stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.host.progress import Progress
from espnet_kd.model.outputs import given
from espnet_kd.model.parts import parts_of
from espnet_kd.model.request import Request
from espnet_kd.model.table import check_model
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.co_occurrence import CoOccurrence
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.vocabulary import vocabulary_of

EXAMPLE = """
python -m espnet_kd.bin.map_tokens --teacher exp/asr_teacher --student exp/asr_alone \\
    --data_path_and_name_and_type dump/train/wav.scp,speech,sound \\
    --output exp/asr_teacher/map.npz
"""
SHOWN = 22  # lines of the table, its head with them


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("map_tokens", __doc__, EXAMPLE)
    add = parser.add_argument
    for role in ("teacher", "student"):
        text = f"Experiment directory, packed zip or model tag of the {role}."
        add(f"--{role}", required=True, help=text)
        text = f"Checkpoint of the {role}; without one, what training selected."
        add(f"--{role}_file", default=None, help=text)
    add_task(parser, "models")
    add_data(parser, "that both models hear")
    add_drawn(parser)
    text = "Number of frames on either side in which both may say a token."
    add("--context", type=int, default=1, help=text)
    text = "Number of steps of learning; 1 counts what occurs together."
    add("--iterations", type=int, default=10, help=text)
    text = "File to write, a .npz; a table is written beside."
    add("--output", type=Path, required=True, help=text)
    add_ngpu(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the map; print its strongest pairs."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the map and its table; give the table's head.

    Raises:
        KDError: If a model has no CTC, or the two never speak at one time.
    """
    if args.context < 0 or args.iterations < 1:
        raise KDError("--context needs a number of at least 0, --iterations of at least 1")
    task = task_class(args.task)
    models, settings = {}, {}
    for side in ("teacher", "student"):
        place = (getattr(args, side), getattr(args, f"{side}_file"))
        with open_experiment(*place) as experiment:
            models[side], settings[side] = experiment.model(task), experiment.settings
        check_model(models[side], parts_of(models[side]), Request(ctc=True), side)
    learned_from = _heard(args, task, settings["teacher"], models)
    learned = learned_from.learn(args.iterations)
    lines = list(learned_from.table(learned))
    size = f"{len(learned.teacher_tokens):,} tokens to {len(learned.student_tokens):,}"
    head = f"{args.output}: {size}, {learned_from.unheard:,} of them not heard"
    learned.write(args.output)
    title = f"# {args.teacher} in {args.student}'s tokens"
    with whole_file(args.output.with_suffix(".md")) as file:
        file.write("\n".join([title, "", *lines, ""]))
    return "\n".join([head, *lines[:SHOWN]])


def _heard(
    args: argparse.Namespace,
    task: type,
    settings: dict[str, object],
    models: dict[str, nn.Module],
) -> CoOccurrence:
    """Let both models hear the utterances that are drawn."""
    data, random = args.data_path_and_name_and_type, torch.Generator()
    keys = draw_utterances(data, args.drawn, random.manual_seed(args.seed))
    if not keys:
        raise KDError(f"{data} holds no utterance, or --drawn asks for none")
    tokens = [vocabulary_of(models[side]).ctc for side in ("teacher", "student")]
    found = CoOccurrence(
        *tokens,
        teacher_blank=parts_of(models["teacher"]).blank_id,
        student_blank=parts_of(models["student"]).blank_id,
        context=args.context,
    )
    guests = [LiveTeacher(m, name=getattr(args, side)) for side, m in models.items()]
    progress, device = Progress(len(keys)), "cuda" if args.ngpu else "cpu"
    for utts, batch in stream(task, settings, [data], batch_size=1, keys=keys):
        batch = {key: value.to(device) for key, value in batch.items()}
        question = Question({**batch, "utt_id": utts}, Request(ctc=True))
        teacher, student = (guest(question) for guest in guests)
        lens = (student.encoder_out_lens, teacher.encoder_out_lens)
        bridged = at_student_frames(
            given(teacher.ctc_logits, "ctc_logits"),
            student_lens=lens[0],
            teacher_lens=lens[1],
            how="spike",
            blank_id=teacher.blank_id,
        )
        count = int(compared_lens(*lens))
        own = given(student.ctc_logits, "ctc_logits")
        found.add(bridged[0, :count].cpu(), own[0, :count].cpu())
        progress.add(1)
    return found


if __name__ == "__main__":
    main()
