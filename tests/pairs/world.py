"""What tiny trainings read: data, teachers and their cached targets, each made once."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np
import soundfile
import torch
from conftest import INPUT_SIZE, LETTERS, TOKENS, asr_options, write_exp
from pairs.kinds import Conf, encoder

from espnet_kd.bin import cache_teacher, merge_cache
from espnet_kd.host.compat import build_model, language_model_task

COUNTS = {"train": 27, "dev": 4}
TEACHER = encoder("transformer", output_size=12, num_blocks=3)
# Changes of a config that are put beside what is there; others take its place.
MERGED = ("model_conf", "gradients")
LM = {"embed_unit": 8, "att_unit": 8, "head": 2, "unit": 8, "layer": 1}


def changed(conf: Conf, *changes: Conf) -> Conf:
    """A config with changes, in their order."""
    conf = dict(conf)
    for change in changes:
        for key, value in change.items():
            conf[key] = {**conf.get(key, {}), **value} if key in MERGED else value
    return conf


class World:
    """A folder with two corpora of noise, as features and as audio, and who teaches.

    Args:
        root: An empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: dict[str, Path] = {}
        random = np.random.default_rng(0)
        for split, count in COUNTS.items():
            _write(root / split, [f"{split}-{i:02d}" for i in range(count)], random)

    def data(self, split: str, kind: str) -> list[list[str]]:
        """ESPnet's triples of path, name and type of a corpus."""
        folder = self.root / split
        heard = [f"{folder}/wav.scp", "speech", "sound"]
        if kind == "features":
            heard = [f"{folder}/feats.scp", "speech", "kaldi_ark"]
        return [heard, [f"{folder}/text", "text", "text"]]

    def shapes(self, split: str, kind: str) -> str:
        """ESPnet's list of the utterances of a corpus, with their lengths."""
        return f"{self.root}/{split}/{kind}_shape"

    def teacher(self, model: Conf, seed: int) -> Path:
        """An experiment of an untrained model."""
        return self._once("teacher", [model, seed], lambda to: self._teach(to, model, seed))

    def language_model(self, tokens: Sequence[str]) -> Path:
        """An experiment of an untrained language model."""
        return self._once("lm", list(tokens), lambda to: write_lm(to, tokens))

    def caches(self, exp: Path, parts: Iterable[str], taps: Iterable[str]) -> list[str]:
        """The targets of both corpora, written by the command.

        Raises:
            KDError: If the teacher cannot give them.
        """
        wanted = [exp.name, *sorted(parts), *sorted(taps)]
        folder = self._once(
            "cache", wanted, lambda to: self._cache(to, exp, set(parts), set(taps))
        )
        return [str(folder / split) for split in COUNTS]

    def _once(self, kind: str, key: Any, make: Any) -> Path:
        name = f"{kind} {json.dumps(key, sort_keys=True)}"
        if name not in self._made:
            folder = self.root / f"{kind}{len(self._made)}"
            make(folder)
            self._made[name] = folder
        return self._made[name]

    def _teach(self, folder: Path, model: Conf, seed: int) -> None:
        from espnet2.tasks.asr import ASRTask

        conf = changed(asr_options(), TEACHER, model)
        torch.manual_seed(seed)
        write_exp(folder, build_model(ASRTask, conf), conf)

    def _cache(self, folder: Path, exp: Path, parts: set[str], taps: set[str]) -> None:
        kind = "audio" if "data: audio" in (exp / "config.yaml").read_text() else "features"
        for split in COUNTS:
            command = ["--exp", str(exp), "--key_file", f"{self.root}/{split}/text"]
            for triple in self.data(split, kind):
                command += ["--data_path_and_name_and_type", ",".join(triple)]
            command += ["--output_dir", str(folder / split), "--nbest", "2"]
            command += ["--parts", ",".join(sorted(parts))]
            for tap in sorted(taps):
                command += ["--tap", tap]
            cache_teacher.run(cache_teacher.get_parser().parse_args(command))
            named = ["--cache", str(folder / split), "--key_file", *command[3:4]]
            merge_cache.run(merge_cache.get_parser().parse_args(named))


def _write(folder: Path, utts: list[str], random: np.random.Generator) -> None:
    folder.mkdir()
    lines: dict[str, list[str]] = {n: [] for n in ("text", "wav.scp")}
    lines |= {"features_shape": [], "audio_shape": []}
    with kaldiio.WriteHelper(f"ark,scp:{folder}/feats.ark,{folder}/feats.scp") as writer:
        for utt in utts:
            frames = int(random.integers(40, 70))
            features = random.standard_normal((frames, INPUT_SIZE))
            writer(utt, features.astype(np.float32))
            wave = 0.1 * random.standard_normal(frames * 64)
            soundfile.write(folder / f"{utt}.wav", wave, 8000)
            text = "".join(random.choice(LETTERS, int(random.integers(2, 6))))
            lines["text"].append(f"{utt} {text}\n")
            lines["wav.scp"].append(f"{utt} {folder}/{utt}.wav\n")
            lines["features_shape"].append(f"{utt} {frames},{INPUT_SIZE}\n")
            lines["audio_shape"].append(f"{utt} {frames * 64}\n")
    for name, rows in lines.items():
        (folder / name).write_text("".join(rows))


def write_lm(folder: Path, tokens: Sequence[str]) -> None:
    """An experiment of an untrained language model over these tokens."""
    task = language_model_task()
    args = task.get_parser().parse_args(["--output_dir", "unused"])
    conf = vars(args) | {"lm": "transformer", "lm_conf": LM, "token_list": list(tokens)}
    torch.manual_seed(7)
    write_exp(folder, build_model(task, conf), conf)


def tokens_of(conf: Conf) -> list[str]:
    """The tokens of a model's config."""
    return list(conf.get("token_list", TOKENS))
