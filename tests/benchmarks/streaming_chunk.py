"""What a chunk of a streaming student costs in onnxruntime, beside ESPnet's own encoder.

    python tests/benchmarks/streaming_chunk.py

Random weights of the LibriSpeech 100 h student (conformer, 8 layers of 144) with blocks of
40/16/16 frames, 5000 tokens, on random features: the lines of the command that exports it.
Times are of the processor, on one thread each. Bar: at most half of PyTorch's.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from measure import keep_memory
from student_cost import CONF, write_model

from espnet_kd.bin import export_onnx

BLOCKS = {"block_size": 40, "hop_size": 16, "look_ahead": 16}
# Of relative positions, which encoders of blocks do not have.
OFFLINE = ("rel_pos_type", "pos_enc_layer_type", "selfattention_layer_type")


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=5000)
    parser.add_argument("--layers", type=int, default=8)
    return parser


def main() -> None:
    args = get_parser().parse_args()
    keep_memory()
    settings = yaml.safe_load((CONF / "student_conformer.yaml").read_text())
    conf = {k: v for k, v in settings["encoder_conf"].items() if k not in OFFLINE}
    settings["encoder"] = "contextual_block_conformer"
    settings["encoder_conf"] = conf | BLOCKS | {"num_blocks": args.layers}
    with TemporaryDirectory() as place:
        config = Path(place) / "student.yaml"
        config.write_text(yaml.safe_dump(settings))
        exp = write_model(Path(place) / "exp", config, args.vocabulary)
        export_onnx.main(["--exp", exp, "--file", "random.pth"])


if __name__ == "__main__":
    sys.exit(main())
