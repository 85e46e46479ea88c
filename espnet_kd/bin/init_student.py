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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host.compat import default_settings, task_class
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.student.build import SIDES, Choice, build_student
from espnet_kd.student.importance import KINDS
from espnet_kd.student.initialise import summary

# What a student has in common with its teacher, whatever its own config says or not.
COMMON = ("token_list", "token_type", "bpemodel", "input_size", "cleaner", "g2p")
# What it takes over unless its config says otherwise.
INHERITED = ("normalize", "normalize_conf", "frontend", "frontend_conf")
# The student's own recipe knows its statistics.
LEFT_OUT = "normalize."


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_choice(parser)
    parser.add_argument(
        "--student_config", type=Path, required=True, help="its training config"
    )
    parser.add_argument("--output", type=Path, required=True, help="a .pth")
    return parser


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Arguments that say what is taken of which teacher."""
    add = parser.add_argument
    add("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--task", default="asr", help="ESPnet task of both")
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
    add("--seed", type=int, default=0, help="of what is random")


def choice_of(args: argparse.Namespace) -> Choice:
    """What those arguments say."""
    return Choice(
        layers={side: getattr(args, f"{side}_layers") for side in SIDES},
        importance=args.importance,
        data=tuple(args.data_path_and_name_and_type),
        batches=args.batches,
        seed=args.seed,
    )


def main(cmd: list[str] | None = None) -> None:
    """Write the parameters, print the table."""
    args = get_parser().parse_args(cmd)
    with named_errors("init_student"):
        print(run(args))


def run(args: argparse.Namespace) -> str:
    """Write the parameters and the table; gives the latter."""
    task = task_class(args.task)
    with open_experiment(args.exp, args.file) as teacher:
        settings = student_settings(task, teacher.settings, args.student_config)
        state, origins = build_student(task, teacher, settings, choice_of(args))
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
        KDError: If its config cannot be read.
    """
    try:
        own = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KDError(f"--student_config {config}: {error}") from None
    if not isinstance(own, dict):
        raise KDError(f"--student_config {config} holds no configuration")
    shared = {k: teacher[k] for k in COMMON if k in teacher}
    inherited = {k: teacher[k] for k in INHERITED if k in teacher and k not in own}
    settings = default_settings(task) | own | shared | inherited
    if settings.get("input_size") is not None:
        settings["frontend"] = None
    return settings


if __name__ == "__main__":
    main()
