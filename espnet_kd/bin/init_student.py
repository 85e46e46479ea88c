"""Make a student's first parameters from its teacher's, for stock --init_param.

Fewer layers are chosen by --encoder_layers and --decoder_layers, narrower widths by the
importance of each unit, the same units wherever the width appears. A table says which of
the student's parameters came from which of the teacher's and which stayed random; it is
also written beside the output.
"""

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from espnet_kd.bin.command import add_choice, choice_of, command_parser, run_command
from espnet_kd.documents import read_text, read_yaml
from espnet_kd.errors import KDError
from espnet_kd.host.compat import default_settings, task_class
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.host.known_tasks import BY_PARTS
from espnet_kd.student.build import build_student
from espnet_kd.student.initialise import summary

EXAMPLE = """
python -m espnet_kd.bin.init_student --exp exp/asr_teacher \\
    --student_config conf/student.yaml --output exp/student_init.pth
python -m espnet2.bin.asr_train ... --config conf/student.yaml \\
    --init_param exp/student_init.pth
"""
# What a student has in common with its teacher, whatever its own config says or not.
COMMON = (
    *("token_list", "token_type", "bpemodel", "input_size", "cleaner", "g2p"),
    *("src_token_list", "src_token_type", "src_bpemodel"),
)
# What a student takes over from its teacher unless its config says otherwise.
INHERITED = ("normalize", "normalize_conf", "frontend", "frontend_conf")
# Tasks whose models consist of an encoder and perhaps a decoder of layers.
LAYERED = (*BY_PARTS, "mt")
# The student's own recipe knows its statistics.
LEFT_OUT = "normalize."


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("init_student", __doc__, EXAMPLE)
    add_choice(parser, "teacher")
    text = "Training configuration of the student, a YAML file."
    parser.add_argument("--student_config", type=Path, required=True, help=text)
    text = (
        "File of the tokens that the student is trained with, a line each: rows of the "
        "same tokens in another order are put in order. Without a file the tokens are the "
        "teacher's."
    )
    parser.add_argument("--token_list", type=Path, help=text)
    text = "File to write, a .pth of parameters; a table of origins is written beside."
    parser.add_argument("--output", type=Path, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the parameters; print where each came from."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the parameters and the table; give the table.

    Raises:
        KDError: If models of the task have no layers that are known.
    """
    task = task_class(args.task)
    if args.task not in LAYERED:
        raise KDError(
            f"the layers of '{args.task}' models are not known by name, only those of "
            f"{', '.join(LAYERED)}; let the student begin at random, or copy parts of one "
            "shape by ESPnet's own --init_param FILE:PART:PART"
        )
    with open_experiment(args.exp, args.file) as teacher:
        settings = student_settings(task, teacher.settings, args.student_config)
        if args.token_list is not None:
            settings["token_list"] = read_tokens(args.token_list)
        state, origins = build_student(task, teacher, settings, choice_of(args))
    kept = {name: v for name, v in state.items() if not name.startswith(LEFT_OUT)}
    table = summary([origin for origin in origins if origin.name in kept])
    with whole_file(args.output, "wb") as file:
        torch.save(kept, file)
    with whole_file(args.output.with_suffix(".md")) as file:
        file.write(f"# {args.output.name}, from {args.exp}\n\n{table}\n")
    return table


def read_tokens(path: Path) -> list[str]:
    """Read a token list as ESPnet does, a token a line.

    Raises:
        KDError: If it cannot be read, is none, or one token has two numbers.
    """
    text = read_text(path, f"--token_list {path} cannot be read")
    tokens = [line.rstrip() for line in text.removesuffix("\n").split("\n")]
    if tokens[0] != "<blank>":
        raise KDError(
            f"--token_list {path} begins with '{tokens[0][:20]}', and ESPnet's lists with "
            "'<blank>'; give the file of tokens that the student's training is given"
        )
    twice = [token for token, count in Counter(tokens).items() if count > 1]
    if twice:
        raise KDError(
            f"--token_list {path} names '{twice[0]}' more than once; give the file of "
            "tokens that the student's training is given, a token a line"
        )
    return tokens


def student_settings(
    task: type[Any], teacher: Mapping[str, Any], config: Path
) -> dict[str, Any]:
    """Complete a student's training configuration by what it shares with its teacher.

    Args:
        task: ESPnet task class of both.
        teacher: The teacher's settings.
        config: The student's YAML file.

    Returns:
        All settings of the student's task.

    Raises:
        KDError: If the file cannot be read or holds no configuration.
    """
    own = read_yaml(config, f"--student_config {config}")
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
