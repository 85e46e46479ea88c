"""Write a model's weights as 8-bit integers: a quarter of the size on disk.

With --arithmetic float the integers are multiplied out when the model is loaded, and it
computes as fast as before; with int8 the linear layers compute in integers (torchao), as a
student trained with 'quantize: int8' in its kd_conf has learned to. Given data, the
command says how far the encoder's output is from the float model's. Stock ESPnet cannot
load the result; the example's second command decodes it.
"""

import argparse
from pathlib import Path

from torch import nn

from espnet_kd.bin.command import (
    add_compression,
    command_parser,
    run_command,
    write_compressed_model,
)
from espnet_kd.student.quantize import ARITHMETIC, FORM, write_quantized

EXAMPLE = """
python -m espnet_kd.bin.quantize --exp exp/asr_student \\
    --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark
python -m espnet_kd -m espnet2.bin.asr_inference \\
    --asr_train_config exp/asr_student/config.yaml \\
    --asr_model_file exp/asr_student/valid.acc.ave.int8.pth ...
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("quantize", __doc__, EXAMPLE)
    add_compression(parser)
    text = "Arithmetic of the linear layers when the written model is loaded."
    parser.add_argument("--arithmetic", default="float", choices=ARITHMETIC, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the file; print its size and its distance from the float model."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the file; give a line about it."""

    def write(model: nn.Module, path: Path) -> str:
        write_quantized(path, model, args.arithmetic)
        return ""

    return write_compressed_model(args, FORM, write)


if __name__ == "__main__":
    main()
