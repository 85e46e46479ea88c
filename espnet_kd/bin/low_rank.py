"""Write a model whose linear layers are two thin ones, wherever that pays.

A layer is left whole where two would be larger. Of a model that was trained without regard
to this, little can go before it breaks: look at the distance that is printed, and decode.
Stock ESPnet has no such layer and cannot load the result; the example's second command
decodes it.
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
from espnet_kd.errors import KDError
from espnet_kd.student.low_rank import FORM, low_rank, write_low_rank

EXAMPLE = """
python -m espnet_kd.bin.low_rank --exp exp/asr_student --energy 0.9 \\
    --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark
python -m espnet_kd -m espnet2.bin.asr_inference \\
    --asr_train_config exp/asr_student/config.yaml \\
    --asr_model_file exp/asr_student/valid.acc.ave.low_rank.pth ...
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("low_rank", __doc__, EXAMPLE)
    add_compression(parser)
    text = "Share of each layer's squared singular values that is kept, above 0, up to 1."
    parser.add_argument("--energy", type=float, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the file; print its size, its distance from the model, and every rank."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Write the file; give a line about it and a table of the layers.

    Raises:
        KDError: If the energy is no share, or no layer would become smaller.
    """
    if not 0 < args.energy <= 1:
        raise KDError(f"--energy {args.energy:g} is not above 0 and at most 1")

    def write(model: nn.Module, path: Path) -> str:
        shapes = {
            name: (layer.out_features, layer.in_features)
            for name, layer in model.named_modules()
            if isinstance(layer, nn.Linear)
        }
        ranks = low_rank(model, args.energy)
        write_low_rank(path, model, ranks)
        rows = [_row(name, shape, ranks.get(name)) for name, shape in shapes.items()]
        return "\n\n| layer | shape | rank |\n|---|---|---|\n" + "\n".join(rows)

    return write_compressed_model(args, FORM, write)


def _row(name: str, shape: tuple[int, int], rank: int | None) -> str:
    return f"| {name} | {shape[0]} x {shape[1]} | {rank or 'whole'} |"


if __name__ == "__main__":
    main()
