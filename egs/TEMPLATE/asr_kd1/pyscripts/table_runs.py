"""The trainings behind a table of losses: started, taken up again, read.

A training is a call of the recipe's own ``run.sh`` with a tag, which skips what is there
and goes on with what was interrupted; so a table that was killed is started again.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import yaml
from table_rows import Row

from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.report.curves import read_curves
from espnet_kd.report.results import counts_of, read_results


@dataclass(frozen=True)
class Place:
    """Where trainings are, and how they are called.

    Attributes:
        run: The recipe's command, with its experiment and its data.
        expdir: Its models.
        tag: What the names of all students of the table begin with.
        control_tag: The students alone.
        sets: Development set and test set.
        decodings: Names of the searches that are scored.
    """

    run: str
    expdir: Path
    tag: str
    control_tag: str
    sets: tuple[str, str]
    decodings: tuple[str, ...]

    def control(self, seed: int) -> Path:
        """A student alone."""
        suffix = "" if self.control_tag == "untagged" else f"_{self.control_tag}"
        return self.expdir / f"asr_control{suffix}_s{seed}"


@dataclass(frozen=True)
class Training:
    """One student of the table.

    Attributes:
        row: What it learns from.
        weight: Of each of its terms.
        seed: Of the student.
        place: Where it is.
    """

    row: Row
    weight: float
    seed: int
    place: Place

    @property
    def tag(self) -> str:
        """What tells it from others."""
        weight = f"_{self.weight:g}" if self.row.losses else ""
        return f"{self.place.tag}_{self.row.name}{weight}"

    @property
    def directory(self) -> Path:
        """Its model."""
        return self.place.expdir / f"asr_distilled_{self.tag}_s{self.seed}"

    def command(self) -> list[str]:
        """What trains, decodes and scores it; its kd_conf is written first."""
        words = stages(self.place, 9, 13)
        words += ["--seeds", str(self.seed), "--tag", self.tag]
        words += ["--control_tag", self.place.control_tag]
        words += ["--test_sets", " ".join(dict.fromkeys(self.place.sets))]
        conf = self.row.kd_conf(self.weight)
        if conf is not None:
            path = self.place.expdir / "table" / f"{self.tag}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(path) as file:
                yaml.safe_dump(conf, file, sort_keys=False)
            words += ["--kd_config", str(path)]
        return [*words, *self.row.options]

    def is_scored(self) -> bool:
        """Whether all its word error rates are there."""
        return all(path.is_file() for path in score_files(self.directory, self.place))

    def log(self) -> Path:
        """What the recipe said of it."""
        return self.place.expdir / "table" / f"{self.tag}_s{self.seed}.log"


def stages(place: Place, first: int, last: int) -> list[str]:
    """The recipe's command for some of its stages."""
    return [*shlex.split(place.run), "--stage", str(first), "--stop_stage", str(last)]


def write_caches(wanted: Sequence[Row], place: Place) -> None:
    """Let stage 8 write what rows read from disk, once for all of them.

    Raises:
        KDError: If it fails.
    """
    for options in dict.fromkeys(row.options for row in wanted if row.is_cached):
        log = place.expdir / "table" / "targets.log"
        tell(f"the teacher's targets on disk; log: {log}")
        if not _ends_well([*stages(place, 8, 8), *options], log):
            raise KDError(f"the teacher's targets could not be written, see {log}")


def score_files(directory: Path, place: Place) -> list[Path]:
    """Every score of a model, development set first, in the order of the searches."""
    return [
        directory / decoding / name / "score.json"
        for name in place.sets
        for decoding in place.decodings
    ]


def rates(directory: Path, place: Place, test_set: str) -> dict[str, Mapping[str, float]]:
    """A model's sclite counts of words by search, of one set.

    Raises:
        KDError: If it has not been scored.
    """
    found = {}
    for decoding in place.decodings:
        path = directory / decoding / test_set / "score.json"
        if not path.is_file():
            raise KDError(f"there is no {path}; train, decode and score that model first")
        found[decoding] = counts_of(read_results(path, "scoring"), "wer", path.parent)
    return found


def word_error_rate(directory: Path, place: Place, test_set: str) -> float:
    """The mean of a model's word error rates over the searches, in percent."""
    found = rates(directory, place, test_set)
    return mean(counts["error_rate"] for counts in found.values())


def seconds_a_step(directory: Path) -> float:
    """Mean time of an update in a model's training, in seconds, of its last epochs.

    Raises:
        KDError: If its log has none.
    """
    times = read_curves(directory / "train.log")["train"].get("train_time", ())
    values = [value for value in times if value is not None]
    if not values:
        raise KDError(f"{directory}/train.log names no train_time; train that model again")
    return mean(values[-5:])


def train(
    trainings: Sequence[Training], jobs: int, say: Callable[[str], None]
) -> list[Training]:
    """Run what is not scored yet, some at once, with progress and the time left.

    Args:
        trainings: All that are wanted.
        jobs: How many run at once.
        say: Takes each line of progress.

    Returns:
        Those that failed; what they said is in their logs.
    """
    todo = [training for training in trainings if not training.is_scored()]
    say(f"{len(trainings)} trainings, {len(trainings) - len(todo)} of them are there")
    begun, failed = time.monotonic(), []
    with ThreadPoolExecutor(jobs) as pool:
        running = {pool.submit(_run, training): training for training in todo}
        for count, future in enumerate(as_completed(running), 1):
            training = running[future]
            if not future.result():
                failed.append(training)
            left = (time.monotonic() - begun) / count * (len(todo) - count) / 60
            how = "failed, see " + str(training.log()) if training in failed else "done"
            say(
                f"{count}/{len(todo)} {training.tag}, seed {training.seed}: {how}; about "
                f"{left:.0f} minutes left"
            )
    return failed


def _run(training: Training) -> bool:
    return _ends_well(training.command(), training.log()) and training.is_scored()


def _ends_well(command: Sequence[str], log: Path) -> bool:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def tell(line: str) -> None:
    """Write a line of progress."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)
