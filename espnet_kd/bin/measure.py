"""Measure what a model costs: size, multiply-accumulates, real-time factor, memory.

The encoder and the whole search are timed on the same utterances, one after the other,
after a warm-up. --exp may be given several times: the models then take turns with each
other, so that whatever slows the machine slows them alike, and ratios to the first are
told. --random true needs no checkpoint: cost does not depend on what a model knows (the
length of its hypotheses does: CTC's search is fair then, an attention decoder's is not).
"""

import argparse
import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from espnet_kd.bin.command import (
    YES_OR_NO,
    add_data,
    add_file,
    add_inference_config,
    add_task,
    add_threads,
    add_utterances,
    command_parser,
    run_command,
)
from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.building import Room, building
from espnet_kd.host.compat import build_model, task_class, versions
from espnet_kd.host.data import first_speech
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.files import whole_file
from espnet_kd.host.front_end import input_rate
from espnet_kd.pseudo_labels.decoding import open_recogniser, search_options
from espnet_kd.report.cost import cost_section
from espnet_kd.report.measure import parameters_by_part
from espnet_kd.report.section import markdown
from espnet_kd.report.speed import Timing, count_macs, peak_memory, time_call

EXAMPLE = """
python -m espnet_kd.bin.measure --exp exp/asr_teacher --exp exp/asr_student \\
    --data_path_and_name_and_type dump/test/wav.scp,speech,sound \\
    --inference_config conf/decode.yaml --output exp/asr_student/cost.json
"""


def get_parser() -> argparse.ArgumentParser:
    """Give the command's parser."""
    parser = command_parser("measure", __doc__, EXAMPLE)
    add = parser.add_argument
    text = (
        "Experiment directory, packed zip or model tag of a model; may be given several "
        "times, the teacher first."
    )
    add("--exp", action="append", required=True, help=text)
    add_file(parser)
    add_task(parser, "models")
    text = "Whether random weights take the place of a checkpoint."
    add("--random", default="false", choices=YES_OR_NO, help=text)
    add_data(parser, "on which all models are timed")
    add_utterances(parser)
    add_inference_config(parser)
    add_threads(parser)
    text = "Number of calls before the first one that is timed."
    add("--warm_up", type=int, default=2, help=text)
    text = "JSON file to write, which espnet_kd.bin.report takes as --cost."
    add("--output", type=Path, default=None, help=text)
    return parser


def main(cmd: list[str] | None = None) -> None:
    """Print a table of the models' costs; write the numbers behind it."""
    run_command(get_parser(), run, cmd)


def run(args: argparse.Namespace) -> str:
    """Measure every model, write the numbers if asked, and give the table."""
    torch.set_num_threads(args.threads)
    results = measure(args)
    if args.output is not None:
        with whole_file(args.output) as file:
            json.dump(results, file, indent=1)
    return markdown(cost_section(results))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every model.

    Args:
        args: The command's.

    Returns:
        ``setting``, under what conditions; ``models``, by ``--exp`` the sizes, and of
        ``encoder`` and ``search`` what a ``Timing`` holds.
    """
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
        exp: The model's experiment directory, packed zip or tag.
        args: The command's.
        search: Options of ESPnet's recogniser.
        stack: Closes what the model needs while it is measured.
    """

    def __init__(
        self, exp: str, args: argparse.Namespace, search: dict[str, Any], stack: ExitStack
    ) -> None:
        self.exp = exp
        task, random = task_class(args.task), args.random == "true"
        file = "none" if random else args.file
        experiment = stack.enter_context(open_experiment(exp, file))
        settings, weights = experiment.settings, experiment.files.weights
        if random:
            torch.manual_seed(0)
            weights = Path(stack.enter_context(TemporaryDirectory())) / "random.pth"
            head = f"{exp} describes no model that ESPnet can build"
            with building(head, Room.of_machine()):
                torch.save(build_model(task, settings).state_dict(), weights)
        self.search = open_recogniser(settings, weights, search, "cpu", task=args.task)
        self.model: Any = self.search.asr_model
        rate = input_rate(settings)
        data = args.data_path_and_name_and_type
        self.speech = first_speech(task, settings, data, args.utterances)
        self.seconds = [speech.shape[1] / rate for speech in self.speech]
        self.sizes = self._sizes(weights)

    def encode(self, index: int) -> object:
        """Run the encoder over one utterance."""
        speech = self.speech[index]
        return self.model.encode(speech.clone(), torch.tensor([speech.shape[1]]))

    def decode(self, index: int) -> object:
        """Decode one utterance, from its audio or features to its words."""
        try:
            return self.search(self.speech[index][0])
        except Exception as error:  # of whatever a search does with its options
            raise KDError(
                f"{self.exp} cannot decode ({reason_of(error)}); check the options of "
                "--inference_config, and the model's config.yaml and what it names"
            ) from error

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
        untimed = 0 if index else warm_up
        for model, times in zip(models, found, strict=True):
            calls = {"encoder": model.encode, "search": model.decode}
            for name, call in calls.items():
                times[name].append(time_call(partial(call, index), warm_up=untimed))
    return [
        {name: Timing.of(seconds, model.seconds) for name, seconds in times.items()}
        for model, times in zip(models, found, strict=True)
    ]


if __name__ == "__main__":
    main()
