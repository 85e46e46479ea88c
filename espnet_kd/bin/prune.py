"""Cut a model down to a smaller one that stock ESPnet loads, decodes, packs and trains.

Whatever width or depth the model's own config.yaml names can be made smaller by --set; the
layers are chosen by --encoder_layers and --decoder_layers, the units by --importance. The
result is an experiment directory as training leaves it. It knows less than the whole model
until it has trained again: name it by --init_param, best with the whole one as teacher.
With 'prune' in that training's kd_conf weights or units go gradually instead; units that
went so are cut out here, by --importance norm, without changing a word.

--sparsity and --threshold zero single weights, the least of all or those below a
magnitude. The model stays as large and as fast as it was: stock ESPnet computes with the
zeros. A training with 'prune' keeps them.
"""

import argparse
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from espnet_kd.bin.command import add_choice, choice_of, command_parser, run_command
from espnet_kd.config.schema import PruneConfig
from espnet_kd.errors import KDError, suggest
from espnet_kd.host.checkpoint import read_weights
from espnet_kd.host.compat import task_class
from espnet_kd.host.experiment import Experiment, open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.student.build import build_student
from espnet_kd.student.initialise import summary
from espnet_kd.student.masks import Masks

EXAMPLE = """
python -m espnet_kd.bin.prune --exp exp/asr_teacher --output_dir exp/asr_pruned \\
    --set encoder_conf.num_blocks=6 --set encoder_conf.linear_units=1024
python -m espnet_kd.bin.prune --exp exp/asr_student --output_dir exp/asr_sparse \\
    --sparsity 0.5
"""
WEIGHTS = "pruned.pth"
# Settings, parameters and a Markdown account of a smaller model.
Smaller = tuple[dict[str, Any], Mapping[str, Tensor], str]


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("prune", __doc__, EXAMPLE)
    add_choice(parser, "model")
    what = parser.add_mutually_exclusive_group(required=True)
    text = "Setting to make smaller, PART_conf.SETTING=NUMBER; may be given several times."
    what.add_argument("--set", action="append", default=[], help=text)
    text = "Share of the single weights that become 0, from 0 to 1."
    what.add_argument("--sparsity", type=float, default=None, help=text)
    text = "Magnitude below which single weights become 0."
    what.add_argument("--threshold", type=float, default=None, help=text)
    text = "Experiment directory to write."
    parser.add_argument("--output_dir", type=Path, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the experiment directory; print where each parameter came from."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write config, weights and table; give the table."""
    make = cut if args.set else thin
    with open_experiment(args.exp, args.file) as experiment:
        settings, state, table = make(args, experiment)
    out = args.output_dir
    with whole_file(out / "config.yaml") as file:
        yaml.safe_dump(settings, file, sort_keys=False)
    with whole_file(out / f"{WEIGHTS.partition('.')[0]}.md") as file:
        file.write(f"# {out.name}, cut from {args.exp}\n\n{table}\n")
    with whole_file(out / WEIGHTS, "wb") as file:
        torch.save(state, file)
    return table


def cut(args: argparse.Namespace, whole: Experiment) -> Smaller:
    """Make a model with fewer layers or units.

    Args:
        args: The command's, with ``--set``.
        whole: The model.

    Raises:
        KDError: If a setting cannot be made smaller in this way.
    """
    settings = smaller(whole.settings, args.set)
    choice = choice_of(args)
    state, origins = build_student(task_class(args.task), whole, settings, choice)
    before = sum(value.numel() for value in read_weights(whole.files.weights).values())
    return settings, state, f"{summary(origins)} The whole model has {before:,}."


def thin(args: argparse.Namespace, whole: Experiment) -> Smaller:
    """Make a model of the same size with zeros among its weights.

    Args:
        args: The command's, with ``--sparsity`` or ``--threshold``.
        whole: The model.

    Raises:
        KDError: If nothing would be left.
    """
    model = whole.model(task_class(args.task)).requires_grad_(True)
    config = PruneConfig(sparsity=args.sparsity or 0.0, threshold=args.threshold or 0.0)
    masks = Masks(model, config)
    masks.step(config.end)
    if not masks.sparsity < 1:
        raise KDError("this leaves no weight at all; ask for a smaller part")
    masks.remove()
    text = f"{masks.sparsity:.2%} of the weights of linear layers and convolutions are 0."
    return whole.settings, model.state_dict(), text


def smaller(settings: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Replace numbers in a model's settings.

    Args:
        settings: The model's settings; they are not changed.
        changes: ``PART_conf.SETTING=NUMBER`` each.

    Returns:
        A copy with the new numbers.

    Raises:
        KDError: If a change names no number of the settings, or leaves nothing.
    """
    changed = deepcopy(dict(settings))
    for change in changes:
        path, _, text = change.partition("=")
        part, _, name = path.partition(".")
        conf = changed.get(part)
        if not isinstance(conf, dict):
            parts = [k for k, v in changed.items() if isinstance(v, dict) and v]
            raise KDError(
                f"--set {change}: '{part}' has no settings; {suggest(part, parts)}"
            )
        if not isinstance(conf.get(name), int) or isinstance(conf[name], bool):
            numbers = [k for k, v in conf.items() if type(v) is int]
            text = f"is no whole number of this model's config; {suggest(name, numbers)}"
            raise KDError(f"--set {change}: '{name}' {text}")
        conf[name] = _number(change, text, conf[name])
    return changed


def _number(change: str, text: str, before: int) -> int:
    if not text.isdecimal():
        raise KDError(f"--set {change}: '{text}' is no whole number")
    if int(text) < 1:
        raise KDError(f"--set {change} leaves nothing; 1 is the least, {before} it is now")
    return int(text)


if __name__ == "__main__":
    main()
