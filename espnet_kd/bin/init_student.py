r"""Make a student's first parameters from its teacher's, for stock --init_param.

    python -m espnet_kd.bin.init_student --exp exp/asr_teacher \
        --student_config conf/student.yaml --output exp/student_init.pth
    python -m espnet2.bin.asr_train ... --config conf/student.yaml \
        --init_param exp/student_init.pth

Fewer layers are chosen by --encoder_layers and --decoder_layers, narrower widths by the
importance of each unit, the same units wherever the width appears. A table says what came
from where and what stayed random; it is also written beside the output.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from espnet_kd.atomic import whole_file
from espnet_kd.bin.streaming import stream
from espnet_kd.compat import build_model, task_class
from espnet_kd.config import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.loading import find_teacher, load_weights, read_settings
from espnet_kd.student.axes import LAYER, Axes
from espnet_kd.student.importance import KINDS, activation, taylor, weight_norm
from espnet_kd.student.initialise import Initialiser, Shape, summary
from espnet_kd.student.layers import layer_map

# What a student has in common with its teacher, whatever its own config says or not.
COMMON = ("token_list", "token_type", "bpemodel", "input_size", "cleaner", "g2p")
# What it takes over unless its config says otherwise.
INHERITED = ("normalize", "normalize_conf", "frontend", "frontend_conf")
SIDES = ("encoder", "decoder")
# The student's own recipe knows its statistics.
LEFT_OUT = "normalize."


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--task", default="asr", help="ESPnet task of both")
    add("--student_config", type=Path, required=True, help="its training config")
    add("--output", type=Path, required=True, help="a .pth for --init_param")
    for side in SIDES:
        text = "uniform, first, last, or the teacher's layers with commas (0,2,5)"
        add(f"--{side}_layers", default="uniform", help=text)
    add("--importance", default="norm", choices=KINDS, help="of units, by which to cut")
    add(
        "--data_path_and_name_and_type",
        action="append",
        default=[],
        help="speech and text to hear, for activation and taylor",
    )
    add("--batches", type=int, default=50, help="utterances heard for them")
    add("--seed", type=int, default=0, help="of what stays random")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the parameters, print the table."""
    args = get_parser().parse_args(cmd)
    try:
        table = run(args)
    except KDError as error:
        sys.exit(f"init_student: {error}")
    print(table)


def run(args: argparse.Namespace) -> str:
    """Write the parameters and the table; gives the latter."""
    task = task_class(args.task)
    with ExitStack() as stack:
        files = find_teacher(TeacherConfig(args.exp, args.file), stack)
        settings = read_settings(files)
        ours = student_settings(task, settings, args.student_config)
        torch.manual_seed(args.seed)
        student = build_model(task, ours)
        teacher = build_model(task, settings).eval()
        load_weights(teacher, files.weights)
        importance = importance_of(teacher, args, task, settings)
    states = (teacher.state_dict(), student.state_dict())
    layers = {
        side: layer_map(getattr(args, f"{side}_layers"), *_counts(states, side), side)
        for side in SIDES
    }
    shapes = tuple(map(_shape, (settings, ours)))
    make = Initialiser(states[0], importance, layers, shapes)
    state, origins = make(states[1])
    kept = {name: v for name, v in state.items() if not name.startswith(LEFT_OUT)}
    table = summary([origin for origin in origins if origin.name in kept])
    with whole_file(args.output, "wb") as file:
        torch.save(kept, file)
    with whole_file(args.output.with_suffix(".md")) as file:
        file.write(f"# {args.output.name}, from {args.exp}\n\n{table}\n")
    return table


def student_settings(task: type, teacher: Mapping[str, Any], config: Path) -> dict:
    """The settings that a student of this teacher is built by.

    Raises:
        KDError: If its config cannot be read, or names other kinds of parts.
    """
    try:
        own = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KDError(f"--student_config {config}: {error}") from None
    if not isinstance(own, dict):
        raise KDError(f"--student_config {config} holds no configuration")
    shared = {k: teacher[k] for k in COMMON if k in teacher}
    inherited = {k: teacher[k] for k in INHERITED if k in teacher and k not in own}
    settings = task.get_default_config() | own | shared | inherited
    if settings.get("input_size") is not None:
        settings["frontend"] = None
    for part in SIDES:
        if settings.get(part) != teacher.get(part):
            raise KDError(
                f"the student's {part} is '{settings.get(part)}' and the teacher's "
                f"'{teacher.get(part)}': their layers hold different things. Give the "
                f"student '{part}: {teacher.get(part)}', or start it at random"
            )
    return settings


def importance_of(
    teacher: nn.Module, args: argparse.Namespace, task: type, settings: dict
) -> dict[str, Tensor]:
    """Importance of the teacher's units.

    Raises:
        KDError: If it needs data and none is given.
    """
    axes = Axes(teacher.state_dict())
    if args.importance == "norm":
        return weight_norm(teacher, axes)
    if not any(",text," in path for path in args.data_path_and_name_and_type):
        raise KDError(
            f"--importance {args.importance} hears data: give it by "
            "--data_path_and_name_and_type PATH,speech,TYPE and PATH,text,text"
        )
    batches = _batches(args, task, settings)
    measure = taylor if args.importance == "taylor" else activation
    return measure(teacher, axes, islice(batches, args.batches))


def _batches(args: argparse.Namespace, task: type, settings: dict) -> Iterator[dict]:
    data = args.data_path_and_name_and_type
    for _, batch in stream(task, settings, data, batch_size=1):
        yield batch


def _counts(states: tuple[Mapping, Mapping], side: str) -> tuple[int, int]:
    """Layers of the student and of the teacher."""
    theirs, ours = (_count(state, side) for state in states)
    return ours, theirs


def _count(state: Mapping, side: str) -> int:
    found = (LAYER.match(name) for name in state)
    layers = {match[2] for match in found if match and match[1].startswith(side)}
    return len(layers)


def _shape(settings: Mapping[str, Any]) -> Shape:
    heads = {}
    for side in SIDES:
        conf = settings.get(f"{side}_conf") or {}
        heads[side] = int(conf.get("attention_heads", 4))  # ESPnet's own default
    return Shape(heads)


if __name__ == "__main__":
    main()
