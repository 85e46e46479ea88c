"""Decode a data directory with a teacher's own beam search, in several processes."""

import argparse
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from math import exp
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import yaml

from espnet_kd.documents import read_yaml
from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.building import Room, building
from espnet_kd.host.checkpoint import read_weights, require_checkpoint
from espnet_kd.host.compat import is_too_short, task_class
from espnet_kd.host.data import stream
from espnet_kd.host.experiment import open_experiment
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.host.recogniser import Recogniser, recogniser
from espnet_kd.pseudo_labels.directory import audio_of
from espnet_kd.pseudo_labels.hypotheses import Decoded, Hypothesis, HypothesisLog
from espnet_kd.student.compressed import is_compressed
from espnet_kd.student.forms import load_compressed

REPORT_SECONDS = 10
# Number of lines shown of a failed job's log.
TAIL = 5
Process = subprocess.Popen[bytes]


class Job:
    """One process' share of the utterances, which is every ``nj``-th.

    Args:
        args: The arguments of ``espnet_kd.bin.pseudo_label``.
        number: Number of the job, from 1.
        settings: The teacher's settings.
        teacher_hash: Digest by which the teacher is known again.
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
        self.task = args.task
        self.teacher_hash = teacher_hash
        self.search = search_options(args.inference_config) | {"nbest": args.nbest}
        self.settings = settings
        takes_features = self.settings.get("input_size") is not None
        self.audio = audio_of(args.data_dir, takes_features)
        self.utts = list(read_table(self.audio[0]))[number - 1 :: args.nj]
        folder = args.output_dir / "logdir"
        # The name that unfinished directories on disk already have.
        self.path = folder / f"heard.{number}of{args.nj}.jsonl"
        self.message = folder / f"decode.{number}.log"

    def log(self) -> HypothesisLog:
        """Open the log of what was decoded so far.

        Raises:
            KDError: If it was begun with another teacher, search or set of utterances.
        """
        utts = hashlib.sha256("\n".join(self.utts).encode()).hexdigest()
        made_from = {"teacher": self.teacher_hash, "search": self.search}
        return HypothesisLog(self.path, made_from | {"utterances": utts})

    @property
    def done(self) -> int:
        """The number of utterances decoded, as other processes see it."""
        if not self.path.exists():
            return 0
        lines: int = self.path.read_bytes().count(b"\n")
        return max(lines - 1, 0)


def jobs_of(args: argparse.Namespace, numbers: Iterable[int]) -> list[Job]:
    """Make some of the jobs, for which the teacher is opened once."""
    with open_experiment(args.exp, args.file) as teacher:
        shared = (teacher.settings, teacher.digest)
    return [Job(args, number, *shared) for number in numbers]


def decode_job(job: Job, ngpu: int) -> None:
    """Decode what is missing of one job, in this process.

    Args:
        job: The job.
        ngpu: 0 for the CPU.

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
        search = open_recogniser(job.settings, weights, job.search, device, task=job.task)
        data = [f"{job.audio[0]},speech,{job.audio[1]}"]
        task = task_class(job.task)
        batches = stream(task, job.settings, data, batch_size=1, keys=todo)
        for utts, batch in batches:
            log.add(_decoded(search, utts[0], batch["speech"][0], job.search))
    if missing := set(job.utts) - log.found.keys():
        raise KDError(f"{len(missing)} utterances have no audio, first '{min(missing)}'")


def decode_all(jobs: list[Job], arguments: list[str]) -> None:
    """Decode every job in a process of its own, and tell how far all of them are.

    Args:
        jobs: All jobs.
        arguments: Arguments of the command, to which a job's number is added.

    Raises:
        KDError: If a process failed, with the end of its log.
    """
    command = [sys.executable, "-m", "espnet_kd.bin.pseudo_label", *arguments]
    unfinished = [job for job in jobs if len(job.log().found) < len(job.utts)]
    total, start = sum(len(job.utts) for job in jobs), time.monotonic()
    first = sum(job.done for job in jobs)
    print(f"{first} of {total} are there; logs: {jobs[0].message.parent}", file=sys.stderr)
    with ExitStack() as stack:
        running: dict[Job, Process] = {}
        for job in unfinished:
            out = stack.enter_context(open(job.message, "w", encoding="utf-8"))
            running[job] = subprocess.Popen(
                [*command, str(job.number)], stdout=out, stderr=subprocess.STDOUT
            )
        stack.callback(_end, list(running.values()))
        while any(process.poll() is None for process in running.values()):
            _wait(list(running.values()))
            done = sum(job.done for job in jobs)
            if done > first:  # until then the models are being loaded
                rate = (done - first) / (time.monotonic() - start)
                left = f"{rate:.1f} a second, {(total - done) / rate:.0f} s left"
                print(f"{done}/{total}, {left}", file=sys.stderr)
            _refuse_failed(running)
        _refuse_failed(running)


