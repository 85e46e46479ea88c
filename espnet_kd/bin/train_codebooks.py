"""Train codebooks of a teacher's layer, for targets of one byte a codebook a frame.

The frames are of utterances that the seed draws from the data; every tenth of these is
held out, and the error is told on it. One file serves all jobs of cache_teacher, so that
indices of all shards and sets mean the same.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from espnet_kd.bin.command import (
    add_data,
    add_drawn,
    add_experiment,
    add_ngpu,
    command_parser,
    run_command,
)
from espnet_kd.cache.header import MOST_CENTROIDS
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import draw_utterances, stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.progress import Progress
from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.quantisation import train_codebooks

EXAMPLE = """
python -m espnet_kd.bin.train_codebooks --exp exp/asr_teacher --tap encoder.encoders.5 \\
    --data_path_and_name_and_type dump/train/wav.scp,speech,sound \\
    --output exp/asr_teacher/codebooks.npz
"""
HELD_OUT = 10  # one utterance of so many


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("train_codebooks", __doc__, EXAMPLE)
    add = parser.add_argument
    add_experiment(parser, "teacher")
    text = "Hidden representation of the teacher that the codebooks are of."
    add("--tap", required=True, help=text)
    add_data(parser, "that the codebooks are trained on")
    text = "Number of codebooks, so many bytes a frame."
    add("--count", type=int, default=8, help=text)
    text = f"Number of centroids of each codebook, at most {MOST_CENTROIDS}."
    add("--centroids", type=int, default=MOST_CENTROIDS, help=text)
    add_drawn(parser)
    text = "Number of frames that are drawn, about as many of each utterance."
    add("--frames", type=int, default=50000, help=text)
    text = "File to write, a .npz."
    add("--output", type=Path, required=True, help=text)
    add_ngpu(parser)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Train codebooks and print what they leave out."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the file of codebooks; give a line about them.

    Raises:
        KDError: If the layer or the data do not suffice.
    """
    _check(args)
    random = torch.Generator().manual_seed(args.seed)
    with open_experiment(args.exp, args.file) as experiment:
        digest, settings = experiment.digest, experiment.settings
    keys = draw_utterances(args.data_path_and_name_and_type, args.drawn, random)
    if len(keys) < HELD_OUT:
        raise KDError(
            f"{len(keys)} utterances are too few, for one of {HELD_OUT} is held out to "
            "tell the error; give more"
        )
    frames = _frames(args, settings, keys, random)
    widths = sorted({own.shape[1] for own in frames})
    if len(widths) > 1:
        text = f"'{args.tap}' gives {widths[0]} units here and {widths[1]} there"
        raise KDError(f"{text}; tap a layer's output")
    training = [own for place, own in enumerate(frames) if (place + 1) % HELD_OUT]
    held_out = frames[HELD_OUT - 1 :: HELD_OUT]
    codebooks = train_codebooks(
        torch.cat(training),
        torch.cat(held_out),
        tap=args.tap,
        teacher=args.exp,
        teacher_hash=digest,
        count=args.count,
        centroids=args.centroids,
        seed=args.seed,
    )
    codebooks.write(args.output)
    return (
        f"{args.output}: {codebooks.describe()}, on {len(held_out)} utterances held out "
        f"(trained on {sum(map(len, training)):,} frames of {len(training)})"
    )


def _check(args: argparse.Namespace) -> None:
    if is_label_tap(args.tap):
        raise KDError("codebooks are of an encoder's layers; name one of these as --tap")
    if not 2 <= args.centroids <= MOST_CENTROIDS:
        raise KDError(f"--centroids {args.centroids}: needs 2 to {MOST_CENTROIDS}")
    if args.count < 1 or args.frames < 1:
        raise KDError("--count and --frames need numbers above 0")


def _frames(
    args: argparse.Namespace,
    settings: dict[str, object],
    keys: list[str],
    random: torch.Generator,
) -> list[Tensor]:
    """Frames of each utterance, (M, D), drawn from all that it has."""
    task = task_class(args.task)
    teacher = load_teacher(TeacherConfig(args.exp, args.file), task)
    request = Request(taps=(args.tap,))
    teacher.check(request)
    device = "cuda" if args.ngpu else "cpu"
    share, found = -(-args.frames // len(keys)), []
    progress = Progress(len(keys))
    data = [args.data_path_and_name_and_type]
    for utts, batch in stream(task, settings, data, batch_size=1, keys=keys):
        batch = {key: value.to(device) for key, value in batch.items()}
        hidden = teacher(Question({**batch, "utt_id": utts}, request)).hidden[args.tap]
        if hidden.values.dim() != 3:
            raise KDError(
                f"'{args.tap}' gives shape {tuple(hidden.values.shape)}; codebooks need "
                "(batch, length, width): tap a layer's output"
            )
        values = hidden.values[0, : int(hidden.lengths[0])].cpu()
        found.append(values[torch.randperm(len(values), generator=random)[:share]])
        progress.add(1)
    return found


if __name__ == "__main__":
    main()
