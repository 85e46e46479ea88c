"""Trainings of ESPnet's tasks beside recognition, on generated data, in this process."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from conftest import LETTERS, TOKENS, write_exp
from kinds import RATE, SETTINGS, SPEAKERS, settings

from espnet_kd.host.compat import build_model, task_class
from espnet_kd.host.known_tasks import TASKS
from espnet_kd.tasks import variants

COUNTS = {"train": 6, "dev": 4}
HOP = 80
# What each task reads: (file of the corpus, name in the batch, type).
DATA = {
    "lm": [("text", "text", "text")],
    "mt": [("text", "text", "text"), ("text", "src_text", "text")],
    "tts": [
        ("text", "text", "text"),
        ("durations", "durations", "text_int"),
        ("wav.scp", "speech", "npy"),
    ],
    "svs": [
        ("text", "text", "text"),
        ("wav.scp", "singing", "npy"),
        ("score.scp", "score", "score"),
        ("label", "label", "duration"),
    ],
    "enh": [
        ("wav.scp", "speech_mix", "npy"),
        ("one.scp", "speech_ref1", "npy"),
        ("two.scp", "speech_ref2", "npy"),
    ],
    "spk": [("wav.scp", "speech", "npy"), ("utt2spk", "spk_labels", "text_int")],
    "slu": [("wav.scp", "speech", "npy"), ("text", "text", "text")],
    "s2t": [
        ("wav.scp", "speech", "npy"),
        ("owsm", "text", "text"),
        ("prev", "text_prev", "text"),
        ("text", "text_ctc", "text"),
    ],
}
TEXTS = {"lm", "mt", "tts", "svs", "slu", "s2t"}


def write_corpus(root: Path) -> Path:
    """Files of random utterances that all of the tasks find what they read in."""
    rng = np.random.default_rng(0)
    root.mkdir(exist_ok=True)
    (root / "tokens.txt").write_text("\n".join(TOKENS) + "\n")
    for split, count in COUNTS.items():
        folder = root / split
        folder.mkdir(parents=True)
        rows = list(_rows(split, count, rng, folder))
        for name in rows[0]:
            (folder / name).write_text("".join(row[name] + "\n" for row in rows))
        _write_trials(folder, [row["wav.scp"].split() for row in rows])
    names = [f"s{speaker} x" for speaker in range(SPEAKERS)]
    (root / "spk2utt").write_text("\n".join(names) + "\n")
    return root


def _rows(
    split: str, count: int, rng: np.random.Generator, folder: Path
) -> Iterator[dict[str, str]]:
    for index in range(count):
        utt = f"{split}{index}"
        frames = int(rng.integers(20, 31))
        paths = {}
        for name, size in (("wav", 0.1), ("one", 0.05), ("two", 0.05)):
            path = folder / f"{utt}.{name}.npy"
            np.save(path, (size * rng.standard_normal(frames * HOP)).astype(np.float32))
            paths[f"{name}.scp"] = f"{utt} {path}"
        # Four labels and the end share all frames, one more than there are whole hops.
        cuts = sorted(rng.choice(np.arange(1, frames + 1), 4, replace=False))
        durations = np.diff([0, *cuts, frames + 1])
        letters = "".join(rng.choice(LETTERS, 4))
        paths |= _score(folder, utt, letters, [0, *cuts])
        yield paths | {
            "text": f"{utt} {letters}",
            "owsm": f"{utt} {letters}",
            "prev": f"{utt} {letters[:2] if index % 2 else '<na>'}",
            "durations": f"{utt} {' '.join(map(str, durations))}",
            "utt2spk": f"{utt} {index % SPEAKERS}",
            "speech_shape": f"{utt} {frames * HOP}",
            "text_shape": f"{utt} 4,{len(TOKENS)}",
        }


def _score(folder: Path, utt: str, letters: str, starts: list[int]) -> dict[str, str]:
    """A letter a note, as its label is sung: from each cut to the next, in seconds."""
    times = [float(start) * HOP / RATE for start in starts]
    spans = list(zip(letters, times[:-1], times[1:], strict=True))
    notes = [[st, et, letter, 60 + i, letter] for i, (letter, st, et) in enumerate(spans)]
    path = folder / f"{utt}.score.json"
    path.write_text(json.dumps({"tempo": 120, "item_list": [], "note": notes}))
    label = " ".join(f"{st} {et} {letter}" for letter, st, et in spans)
    return {"score.scp": f"{utt} {path}", "label": f"{utt} {label}"}


def _write_trials(folder: Path, pairs: list[list[str]]) -> None:
    """Pairs of utterances, as speaker models are validated by."""
    for utt, path in pairs:
        np.save(folder / f"{utt}.crops.npy", np.stack([np.load(path)[:800]] * 2))
    pairs = [[utt, f"{folder}/{utt}.crops.npy"] for utt, _ in pairs]
    trials = [(pairs[0], other) for other in pairs[1:]]
    keys = [f"{one[0]}*{other[0]}" for one, other in trials]
    sides = {"trial.scp": [one[1] for one, _ in trials]}
    sides |= {"trial2.scp": [other[1] for _, other in trials]}
    sides |= {"trial_label": [str(place % 2) for place in range(len(trials))]}
    sides |= {"trial_shape": ["2400"] * len(trials)}
    for name, values in sides.items():
        lines = [f"{key} {value}\n" for key, value in zip(keys, values, strict=True)]
        (folder / name).write_text("".join(lines))


def command(corpus: Path, task: str, out: Path, **more: Any) -> list[str]:
    """Command line of a tiny training of a student."""
    config = {
        "optim": "adam",
        "optim_conf": {"lr": 0.005},
        "batch_type": "sorted",
        "batch_size": 2,
        "max_epoch": 2,
        "keep_nbest_models": 1,
        "best_model_criterion": [["valid", "loss", "min"]],
        "use_tensorboard": False,
        "use_matplotlib": False,
        "num_workers": 0,
        "seed": 7,
    }
    own = SETTINGS[task](8)
    if task == "spk":
        own["spk2utt"] = f"{corpus}/spk2utt"
        # That of ESPnet 202511 does not cut with the newest numpy.
        own["use_preprocessor"] = False
        config["best_model_criterion"] = [["valid", "eer", "min"]]
    if task in TEXTS:
        own |= {"token_type": "char", "token_list": f"{corpus}/tokens.txt"}
    if task == "mt":
        own |= {"src_token_type": "char", "src_token_list": f"{corpus}/tokens.txt"}
    file = out.with_name(f"{out.name}.train.yaml")
    file.write_text(yaml.safe_dump(config | own | more))
    line = ["--config", str(file), "--output_dir", str(out)]
    for split, prefix in (("train", "train"), ("dev", "valid")):
        line += _data(corpus / split, task, prefix)
    return line


def _data(folder: Path, task: str, prefix: str) -> list[str]:
    data, shape = DATA[task], "speech_shape"
    if task in ("lm", "mt"):
        shape = "text_shape"
    if task == "spk" and prefix == "valid":
        shape = "trial_shape"
        data = [("trial.scp", "speech", "npy"), ("trial2.scp", "speech2", "npy")]
        data += [("trial_label", "spk_labels", "text_int")]
    line = [f"--{prefix}_shape_file", f"{folder}/{shape}"]
    for file, name, kind in data:
        option = f"--{prefix}_data_path_and_name_and_type"
        line += [option, f"{folder}/{file},{name},{kind}"]
    return line


def write_teacher(corpus: Path, task: str, out: Path) -> Path:
    """A random teacher, as its training would have left it."""
    own = SETTINGS[task](12)
    if task == "spk":
        own["spk2utt"] = f"{corpus}/spk2utt"
    whole = settings(task, own)
    torch.manual_seed(12)
    return write_exp(out, build_model(task_class(task), whole), whole)


def kd_conf(path: Path, teacher: Path, losses: list[dict], weight: float = 1.0) -> str:
    """A ``kd_conf`` file for a teacher, all of whose terms have one weight."""
    terms = [term | {"weight": weight} for term in losses]
    path.write_text(yaml.safe_dump({"teachers": [{"exp": str(teacher)}], "losses": terms}))
    return str(path)


def distil(task: str, line: list[str], conf: str) -> None:
    """Train with distillation."""
    variant: Any = getattr(variants, f"KD{TASKS[task][1]}")
    variant.main(cmd=[*line, "--kd_conf", conf])


def stats_of(out: Path, epoch: int = 2) -> dict[str, float]:
    """What the log of an epoch of training says."""
    state = torch.load(out / "checkpoint.pth", weights_only=False)
    found: dict[str, float] = state["reporter"]["stats"][epoch]["train"]
    return found