def search_options(config: Path | None) -> dict[str, Any]:
    """Read options of ESPnet's recogniser from a decoding configuration.

    Raises:
        KDError: If the file cannot be read or holds no options.
    """
    if config is None:
        return {}
    options = read_yaml(config, f"--inference_config {config}") or {}
    if not isinstance(options, dict):
        raise KDError(f"--inference_config {config} holds no 'option: value' lines")
    return options


def open_recogniser(
    settings: dict[str, Any],
    weights: Path,
    search: dict[str, Any],
    device: str,
    *,
    task: str = "asr",
    is_streaming: bool = False,
) -> Recogniser:
    """Open ESPnet's recogniser of a model, from files that hold weights and no code.

    Args:
        settings: The model's settings, with resolved paths.
        weights: The model's checkpoint, or a compressed model.
        search: Options of ``asr_inference``, or of the inference of the task.
        device: Where the model runs.
        task: Name of the model's task.
        is_streaming: Whether it is ESPnet's recogniser of models that stream, with the
            options of its own inference.

    Raises:
        KDError: If the weights cannot be trusted, or an option is unknown.
    """
    options = {key: value for key, value in search.items() if key != "batch_size"}
    if language_model := options.get("lm_file"):
        read_weights(Path(str(language_model)))
    require_checkpoint(weights)
    small = is_compressed(weights)
    room = Room.of_machine() if small else Room.of(read_weights(weights))
    head = f"ESPnet cannot open {weights} with the options of --inference_config"
    with TemporaryDirectory() as folder, building(head, room):
        config = Path(folder) / "config.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        file = None if small else str(weights)
        given = (str(config), file, device, options)
        found = recogniser(*given, task=task, is_streaming=is_streaming)
    if small:
        load_compressed(found.asr_model, weights)
    return found


def _decoded(
    search: Recogniser, utt: str, speech: torch.Tensor, options: dict[str, Any]
) -> Decoded:
    try:
        answers = search(speech=speech)
    except Exception as error:
        if not is_too_short(error):
            raise KDError(
                f"'{utt}' cannot be decoded ({reason_of(error)}); check the options of "
                "--inference_config, and the model's config.yaml and what it names"
            ) from error
        return Decoded(utt, len(speech), ())
    penalty = float(options.get("penalty", 0.0))
    nbest = [Hypothesis(a[0], _confidence(a[2], a[3], penalty)) for a in answers]
    return Decoded(utt, len(speech), tuple(nbest))


def _confidence(labels: list[int], hypothesis: Any, penalty: float) -> float:
    """The mean probability of a token, without the search's reward for length."""
    score = float(hypothesis.score)
    if penalty:
        reward = (getattr(hypothesis, "scores", None) or {}).get("length_bonus", 0.0)
        score -= penalty * float(reward)
    return round(min(exp(score / (len(labels) + 1)), 1.0), 6)


def _wait(processes: list[Process]) -> None:
    """Wait until the next report is due, or all processes have ended."""
    due = time.monotonic() + REPORT_SECONDS
    while time.monotonic() < due and any(p.poll() is None for p in processes):
        time.sleep(0.2)


def _refuse_failed(running: dict[Job, Process]) -> None:
    for job, process in running.items():
        if process.poll():
            lines = job.message.read_text(encoding="utf-8", errors="replace").splitlines()
            end = "\n".join(lines[-TAIL:])
            raise KDError(
                f"job {job.number} failed; the others' work is kept, so run the same "
                f"again when this is mended ({job.message}):\n{end}"
            )


def _end(processes: list[Process]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait()
