r"""Export a model's encoder and CTC layer to ONNX, and check the graphs against PyTorch.

    python -m espnet_kd.bin.export_onnx --exp exp/asr_student \
        --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark

writes exp/asr_student/ctc.onnx and, unless --int8 false, ctc.int8.onnx. Their input are
features (B, T, D) and lengths as the front end gives them, normalisation is inside; of a
model that hears waveforms, what its own front end makes of them. A graph that does not
say what PyTorch says is not left behind. Without data the check is on random features.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.bin.command import named_errors
from espnet_kd.bin.compression import add_model
from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import first_speech
from espnet_kd.host.experiment import open_experiment
from espnet_kd.student.export import (
    EncoderCTC,
    export_onnx,
    open_onnx,
    quantize_onnx,
    run_onnx,
)

# Between two float32 programs, in log-probability.
TOLERANCE = 1e-3
RANDOM_LENGTHS = (203, 150, 97, 64)


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add = parser.add_argument
    add("--output_dir", type=Path, default=None, help="default: --exp")
    choices = {"default": "true", "choices": ("true", "false")}
    add("--int8", **choices, help="true: also a graph of 8-bit integers")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the graphs, print how far they are from the model."""
    args = get_parser().parse_args(cmd)
    with named_errors("export_onnx"):
        print(run(args))


def run(args: argparse.Namespace) -> str:
    """Write the graphs; gives a line about each."""
    output = args.output_dir or Path(args.exp)
    if args.output_dir is None and not output.is_dir():
        raise KDError(f"{args.exp} is no directory to write to: say --output_dir DIR")
    task = task_class(args.task)
    with open_experiment(args.exp, args.file) as experiment:
        model = experiment.model(task)
        feats = _features(args, task, experiment.settings, model)
    graph = EncoderCTC(model)
    path, twin = output / "ctc.onnx", output / "ctc.int8.onnx"
    export_onnx(graph, feats[0], path)
    distance = compare(graph, path, feats)
    if not distance.largest <= TOLERANCE:
        path.unlink()
        text = f"the graph is {distance.largest:.2g} from PyTorch, more than {TOLERANCE}"
        raise KDError(f"{text}; this encoder cannot be exported")
    lines = [f"{_size(path)}; {distance}"]
    if args.int8 == "true":
        quantize_onnx(path, twin)
        lines.append(f"{_size(twin)}; {compare(graph, twin, feats)}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Distance:
    """Of a graph from the model that it was made of.

    Attributes:
        largest: Difference of a log-probability.
        kl: Kullback-Leibler divergence of its posteriors, nats a frame.
        agreement: Part of the frames whose best token is the same.
        frames: How many were compared.
    """

    largest: float
    kl: float
    agreement: float
    frames: int

    def __str__(self) -> str:
        return (
            f"beside PyTorch, over {self.frames} frames: log-probabilities differ by at "
            f"most {self.largest:.2g}, KL {self.kl:.2g} nats a frame, best token the same "
            f"in {self.agreement:.2%}"
        )


def compare(graph: EncoderCTC, path: Path, feats: list[Tensor]) -> Distance:
    """Put the same features to the model and its graph.

    Raises:
        KDError: If they do not even agree in the number of frames.
    """
    session, ours, theirs = open_onnx(path), [], []
    for utterance in feats:
        lens = torch.tensor([utterance.shape[1]])
        with torch.no_grad():
            expected, frames = graph(utterance, lens)
        found, got = run_onnx(session, utterance, lens)
        if not torch.equal(frames, got):
            raise KDError(
                f"{path} gives {int(got)} frames where PyTorch gives {int(frames)}"
            )
        ours.append(expected[0])
        theirs.append(found[0])
    p, q = torch.cat(ours).double(), torch.cat(theirs).double()
    same = (p.argmax(-1) == q.argmax(-1)).double().mean()
    kl = (p.exp() * (p - q)).sum(-1).mean()
    return Distance(float((p - q).abs().max()), float(kl), float(same), len(p))


def _features(
    args: argparse.Namespace, task: type, settings: dict[str, Any], model: nn.Module
) -> list[Tensor]:
    data = args.data_path_and_name_and_type
    if data is not None:
        speech = first_speech(task, settings, data, args.utterances)
        lens = [torch.tensor([audio.shape[1]]) for audio in speech]
        with torch.no_grad():
            pairs = zip(speech, lens, strict=True)
            return [model._extract_feats(x, n)[0] for x, n in pairs]
    width = settings.get("input_size") or model.frontend.output_size()
    noise = torch.Generator().manual_seed(0)
    return [torch.randn(1, frames, width, generator=noise) for frames in RANDOM_LENGTHS]


def _size(path: Path) -> str:
    return f"{path}: {path.stat().st_size / 1e6:.2f} MB"


if __name__ == "__main__":
    main()
