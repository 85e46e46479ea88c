"""What the commands have in common that write a model in a smaller form."""

import argparse
import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.host.compat import build_model, task_class
from espnet_kd.host.data import first_speech
from espnet_kd.host.experiment import open_experiment
from espnet_kd.student.forms import load_compressed


def add_model(parser: argparse.ArgumentParser) -> None:
    """Arguments that say which model, and on what to hear how far its twin is."""
    add = parser.add_argument
    add("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--task", default="asr", help="its ESPnet task")
    add("--data_path_and_name_and_type", default=None, help="PATH,speech,TYPE to hear")
    add("--utterances", type=int, default=20, help="of them")


def add_output(parser: argparse.ArgumentParser) -> None:
    """The argument that says where to."""
    text = "a .pth; default: beside the checkpoint"
    parser.add_argument("--output", type=Path, default=None, help=text)


def compress(
    args: argparse.Namespace, form: str, write: Callable[[nn.Module, Path], str]
) -> str:
    """Write a model's smaller form; gives its size and its distance from the model.

    Args:
        args: Of ``add_model`` and ``add_output``.
        form: What goes into the file's name.
        write: Writes a model, which it may change, to a file; gives a remark.

    Raises:
        KDError: If there is no place to write to.
    """
    task = task_class(args.task)
    with open_experiment(args.exp, args.file) as experiment:
        weights, settings = experiment.files.weights, experiment.settings
        output = args.output or _beside(weights, Path(args.exp), form)
        model = experiment.model(task)
        remark = write(deepcopy(model), output)
        before, after = weights.stat().st_size, output.stat().st_size
        twin = build_model(task, settings).eval()
        data = args.data_path_and_name_and_type
        speech = [] if data is None else first_speech(task, settings, data, args.utterances)
    load_compressed(twin, output)
    text = f"{output}: {after / 1e6:.2f} of {before / 1e6:.2f} MB ({after / before:.3f})"
    if speech:
        text += f"; SQNR of the encoder's output {sqnr(model, twin, speech):.1f} dB"
    return f"{text}{remark}"


def sqnr(model: nn.Module, twin: nn.Module, speech: list[torch.Tensor]) -> float:
    """Signal to quantisation noise of encoder outputs, ``10 log10(sum h^2 / sum d^2)``, dB.

    Args:
        model: In float.
        twin: The same, compressed.
        speech: (1, L) or (1, L, D), utterances.

    Returns:
        Infinite if the two agree.
    """
    signal = noise = 0.0
    with torch.no_grad():
        for audio in speech:
            lens = torch.tensor([audio.shape[1]])
            ours, theirs = (m.encode(audio.clone(), lens)[0] for m in (model, twin))
            signal += float(ours.double().square().sum())
            noise += float((ours - theirs).double().square().sum())
    return 10 * math.log10(signal / noise) if noise else math.inf


def _beside(weights: Path, exp: Path, form: str) -> Path:
    if not exp.is_dir():
        raise KDError(f"{exp} is no directory to write to: say --output FILE.pth")
    return weights.with_name(f"{weights.stem}.{form}.pth")
