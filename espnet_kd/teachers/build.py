"""Build the teachers that a configuration names: live, cached, several as one."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Any

import torch
from torch import nn

from espnet_kd.cache.reader import open_caches
from espnet_kd.config.schema import KDConfig, ScheduleConfig, TeacherConfig
from espnet_kd.documents import read_json
from espnet_kd.errors import ExperimentError, KDError, TeacherError, reason_of
from espnet_kd.host.compat import language_model_task, task_class
from espnet_kd.host.experiment import open_experiment
from espnet_kd.model.forward import fork_rng
from espnet_kd.teachers.base import Teacher
from espnet_kd.teachers.cached import CachedTeacher
from espnet_kd.teachers.codebooks import read_codebooks
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.ensemble import Ensemble
from espnet_kd.teachers.language_model import LanguageModelTeacher
from espnet_kd.teachers.live import LiveTeacher
from espnet_kd.teachers.token_map import read_token_map

GATE = "gate.json"
# A perfect teacher on a small set counts as one with this error rate, in percent.
LEAST_WER = 0.1


def build_teacher(
    config: KDConfig, student: nn.Module, task: type | None = None
) -> Teacher:
    """The teachers of a configuration as one.

    Language models come last of several: what only one teacher can say, an acoustic one
    says. Without ``teachers``, the writers of the cached ``targets`` count alike.

    Args:
        config: What is wanted; ``targets`` stand for the teachers that wrote them.
        student: For the average of itself.
        task: ESPnet task class that can build the teachers; the ASR task by default.

    Raises:
        TeacherError: If one cannot be had, or a cache is of none that is named.
        KDError: If a cache is damaged.
    """
    task = task or task_class("asr")
    directories = [Path(directory) for directory in config.targets]
    cached = [CachedTeacher(c, i) for i, c in enumerate(open_caches(directories))]
    named = [teacher for teacher in config.teachers if teacher.exp]
    read = _in_order(cached, named) if cached else []
    configs = sorted(config.teachers, key=lambda teacher: bool(teacher.lm))
    if read and not named:
        configs = [TeacherConfig()] * len(read) + configs
    written = iter(read)
    teachers: list[Teacher] = []
    for one in configs:
        if one.ema is not None:
            teachers.append(EMATeacher(student, one.ema, **one.manner))
        elif one.lm or not read:
            teachers.append(load_teacher(one, task))
        else:
            teachers.append(next(written))
    if len(teachers) == 1:
        if config.combine != KDConfig.combine:
            raise TeacherError(
                f"'combine: {config.combine}' is of several teachers, and the cached "
                "targets are of one; remove it"
            )
        return teachers[0]
    return Ensemble(
        teachers,
        [_weight(one) for one in configs],
        config.combine,
        names=[one.name for one in configs],
        schedules=[one.schedule or ScheduleConfig() for one in configs],
    )


def load_teacher(config: TeacherConfig, task: type) -> LiveTeacher:
    """Load a teacher and make it a guest.

    The student's random numbers are left where they were.

    Args:
        config: Where it is.
        task: ESPnet task class that can build it.

    Raises:
        TeacherError: If it is missing, unreadable, unsafe, or not the model that its
            config describes.
    """
    with _as_teacher(), fork_rng(torch.device("cpu")):
        where = (config.place, config.file)
        with open_experiment(*where, is_lm=bool(config.lm)) as experiment:
            file = experiment.files.weights.name
            origin = file if config.file else f"{file}, which its training selected"
            named: dict[str, Any] = {"name": config.place, "origin": origin}
            settings = experiment.settings
            if config.lm:
                model = experiment.model(language_model_task())
                return LanguageModelTeacher(model, settings["token_list"], **named)
            owner = (config.place, experiment.digest) if config.codebooks else ()
            codebooks = [read_codebooks(path, *owner) for path in config.codebooks]
            return LiveTeacher(
                experiment.model(task),
                codebooks=codebooks,
                token_map=read_token_map(config.token_map) if config.token_map else None,
                settings=settings,
                **config.manner,
                **named,
            )


def single_teachers(teacher: Teacher) -> tuple[Teacher, ...]:
    """Each teacher, of one or of several as one."""
    return teacher.teachers if isinstance(teacher, Ensemble) else (teacher,)


def acoustic_teachers(teacher: Teacher) -> list[Teacher]:
    """The teachers that hear something, of one or of several as one."""
    several = single_teachers(teacher)
    return [one for one in several if not isinstance(one, LanguageModelTeacher)]


def live_teacher(teacher: Teacher | None) -> LiveTeacher | None:
    """The teacher whose frames are made here; None where they are read from a cache."""
    heard = acoustic_teachers(teacher) if teacher is not None else []
    first = next(iter(heard), None)
    return first if isinstance(first, LiveTeacher) else None


def check_teachers(config: KDConfig) -> None:
    """Require the files of every teacher that is named, before a training begins.

    Raises:
        TeacherError: If one cannot be had. It has the word error in it, which asr.sh
            looks for in the logs that it shows.
    """
    for teacher in config.teachers:
        if teacher.ema is None:
            where = (teacher.place, teacher.file)
            try:
                with open_experiment(*where, is_lm=bool(teacher.lm)) as experiment:
                    experiment.check()
            except ExperimentError as error:
                text = f"error of the training to come: teacher {error}"
                raise TeacherError(text) from None


def hash_teacher(config: TeacherConfig) -> str:
    """Digest of a teacher's configuration and weights, by which a cache knows it.

    Raises:
        TeacherError: If it is missing or unsafe.
    """
    with _as_teacher(), open_experiment(config.place, config.file) as experiment:
        return experiment.digest


@contextmanager
def _as_teacher() -> Iterator[None]:
    """Say of what cannot be opened that it was to be the teacher."""
    try:
        yield
    except ExperimentError as error:
        raise TeacherError(f"teacher {error}") from None


def _in_order(
    cached: list[CachedTeacher], named: list[TeacherConfig]
) -> list[CachedTeacher]:
    """The cached teachers in the order in which they are named, if they are."""
    if not named:
        return cached
    by_hash = {teacher.header.teacher_hash: teacher for teacher in cached}
    writers = ", ".join(teacher.header.teacher for teacher in cached)
    found = []
    for config in named:
        digest = hash_teacher(config)
        if digest not in by_hash:
            raise TeacherError(
                f"the cached targets were written by {writers}, and {config.exp} has "
                "other weights or another config; write the cache again, or name the "
                "right one"
            )
        teacher = by_hash.pop(digest)
        _check_heard(teacher, config)
        if config.token_map:
            teacher.token_map = read_token_map(config.token_map)
        found.append(teacher)
    if by_hash:
        left = next(iter(by_hash.values())).header.teacher
        raise TeacherError(
            f"there are cached targets of {left}, which is not among the teachers; name "
            "it there, or take its directory out of 'targets'"
        )
    return found


def _check_heard(teacher: CachedTeacher, config: TeacherConfig) -> None:
    """Require a cache to be of the stream that its teacher is said to hear."""
    heard = teacher.header.hears
    if config.hears and config.hears != heard:
        raise TeacherError(
            f"{config.exp} is to hear '{config.hears}', and its cached targets are of "
            f"'{heard or 'speech'}'; write the cache again with --hears {config.hears}, or "
            "remove 'hears'"
        )


def _weight(teacher: TeacherConfig) -> float:
    if not isinstance(teacher.weight, str):
        return teacher.weight
    path = Path(teacher.exp) / GATE
    try:
        wer = float(read_json(path, str(path))["wer"])
        if not 0 <= wer < inf:
            raise ValueError(f"an error rate of {wer}")
    except (KDError, ValueError, LookupError, TypeError) as error:
        raise TeacherError(
            f"'weight: wer' of {teacher.exp} needs {path}, which cannot be read "
            f"({reason_of(error)}). Write it by espnet_kd.bin.check_teacher --exp "
            f"{teacher.exp} --output {path}, or give a number"
        ) from None
    return 1.0 / max(wer, LEAST_WER)
