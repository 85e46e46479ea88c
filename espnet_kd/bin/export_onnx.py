"""Export a model's encoder and CTC layer to ONNX, and check the graphs against PyTorch.

The command writes ctc.onnx and, unless --int8 false, ctc.int8.onnx. The graphs take
features (B, T, D) and lengths as the front end gives them, normalisation is inside; of a
model that takes waveforms, what its own front end makes of them. A graph that does not
compute what PyTorch computes is not left behind. Without data the check is on random
features.

Of the encoders contextual_block_conformer and contextual_block_transformer it writes
ctc.streaming.onnx and ctc.streaming.int8.onnx: a chunk of features (1, T, D) and a state
in, the log-probabilities of what is complete and the next state out. Their metadata tell
all that is needed to run them. They are compared with ESPnet's own encoder at every chunk,
and their time with PyTorch's.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from espnet_kd.bin.command import (
    YES_OR_NO,
    add_experiment,
    add_frame_shift,
    add_measured_speech,
    add_sample_rate,
    command_parser,
    frame_shift_of,
    run_command,
)
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.experiment import Experiment, open_experiment
from espnet_kd.host.front_end import input_hop, sample_rate, takes_features
from espnet_kd.streaming.blocks import DEFAULTS, ENCODERS, check_streams
from espnet_kd.streaming.comparison import (
    ChunkComparison,
    compare_chunks,
    random_utterances,
)
from espnet_kd.streaming.export import Heard, export_streaming
from espnet_kd.student.compress import comparison_speech
from espnet_kd.student.distance import GraphDistance, graph_distance
from espnet_kd.student.export import EncoderCTC, export_onnx, keep, quantize_onnx

EXAMPLE = """
python -m espnet_kd.bin.export_onnx --exp exp/asr_student \\
    --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark
"""
# Between two float32 programs, in log-probability.
TOLERANCE = 1e-3
CHUNK_TOLERANCE = 1e-4
RANDOM_LENGTHS = (203, 150, 97, 64)
STREAMING = (*YES_OR_NO, "auto")


@dataclass(frozen=True)
class Kind:
    """A kind of graph.

    Attributes:
        name: Its file.
        write: Writes it.
        compare: Compares a file with PyTorch.
        tolerance: How far a log-probability may be from PyTorch's.
    """

    name: str
    write: Callable[[Path], None]
    compare: Callable[[Path], GraphDistance | ChunkComparison]
    tolerance: float


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("export_onnx", __doc__, EXAMPLE)
    add_experiment(parser)
    add_measured_speech(parser, "on which the graphs and PyTorch are compared")
    text = "Directory of the graphs; without one, the experiment directory."
    parser.add_argument("--output_dir", type=Path, default=None, help=text)
    text = "Whether a graph of 8-bit integers is written as well."
    parser.add_argument("--int8", default="true", choices=YES_OR_NO, help=text)
    text = (
        "Whether the graph is fed chunk by chunk (ctc.streaming.onnx, not ctc.onnx); auto "
        "asks whether the encoder has blocks."
    )
    parser.add_argument("--streaming", default="auto", choices=STREAMING, help=text)
    add_sample_rate(parser)
    add_frame_shift(parser)
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
        hears_chunks = _hears_chunks(args, experiment.settings)
        model = experiment.model(task)
        feats = _features(args, task, experiment, model)
        heard = _heard(args, experiment.settings, model)
    kind = (_of_chunks if hears_chunks else _of_whole)(EncoderCTC(model), feats, heard)
    return "\n".join(_written(kind, output, args.int8 == "true"))


def _hears_chunks(args: argparse.Namespace, settings: dict[str, Any]) -> bool:
    """Whether the graph is one of chunks.

    Raises:
        KDError: If the model has not the graph that was asked for.
    """
    conf = DEFAULTS | (settings.get("encoder_conf") or {})
    has_blocks = settings.get("encoder") in ENCODERS and conf["block_size"] != 0
    if args.streaming == "true" or (args.streaming == "auto" and has_blocks):
        check_streams(args.exp, settings)
        return True
    if has_blocks:
        raise KDError(
            f"{args.exp} hears blocks, as many as an utterance has, which a graph of whole "
            "utterances cannot follow; leave out --streaming false: a graph of chunks "
            "hears an utterance whole if that is one chunk"
        )
    return False


def _of_whole(graph: EncoderCTC, feats: list[Tensor], heard: Heard) -> Kind:
    noise = torch.Generator().manual_seed(0)
    feats = feats or [
        torch.randn(1, frames, heard.size, generator=noise) for frames in RANDOM_LENGTHS
    ]
    return Kind(
        "ctc.onnx",
        write=lambda path: export_onnx(graph, feats[0], path),
        compare=lambda path: graph_distance(graph, path, feats),
        tolerance=TOLERANCE,
    )


def _of_chunks(graph: EncoderCTC, feats: list[Tensor], heard: Heard) -> Kind:
    feats = feats or random_utterances(graph.model.encoder, heard.size)
    return Kind(
        "ctc.streaming.onnx",
        write=lambda path: export_streaming(graph, heard, path),
        compare=lambda path: compare_chunks(graph, path, feats, heard.shift_ms),
        tolerance=CHUNK_TOLERANCE,
    )


def _written(kind: Kind, output: Path, int8: bool) -> list[str]:
    """Write the graph and, if asked, its 8-bit form; give a line about each.

    Each takes its place when it was compared; what stood there before is no graph of this
    model, and goes if there is none.
    """
    path = output / kind.name
    small = path.with_suffix(".int8.onnx")
    with TemporaryDirectory() as folder:
        made, made_small = Path(folder) / path.name, Path(folder) / small.name
        try:
            kind.write(made)
            found = kind.compare(made)
            _check_distance(found, kind.tolerance)
        except KDError:
            path.unlink(missing_ok=True)
            raise
        keep(made, path)
        lines = [f"{_size(path)}; {found}"]
        if int8:
            quantize_onnx(made, made_small)
            found = kind.compare(made_small)
            keep(made_small, small)
            lines.append(f"{_size(small)}; {found}")
    return lines


def _check_distance(found: GraphDistance | ChunkComparison, tolerance: float) -> None:
    distance = found if isinstance(found, GraphDistance) else found.distance
    if not distance.largest <= tolerance:
        raise KDError(
            f"the graph is {distance.largest:.2g} from PyTorch, more than {tolerance}; "
            "this encoder cannot be exported"
        )


def _features(
    args: argparse.Namespace, task: type[Any], experiment: Experiment, model: Any
) -> list[Tensor]:
    """Features (1, T, D) of the data's first utterances; none without data."""
    data = args.data_path_and_name_and_type
    speech = comparison_speech(experiment, task, data, args.utterances)
    with torch.no_grad():
        lens = [torch.tensor([audio.shape[1]]) for audio in speech]
        pairs = zip(speech, lens, strict=True)
        return [model._extract_feats(x, n)[0] for x, n in pairs]


def _heard(args: argparse.Namespace, settings: dict[str, Any], model: Any) -> Heard:
    """What the model's features are.

    Raises:
        KDError: If the arguments say what cannot be.
    """
    shift = frame_shift_of(args)
    if takes_features(settings):
        return Heard(settings["input_size"], args.fs, shift)
    rate = sample_rate(settings)
    shift = 1000.0 * input_hop(settings) / rate
    frontend = {"kind": settings.get("frontend")} | (settings.get("frontend_conf") or {})
    return Heard(model.frontend.output_size(), rate, shift, frontend)


def _size(path: Path) -> str:
    return f"{path}: {path.stat().st_size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
