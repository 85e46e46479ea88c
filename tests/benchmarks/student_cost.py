"""What a student of a real size saves: speed beside its teacher, and disk in 8 bits.

    python tests/benchmarks/student_cost.py

Random weights of the LibriSpeech 100 h configs on random features: cost does not depend on
what a model knows, except by the length of what it says, which is fixed here (0.15 tokens
a frame, of 5000 pieces on read speech about right). Both models take turns, one thread.
Bars: at least 3 times as fast, at most 0.3 of the bytes.

CTC greedily is the encoder's column: an argmax costs nothing beside it. ESPnet has that
search as a prefix search of beam 1, whose time goes into the prefixes, whatever the model.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import yaml
from kaldiio import WriteHelper

from espnet_kd.bin import measure, quantize
from espnet_kd.host.compat import build_model, default_settings, task_class

CONF = Path(__file__).parents[2] / "egs" / "librispeech" / "asr_kd1" / "conf" / "100h"
LENGTH = {"maxlenratio": 0.15, "minlenratio": 0.15}
GREEDY = {"beam_size": 1, "ctc_weight": 1.0, "lm_weight": 0.0, **LENGTH}
BEAM = {"beam_size": 10, "ctc_weight": 0.3, "lm_weight": 0.0, **LENGTH}
N_MELS = 80


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="conformer", help="of conf/100h")
    parser.add_argument("--vocabulary", type=int, default=5000)
    parser.add_argument("--utterances", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    return parser


def write_model(folder: Path, config: Path, vocabulary: int) -> str:
    """An experiment directory of an untrained model."""
    task = task_class("asr")
    tokens = ["<blank>", "<unk>", *map(str, range(vocabulary - 3)), "<sos/eos>"]
    settings = default_settings(task) | yaml.safe_load(config.read_text())
    settings |= {"token_list": tokens, "token_type": "word", "input_size": N_MELS}
    settings |= {"frontend": None, "normalize": None, "specaug": None}
    torch.manual_seed(0)
    folder.mkdir()
    torch.save(build_model(task, settings).state_dict(), folder / "random.pth")
    kept = (str, int, float, bool, list, dict, type(None))
    plain = {key: value for key, value in settings.items() if isinstance(value, kept)}
    (folder / "config.yaml").write_text(yaml.safe_dump(plain))
    return str(folder)


def main() -> None:
    args = get_parser().parse_args()
    noise = np.random.default_rng(0)
    with TemporaryDirectory() as place:
        root = Path(place)
        with WriteHelper(f"ark,scp:{root}/f.ark,{root}/f.scp") as writer:
            for n in range(args.utterances):
                shape = (round(100 * args.seconds), N_MELS)
                writer(f"u{n}", noise.standard_normal(shape).astype(np.float32))
        exps = [
            write_model(root / role, CONF / f"{role}_{args.models}.yaml", args.vocabulary)
            for role in ("teacher", "student")
        ]
        data = ["--data_path_and_name_and_type", f"{root}/f.scp,speech,kaldi_ark"]
        models = [word for exp in exps for word in ("--exp", exp)]
        for name, search in (("CTC, beam 1", GREEDY), ("beam 10", BEAM)):
            (root / "decode.yaml").write_text(yaml.safe_dump(search))
            print(f"== {name}", flush=True)
            decode = ["--inference_config", f"{root}/decode.yaml"]
            measure.main([*models, "--file", "random.pth", *data, *decode])
        for arithmetic in ("float", "int8"):
            print(f"== 8-bit student, {arithmetic} arithmetic", flush=True)
            more = ["--arithmetic", arithmetic, "--file", "random.pth", *data]
            quantize.main(["--exp", exps[1], *more])


if __name__ == "__main__":
    sys.exit(main())
