"""Hear a data directory with a teacher's own beam search, in several processes."""

import argparse
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from math import exp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from espnet_kd.errors import KDError
from espnet_kd.host.checkpoint import read_weights
from espnet_kd.host.compat import recogniser, task_class
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.pseudo_labels.directory import audio_of
from espnet_kd.pseudo_labels.hypotheses import Heard, Hypothesis, HypothesisLog
from espnet_kd.student.compressed import is_compressed
from espnet_kd.student.forms import load_compressed

REPORT_SECONDS = 10
# Lines of a failed job's log that are shown.
TAIL = 5


class Job:
    """One process' share of the utterances: every ``nj``-th.

    Args:
        args: See ``espnet_kd.bin.pseudo_label``.
        number: From 1.
        settings: The teacher's.
        teacher_hash: By which it is known again.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        number: int,
        settings: dict[str, Any],
        teacher_hash: str,
    ) -> None:
        self.number = number
        self.teacher = (args.exp, args.file)
        self.teacher_hash = teacher_hash
        self.search = search_options(args.inference_config) | {"nbest": args.nbest}
        self.settings = settings
        takes_features = self.settings.get("input_size") is not None
        self.audio = audio_of(args.data_dir, takes_features)
        self.utts = list(read_table(self.audio[0]))[number - 1 :: args.nj]
        folder = args.output_dir / "logdir"
        self.path = folder / f"heard.{number}of{args.nj}.jsonl"
        self.message = folder / f"decode.{number}.log"

    def log(self) -> HypothesisLog:
        """What was heard so far."""
        utts = hashlib.sha256("\n".join(self.utts).encode()).hexdigest()
        made_from = {"teacher": self.teacher_hash, "search": self.search}
        return HypothesisLog(self.path, made_from | {"utterances": utts})

    @property
    def done(self) -> int:
        """How many utterances were heard, seen from outside."""
        if not self.path.exists():
            return 0
        return max(self.path.read_bytes().count(b"\n") - 1, 0)


def jobs_of(args: argparse.Namespace, numbers: Iterable[int]) -> list[Job]:
    """Some of the jobs, for which the teacher is opened once."""
    with open_experiment(args.exp, args.file) as teacher:
        shared = (teacher.settings, teacher.digest)
    return [Job(args, number, *shared) for number in numbers]


def hear(job: Job, ngpu: int) -> None:
    """Hear what is missing of one job, in this process.

    Raises:
        KDError: If utterances have no audio.
    """
    log = job.log()
    todo = [utt for utt in job.utts if utt not in log.found]
    if not todo:
        return
    with ExitStack() as stack, torch.no_grad():
        experiment = stack.enter_context(open_experiment(*job.teacher))
        weights = experiment.files.weights
        device = "cuda" if ngpu else "cpu"
        search = open_recogniser(job.settings, weights, job.search, device)
        keys = Path(stack.enter_context(TemporaryDirectory())) / "keys"
        keys.write_text("".join(f"{utt} x\n" for utt in todo), encoding="utf-8")
        data = [f"{job.audio[0]},speech,{job.audio[1]}"]
        options = {"batch_size": 1, "key_file": keys}
        for utts, batch in stream(task_class("asr"), job.settings, data, **options):
            log.add(_heard(search, utts[0], batch["speech"][0], job.search))
    if missing := set(job.utts) - log.found.keys():
        raise KDError(f"{len(missing)} utterances have no audio, first '{min(missing)}'")


def hear_all(jobs: list[Job], arguments: list[str]) -> None:
    """Hear everything, a process a job, and tell how far they are.

    Args:
        jobs: All of them.
        arguments: Of this program, to which a process' number is added.

    Raises:
        KDError: If a process failed, with the end of its log.
    """
    command = [sys.executable, "-m", "espnet_kd.bin.pseudo_label", *arguments]
    unfinished = [job for job in jobs if len(job.log().found) < len(job.utts)]
    total, start = sum(len(job.utts) for job in jobs), time.monotonic()
    first = sum(job.done for job in jobs)
    print(f"{first} of {total} are there; logs: {jobs[0].message.parent}", file=sys.stderr)
    with ExitStack() as stack:
        running = {}
        for job in unfinished:
            out = stack.enter_context(open(job.message, "w", encoding="utf-8"))
            options = {"stdout": out, "stderr": subprocess.STDOUT}
            running[job] = subprocess.Popen([*command, str(job.number)], **options)
        stack.callback(_end, list(running.values()))
        while any(process.poll() is None for process in running.values()):
            _wait(list(running.values()))
            done = sum(job.done for job in jobs)
            if done > first:  # before, the models are being loaded
                rate = (done - first) / (time.monotonic() - start)
                left = f"{rate:.1f} a second, {(total - done) / rate:.0f} s left"
                print(f"{done}/{total}, {left}", file=sys.stderr)
            _refuse_failed(running)
        _refuse_failed(running)


def search_options(config: Path | None) -> dict[str, Any]:
    """Options of ESPnet's recogniser from a decoding configuration."""
    if config is None:
        return {}
    try:
        options = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise KDError(f"--inference_config {config}: {error}") from None
    if not isinstance(options, dict):
        raise KDError(f"--inference_config {config} holds no 'option: value' lines")
    return options


def open_recogniser(
    settings: dict[str, Any], weights: Path, search: dict[str, Any], device: str
) -> Callable[..., list[tuple]]:
    """ESPnet's recogniser of a model, from files that hold weights and no code.

    Args:
        settings: The model's, its paths resolved.
        weights: Its checkpoint, or a compressed model.
        search: Options of ``asr_inference``.
        device: Where it runs.
    """
    options = {key: value for key, value in search.items() if key != "batch_size"}
    for path in filter(None, (weights, options.get("lm_file"))):
        read_weights(Path(path))
    with TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        if not is_compressed(weights):
            return recogniser(str(config), str(weights), device, options)
        found = recogniser(str(config), None, device, options)
    load_compressed(found.asr_model, weights)
    return found


def _heard(search, utt: str, speech: torch.Tensor, options: dict[str, Any]) -> Heard:
    try:
        answers = search(speech=speech)
    except Exception as error:
        # By name: where the class lives differs between releases.
        if type(error).__name__ != "TooShortUttError":
            raise
        return Heard(utt, len(speech), ())
    penalty = float(options.get("penalty", 0.0))
    nbest = [Hypothesis(a[0], _confidence(a[2], a[3], penalty)) for a in answers]
    return Heard(utt, len(speech), tuple(nbest))


def _confidence(labels: list[int], hypothesis: Any, penalty: float) -> float:
    """Probability of a token by the search's score, without its reward for length."""
    score = float(hypothesis.score)
    if penalty:
        reward = (getattr(hypothesis, "scores", None) or {}).get("length_bonus", 0.0)
        score -= penalty * float(reward)
    return round(min(exp(score / (len(labels) + 1)), 1.0), 6)


def _wait(processes: list[subprocess.Popen]) -> None:
    """Until the next report is due, or all have ended."""
    due = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < due and any(p.poll() is None for p in processes):
        time.sleep(0.2)


def _refuse_failed(running: dict[Job, subprocess.Popen]) -> None:
    for job, process in running.items():
        if process.poll():
            lines = job.message.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(lines[-TAIL:])
            raise KDError(
                f"job {job.number} failed; the others' work is kept, so run the same "
                f"again when this is mended ({job.message}):\n{end}"
            )


def _end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
