"""Whether a student may learn from its teachers at all, before a batch is seen."""

from collections.abc import Iterator

from torch import nn

from espnet_kd.errors import KDError
from espnet_kd.hook.time_warp import time_warp_of
from espnet_kd.model.domains import check_comparable
from espnet_kd.model.families import Family, family_of
from espnet_kd.model.request import Request
from espnet_kd.model.taps import parse_tap
from espnet_kd.teachers.base import Teacher
from espnet_kd.teachers.build import single_teachers
from espnet_kd.teachers.language_model import LanguageModelTeacher
from espnet_kd.teachers.live import LiveTeacher

# Axes on which a time warp of the student's moves nothing.
STILL = ("utterance",)


def pair_problems(
    student: nn.Module, teacher: Teacher | None, request: Request
) -> Iterator[str]:
    """What is in the way of a student and its teachers, a sentence each.

    Args:
        student: The student.
        teacher: Its teacher, or several as one; None if it has none.
        request: What is asked of it.
    """
    family = family_of(student)
    for one in single_teachers(teacher) if teacher is not None else ():
        if isinstance(one, LiveTeacher) and not isinstance(one, LanguageModelTeacher):
            try:
                check_comparable(student, one.model, request)
            except KDError as error:
                yield str(error)
        if family is not None:
            yield from _not_served(family, one)
    yield from _warped(student, request)


def _not_served(family: Family, teacher: Teacher) -> Iterator[str]:
    """What is asked of a teacher that only those asked by parts can do."""
    if not isinstance(teacher, LiveTeacher):
        yield (
            f"targets of a {family.title} are not cached, for its teacher is asked by its "
            "own forward pass; use 'targets: live'"
        )
    elif isinstance(teacher, LanguageModelTeacher):
        yield (
            f"'lm' names a teacher of attention decoders, and the student is a "
            f"{family.title}; name a teacher of the student's own task by 'exp'"
        )
    elif teacher.stream is not None or teacher.view == "same":
        option = "hears" if teacher.stream is not None else "view: same"
        yield (
            f"'{option}' is for recognition; a {family.title} and its teacher are given "
            "one batch, so remove it"
        )


def _warped(student: nn.Module, request: Request) -> Iterator[str]:
    """Taps whose frames SpecAugment's time warp would move in the student alone."""
    family = family_of(student)
    if family is None or time_warp_of(student) is None:
        return
    for tap in request.listed("taps"):
        rule = family.rule_of(parse_tap(tap).path)
        if rule is not None and rule.axis not in STILL:
            yield (
                f"SpecAugment's time warp moves the student's frames and not the "
                f"teacher's, which '{tap}' is compared with; set "
                "specaug_conf.apply_time_warp to false, or tap what has no frames"
            )
            return
