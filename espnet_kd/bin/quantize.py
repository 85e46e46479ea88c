r"""Write a model's weights as 8-bit integers: a quarter of the size on disk.

    python -m espnet_kd.bin.quantize --exp exp/asr_student \
        --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark
    python -m espnet_kd -m espnet2.bin.asr_inference \
        --asr_train_config exp/asr_student/config.yaml \
        --asr_model_file exp/asr_student/valid.acc.ave.int8.pth ...

The second line decodes it. With --arithmetic float the integers are multiplied out when
the model is loaded, and it computes as fast as before; with int8 the linear layers
compute in integers (torchao), as a student trained with 'quantize: int8' in its kd_conf
has learned to. With data it says how far the encoder's output is from the float model's.
"""

import argparse
import math
import sys
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path

import torch
from torch import nn

from espnet_kd.compat import task_class
from espnet_kd.config import TeacherConfig
from espnet_kd.errors import KDError
from espnet_kd.loading import find_teacher, load_teacher, read_settings
from espnet_kd.streaming import first_speech
from espnet_kd.student.quantize import ARITHMETIC, load_quantized, write_quantized


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--exp", required=True, help="as 'exp' of a kd_conf's teacher")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--task", default="asr", help="its ESPnet task")
    add("--arithmetic", default="float", choices=ARITHMETIC)
    add("--output", type=Path, default=None, help="default: beside the checkpoint")
    add("--data_path_and_name_and_type", default=None, help="PATH,speech,TYPE to hear")
    add("--utterances", type=int, default=20, help="of them")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the file, print what became of the model."""
    args = get_parser().parse_args(cmd)
    try:
        print(run(args))
    except KDError as error:
        sys.exit(f"quantize: {error}")


def run(args: argparse.Namespace) -> str:
    """Write the file; gives its size, and its distance from the float model."""
    task, config = task_class(args.task), TeacherConfig(args.exp, args.file)
    with ExitStack() as stack:
        files = find_teacher(config, stack)
        output = args.output or _beside(files.weights, Path(args.exp))
        model = load_teacher(config, task).model
        write_quantized(output, model, args.arithmetic)
        before, after = files.weights.stat().st_size, output.stat().st_size
        text = (
            f"{output}: {after / 1e6:.2f} MB of {before / 1e6:.2f} ({after / before:.3f})"
        )
        if args.data_path_and_name_and_type is None:
            return text
        data, settings = args.data_path_and_name_and_type, read_settings(files)
        speech = first_speech(task, settings, data, args.utterances)
    twin = deepcopy(model)
    load_quantized(twin, output)
    return f"{text}; SQNR of the encoder's output {sqnr(model, twin, speech):.1f} dB"


def _beside(weights: Path, exp: Path) -> Path:
    if not exp.is_dir():
        raise KDError(f"{exp} is no directory to write to: say --output FILE.pth")
    return weights.with_name(f"{weights.stem}.int8.pth")


def sqnr(model: nn.Module, twin: nn.Module, speech: list[torch.Tensor]) -> float:
    """Signal to quantisation noise of encoder outputs, ``10 log10(sum h^2 / sum d^2)``, dB.

    Args:
        model: In float.
        twin: The same, rounded.
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


if __name__ == "__main__":
    main()
