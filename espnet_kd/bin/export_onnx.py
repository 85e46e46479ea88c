"""Export a model's encoder and CTC layer to ONNX, and check the graphs against PyTorch.

The command writes ctc.onnx and, unless --int8 false, ctc.int8.onnx. The graphs take
features (B, T, D) and lengths as the front end gives them, normalisation is inside; of a
model that takes waveforms, what its own front end makes of them. A graph that does not
compute what PyTorch computes is not left behind. Without data the check is on random
features.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from espnet_kd.bin.command import (
    YES_OR_NO,
    add_experiment,
    add_measured_speech,
    command_parser,
    run_command,
)
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.experiment import Experiment, open_experiment
from espnet_kd.student.compress import comparison_speech
from espnet_kd.student.distance import graph_distance
from espnet_kd.student.export import EncoderCTC, export_onnx, quantize_onnx

EXAMPLE = """
python -m espnet_kd.bin.export_onnx --exp exp/asr_student \\
    --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark
"""
# Between two float32 programs, in log-probability.
TOLERANCE = 1e-3
RANDOM_LENGTHS = (203, 150, 97, 64)


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("export_onnx", __doc__, EXAMPLE)
    add_experiment(parser)
    add_measured_speech(parser, "on which the graphs and PyTorch are compared")
    text = "Directory of the graphs; without one, the experiment directory."
    parser.add_argument("--output_dir", type=Path, default=None, help=text)
    text = "Whether a graph of 8-bit integers is written as well."
    parser.add_argument("--int8", default="true", choices=YES_OR_NO, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the graphs; print how far they are from the model."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the graphs; give a line about each.

    Raises:
        KDError: If there is no place to write to, or the model cannot be exported.
    """
    output = args.output_dir or Path(args.exp)
    if args.output_dir is None and not output.is_dir():
        raise KDError(f"{args.exp} is no directory to write to: say --output_dir DIR")
    task = task_class(args.task)
    with open_experiment(args.exp, args.file) as experiment:
        model = experiment.model(task)
        feats = _features(args, task, experiment, model)
    return "\n".join(_written(EncoderCTC(model), output, feats, args.int8 == "true"))


def _written(model: EncoderCTC, output: Path, feats: list[Tensor], int8: bool) -> list[str]:
    """Write the graph and, if asked, its 8-bit form; give a line about each."""
    float_path, int8_path = output / "ctc.onnx", output / "ctc.int8.onnx"
    export_onnx(model, feats[0], float_path)
    distance = graph_distance(model, float_path, feats)
    if not distance.largest <= TOLERANCE:
        float_path.unlink()
        text = f"the graph is {distance.largest:.2g} from PyTorch, more than {TOLERANCE}"
        raise KDError(f"{text}; this encoder cannot be exported")
    lines = [f"{_size(float_path)}; {distance}"]
    if int8:
        quantize_onnx(float_path, int8_path)
        lines.append(f"{_size(int8_path)}; {graph_distance(model, int8_path, feats)}")
    return lines


def _features(
    args: argparse.Namespace, task: type[Any], experiment: Experiment, model: Any
) -> list[Tensor]:
    """Features (1, T, D) of the data's first utterances; random ones without data."""
    data, settings = args.data_path_and_name_and_type, experiment.settings
    if speech := comparison_speech(experiment, task, data, args.utterances):
        with torch.no_grad():
            lens = [torch.tensor([audio.shape[1]]) for audio in speech]
            pairs = zip(speech, lens, strict=True)
            return [model._extract_feats(x, n)[0] for x, n in pairs]
    width = settings.get("input_size") or model.frontend.output_size()
    noise = torch.Generator().manual_seed(0)
    return [torch.randn(1, frames, width, generator=noise) for frames in RANDOM_LENGTHS]


def _size(path: Path) -> str:
    return f"{path}: {path.stat().st_size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
