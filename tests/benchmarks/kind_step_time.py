"""Step time of tasks whose teacher is asked by its own forward pass, against its parts.

    python tests/benchmarks/kind_step_time.py {enh,tts}

The models of the task's recipe and the configuration that is shipped for it, random
utterances as long as the recipe's; one process, the two interleaved, medians:

    distilled   one training step of the student with its teacher
    parts       one stock training step, and the teacher's forward pass under no_grad

The bar is a ratio of at most 1.05.
"""

import argparse
import copy
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import REPO
from kinds import settings
from measure import medians, seconds
from step_time import CLOCKS, Step, tell

import espnet_kd
from espnet_kd.config.read import read_kd_conf
from espnet_kd.host.compat import build_model, task_class, versions
from espnet_kd.teachers.live import LiveTeacher

RECIPES = {"enh": "an4/enh_kd1", "tts": "voice_de/tts_kd1"}
CONFIGS = {"enh": "enhancement", "tts": "synthesis"}
TOKENS = ["<blank>", "<unk>", *"abcdefghijklmnopqrstuvwxyz ", "<sos/eos>"]
HOP = 256


def model(task: str, role: str) -> torch.nn.Module:
    """A model of the recipe, untrained."""
    path = REPO / "egs" / RECIPES[task] / "conf" / f"{role}.yaml"
    own = yaml.safe_load(path.read_text())
    if task == "tts":
        own |= {"token_list": TOKENS, "normalize": None}
        own |= {"pitch_normalize": None, "energy_normalize": None}
    torch.manual_seed(len(role))
    return build_model(task_class(task), settings(task, own))


def enh_batch(count: int, gen: torch.Generator) -> dict[str, torch.Tensor]:
    """Utterances of 2.7 s, as AN4's are in the mean."""
    size = int(2.7 * 16000)
    lens = torch.full((count,), size)
    speech, noise = torch.randn(2, count, size, generator=gen)
    return {
        "speech_mix": speech + noise,
        "speech_mix_lengths": lens,
        "speech_ref1": speech,
        "speech_ref1_lengths": lens.clone(),
    }


def tts_batch(count: int, gen: torch.Generator) -> dict[str, torch.Tensor]:
    """Sentences of 75 characters in 4.5 s, as the voice's are in the mean."""
    labels, frames = 75, 281
    durations = torch.full((count, labels + 1), frames // (labels + 1))
    durations[:, 0] += frames - int(durations[0].sum())
    streams = {
        "text": torch.randint(2, len(TOKENS) - 1, (count, labels), generator=gen),
        "speech": torch.randn(count, (frames - 1) * HOP, generator=gen),
        "durations": durations,
        "pitch": torch.randn(count, labels + 1, 1, generator=gen),
        "energy": torch.randn(count, labels + 1, 1, generator=gen),
    }
    lens = {f"{k}_lengths": torch.full((count,), v.shape[1]) for k, v in streams.items()}
    return streams | lens


BATCHES = {"enh": enh_batch, "tts": tts_batch}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=tuple(RECIPES))
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{versions()}; {args.threads} thread(s), {args.task}, B={args.batch}")
    batch = BATCHES[args.task](args.batch, torch.Generator().manual_seed(0))
    student, teacher = model(args.task, "student"), model(args.task, "teacher").eval()
    stock = Step(copy.deepcopy(student))
    terms = {"losses": read_kd_conf(CONFIGS[args.task])["losses"]}
    espnet_kd.attach(student, terms, LiveTeacher(teacher), example=batch)
    distilled = Step(student)

    def parts() -> None:
        stock(batch)
        ask(teacher, batch)

    works: dict[str, Any] = {"distilled": lambda: distilled(batch), "parts": parts}
    took = seconds(works, args.repeats, clock=CLOCKS[args.clock])
    for name, value in medians(took).items():
        print(f"{name:10s} {value * 1e3:9.1f} ms")
    tell("ratio", [a / b for a, b in zip(*took.values(), strict=True)])


@torch.no_grad()
def ask(teacher: torch.nn.Module, batch: dict[str, torch.Tensor]) -> None:
    """The teacher's own forward pass."""
    teacher(**{key: value.clone() for key, value in batch.items()})


if __name__ == "__main__":
    main()
