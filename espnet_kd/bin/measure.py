r"""Measure what a model costs: size, multiply-accumulates, real-time factor, memory.

    python -m espnet_kd.bin.measure --exp exp/asr_student --random false \
        --data_path_and_name_and_type dump/test/wav.scp,speech,sound \
        --inference_config conf/decode.yaml --output exp/asr_student/cost.json

The encoder and the whole search are timed on the same utterances, one after the other,
after a warm-up. --exp may be given several times: the models then take turns with each
other, so that whatever slows the machine slows them alike, and ratios to the first are
told. --random true needs no checkpoint: cost does not depend on what a model knows (the
length of what it says does: CTC's search is fair then, an attention decoder's is not).
"""

import argparse
import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from espnet_kd.bin.command import named_errors
from espnet_kd.host.compat import build_model, task_class, versions
from espnet_kd.host.data import first_speech
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.pseudo_labels.decoding import open_recogniser, search_options
from espnet_kd.report.cost import cost_section
from espnet_kd.report.measure import parameters_by_part
from espnet_kd.report.section import markdown
from espnet_kd.report.speed import Timing, count_macs, peak_memory, time_call

FEATURE_RATE = 100.0  # frames a second that feats.scp is taken to hold
SAMPLE_RATE = 16000


def get_parser() -> argparse.ArgumentParser:
    """Arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--exp", action="append", required=True, help="one or more, the teacher first")
    add("--file", default=None, help="checkpoint in each of them")
    choices = {"default": "false", "choices": ("true", "false")}
    add("--random", **choices, help="true: measure without a checkpoint")
    add("--data_path_and_name_and_type", required=True, help="PATH,speech,TYPE")
    add("--utterances", type=int, default=20)
    add("--inference_config", type=Path, default=None, help="as of asr_inference")
    add("--threads", type=int, default=1)
    add("--warm_up", type=int, default=2)
    add("--output", type=Path, default=None, help="a JSON file")
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print a table; write what it is made of."""
    args = get_parser().parse_args(cmd)
    torch.set_num_threads(args.threads)
    with named_errors("measure"):
        results = run(args)
    print(markdown(cost_section(results)))
    if args.output is not None:
        with whole_file(args.output) as file:
            json.dump(results, file, indent=1)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every model."""
    search = search_options(args.inference_config)
    with ExitStack() as stack:
        models = [Measured(exp, args, search, stack) for exp in args.exp]
        timings = _in_turns(models, args.warm_up)
        found = {
            model.exp: model.sizes | {name: vars(t) for name, t in times.items()}
            for model, times in zip(models, timings, strict=True)
        }
    setting = {
        "threads": args.threads,
        "warm_up": args.warm_up,
        "utterances": len(models[0].speech),
        "seconds": round(sum(models[0].seconds), 2),
        "search": search,
        "versions": versions(),
        "peak_memory": peak_memory(),
    }
    return {"setting": setting, "models": found}


class Measured:
    """One model, ready to be timed.

    Args:
        exp: Its experiment directory, packed zip or tag.
        args: See ``get_parser``.
        search: Options of ESPnet's recogniser.
        stack: Holds what has to be cleaned up.
    """

    def __init__(
        self, exp: str, args: argparse.Namespace, search: dict[str, Any], stack: ExitStack
    ) -> None:
        self.exp = exp
        task, random = task_class("asr"), args.random == "true"
        file = "none" if random else args.file
        experiment = stack.enter_context(open_experiment(exp, file))
        settings, weights = experiment.settings, experiment.files.weights
        if random:
            torch.manual_seed(0)
            weights = Path(stack.enter_context(TemporaryDirectory())) / "random.pth"
            torch.save(build_model(task, settings).state_dict(), weights)
        self.search = open_recogniser(settings, weights, search, "cpu")
        self.model = self.search.asr_model
        rate = FEATURE_RATE if settings.get("input_size") else _sample_rate(settings)
        data = args.data_path_and_name_and_type
        self.speech = first_speech(task, settings, data, args.utterances)
        self.seconds = [speech.shape[1] / rate for speech in self.speech]
        self.sizes = self._sizes(weights)

    def encode(self, index: int) -> object:
        """The encoder's pass over one utterance."""
        speech = self.speech[index]
        return self.model.encode(speech.clone(), torch.tensor([speech.shape[1]]))

    def hear(self, index: int) -> object:
        """The whole way to words."""
        return self.search(self.speech[index][0])

    def _sizes(self, weights: Path) -> dict[str, Any]:
        parts = parameters_by_part(self.model)
        longest = max(range(len(self.seconds)), key=self.seconds.__getitem__)
        macs = count_macs(lambda: self.encode(longest)) / self.seconds[longest]
        return {
            "parameters": sum(parts.values()),
            "parts": parts,
            "bytes": weights.stat().st_size,
            "macs_a_second": round(macs),
        }


def _in_turns(models: list[Measured], warm_up: int) -> list[dict[str, Timing]]:
    """Time utterance by utterance, all models on one before the next."""
    found: list[dict[str, list[float]]] = [{"encoder": [], "search": []} for _ in models]
    for index in range(len(models[0].speech)):
        options = {"warm_up": 0 if index else warm_up}
        for model, times in zip(models, found, strict=True):
            times["encoder"].append(time_call(partial(model.encode, index), **options))
            times["search"].append(time_call(partial(model.hear, index), **options))
    return [
        {name: Timing.of(seconds, model.seconds) for name, seconds in times.items()}
        for model, times in zip(models, found, strict=True)
    ]


def _sample_rate(settings: dict[str, Any]) -> float:
    rate = (settings.get("frontend_conf") or {}).get("fs", SAMPLE_RATE)
    text = str(rate)
    return float(text[:-1]) * 1000 if text.endswith("k") else float(text)


if __name__ == "__main__":
    main()
