r"""Write a model whose linear layers are two thin ones, wherever that pays.

    python -m espnet_kd.bin.low_rank --exp exp/asr_student --energy 0.9 \
        --data_path_and_name_and_type dump/test/feats.scp,speech,kaldi_ark
    python -m espnet_kd -m espnet2.bin.asr_inference \
        --asr_train_config exp/asr_student/config.yaml \
        --asr_model_file exp/asr_student/valid.acc.ave.low_rank.pth ...

Stock ESPnet has no such layer, and cannot load the result; the second line decodes it. A
layer is left whole where two would be larger. Of a model that was trained without regard
to it little can go before it breaks: look at the distance that is printed, and decode.
"""

import argparse
from pathlib import Path

from torch import nn

from espnet_kd.bin.command import named_errors
from espnet_kd.bin.compression import add_model, add_output, compress
from espnet_kd.errors import KDError
from espnet_kd.student.low_rank import FORM, low_rank, write_low_rank


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_output(parser)
    text = "of each layer's squared singular values that is kept, above 0, up to 1"
    parser.add_argument("--energy", type=float, required=True, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Write the file, print what became of the model and of each layer."""
    args = get_parser().parse_args(cmd)

    def write(model: nn.Module, path: Path) -> str:
        shapes = {n: m.weight.shape for n, m in model.named_modules() if _is_linear(m)}
        ranks = low_rank(model, args.energy)
        write_low_rank(path, model, ranks)
        rows = [_row(name, shape, ranks.get(name)) for name, shape in shapes.items()]
        return "\n\n| layer | shape | rank |\n|---|---|---|\n" + "\n".join(rows)

    with named_errors("low_rank"):
        if not 0 < args.energy <= 1:
            raise KDError(f"--energy {args.energy:g} is not above 0 and at most 1")
        print(compress(args, FORM, write))


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear)


def _row(name: str, shape: tuple[int, int], rank: int | None) -> str:
    return f"| {name} | {shape[0]} x {shape[1]} | {rank or 'whole'} |"


if __name__ == "__main__":
    main()
