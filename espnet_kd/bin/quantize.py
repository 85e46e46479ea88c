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
from pathlib import Path

from torch import nn

from espnet_kd.bin.command import named_errors
from espnet_kd.bin.compression import add_model, add_output, compress
from espnet_kd.student.quantize import ARITHMETIC, FORM, write_quantized


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_output(parser)
    parser.add_argument("--arithmetic", default="float", choices=ARITHMETIC)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the file, print what became of the model."""
    args = get_parser().parse_args(cmd)

    def write(model: nn.Module, path: Path) -> str:
        write_quantized(path, model, args.arithmetic)
        return ""

    with named_errors("quantize"):
        print(compress(args, FORM, write))


if __name__ == "__main__":
    main()
