r"""What every other layer of a trained model is worth before it trains again.

    python tests/benchmarks/layer_halving.py --exp exp/asr_teacher \
        --file valid.acc.ave.pth \
        --data_path_and_name_and_type data/dev/feats.scp,speech,kaldi_ark \
        --data_path_and_name_and_type data/dev/text,text,text

The loss of ESPnet's own objective, mean over the utterances: of the whole model, of half
its layers as `init_student` chooses them, of that shape with random weights of several
seeds. Ends with an error unless the halves beat every one of the random models.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from itertools import islice

import torch
from torch import nn

from espnet_kd.bin.prune import smaller
from espnet_kd.host.compat import build_model, task_class
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import Experiment, open_experiment
from espnet_kd.student.build import SIDES, Choice, build_student

BATCH = 8


def get_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--exp", required=True, action="append", help="a trained model; once or more")
    add("--file", default=None, help="as 'file' of a kd_conf's teacher")
    add("--task", default="asr", help="ESPnet task")
    add("--data_path_and_name_and_type", required=True, action="append")
    add("--utterances", type=int, default=200, help="at most")
    add("--seeds", type=int, default=5, help="random models")
    return parser


def mean_loss(model: nn.Module, batches: Iterable[Mapping]) -> float:
    """Of ESPnet's own objective, over utterances."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            # A model without front end normalises in its caller's tensor.
            copy = {key: value.clone() for key, value in batch.items()}
            loss, _, weight = model(**copy)
            total += float(loss) * int(weight)
            count += int(weight)
    return total / count


def halved(settings: Mapping) -> dict:
    """The settings of a model of half the layers; one layer stays one."""
    layers = {side: settings[f"{side}_conf"].get("num_blocks", 1) for side in SIDES}
    changes = {f"{side}_conf.num_blocks": n // 2 for side, n in layers.items() if n > 1}
    return smaller(settings, [f"{name}={number}" for name, number in changes.items()])


def losses(
    args: argparse.Namespace, experiment: Experiment
) -> tuple[float, float, list[float]]:
    """Of the whole model, of its halves, of random ones."""
    task, settings = task_class(args.task), experiment.settings
    heard = stream(task, settings, args.data_path_and_name_and_type, batch_size=BATCH)
    batches = [batch for _, batch in islice(heard, -(-args.utterances // BATCH))]
    small = halved(settings)
    whole, half = experiment.model(task), build_model(task, small)
    layers = dict.fromkeys(SIDES, "uniform")
    half.load_state_dict(build_student(task, experiment, small, Choice(layers))[0])
    random = []
    for seed in range(args.seeds):
        torch.manual_seed(seed)
        random.append(mean_loss(build_model(task, small), batches))
    return mean_loss(whole, batches), mean_loss(half, batches), random


def main() -> str | None:
    args, worse = get_parser().parse_args(), []
    print("| model | whole | half of its layers | random, lowest | highest |")
    print("|---|---|---|---|---|")
    for exp in args.exp:
        with open_experiment(exp, args.file) as experiment:
            whole, half, random = losses(args, experiment)
        low, high = min(random), max(random)
        print(f"| {exp} | {whole:.2f} | {half:.2f} | {low:.2f} | {high:.2f} |", flush=True)
        if not half < low:
            worse.append(exp)
    return f"random beats {', '.join(worse)}" if worse else None


if __name__ == "__main__":
    sys.exit(main())
