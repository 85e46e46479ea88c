"""Whether a student may learn from its teachers at all, before a batch is seen."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

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
from espnet_kd.teachers.vocabulary import TokenMap, vocabulary_of

# Parameters with a row a token, and the list that numbers them; of any width of the model.
OUTPUTS = {
    "ctc.ctc_lo.bias": "ctc",
    "decoder.output_layer.bias": "text",
    "decoder.output.bias": "text",
    "joint_network.lin_out.bias": "text",
    "ctc_lin.bias": "text",
}
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
            yield from _copied_by_number(student, one.model)
        if family is not None:
            yield from _not_served(family, one)
    yield from _warped(student, request)


def _copied_by_number(student: nn.Module, teacher: nn.Module) -> Iterator[str]:
    """Outputs that are the teacher's, row by row, where its tokens have other numbers."""
    own, given = (dict(model.named_parameters()) for model in (student, teacher))
    lists = (vocabulary_of(student), vocabulary_of(teacher))
    for name, kind in OUTPUTS.items():
        tokens = [getattr(vocabulary, kind) for vocabulary in lists]
        if tokens[0] == tokens[1] or sorted(tokens[0]) != sorted(tokens[1]):
            continue
        if name not in own or name not in given or own[name].is_meta:
            continue
        order = TokenMap(*tokens).teacher_index
        if _same(own[name], given[name]) and not _same(own[name], given[name][order]):
            yield (
                f"the student's '{name}' is its teacher's row by row, whose tokens stand "
                "in another order, so that every token begins as another one; make the "
                "student's first parameters again by init_student --token_list"
            )
            return


def _same(own: Tensor, given: Tensor) -> bool:
    """Whether values are a teacher's, wherever they lie and however they are rounded."""
    one, other = (value.detach().float().cpu() for value in (own, given))
    return one.shape == other.shape and torch.allclose(one, other, rtol=0.01)


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
