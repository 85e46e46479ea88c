"""Common ground of the losses between a tap of the student and one of a teacher."""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from espnet_kd.alignment.frames import at_student_frames
from espnet_kd.config.check import Check
from espnet_kd.errors import KDError
from espnet_kd.losses.base import Needs
from espnet_kd.losses.measured import MeasuredLoss
from espnet_kd.model.hidden import check_rows
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.model.taps import parse_tap


def is_tap(check: Check, name: str, value: object) -> None:
    """Require what ``parse_tap`` can read, of the student without a teacher's name."""
    try:
        owner = parse_tap(str(value)).owner
    except KDError as error:
        check.add(name, str(error))
        return
    if owner and name == "student":
        text = f"'{value}' has a teacher's name in front, and there is one student"
        check.add(name, f"{text}; leave '{owner}:' out")


@dataclass(frozen=True, kw_only=True)
class TapOptions:
    """Which representations are compared.

    Attributes:
        student: Tap of the student.
        teacher: Tap of a teacher.
    """

    student: Annotated[str, is_tap]
    teacher: Annotated[str, is_tap]


class TapLoss(MeasuredLoss, own=TapOptions):
    """What these losses read, and what they say when nothing can be compared."""

    @property
    def student_tap(self) -> str:
        """The student's tap, as it is recorded."""
        return str(self.own.student)

    @property
    def teacher_tap(self) -> str:
        """The teacher's tap, as it is recorded."""
        return str(self.own.teacher)

    def needs(self) -> Needs:
        """One tap of either model."""
        return Needs(student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def sides(
        self, student: ModelOutputs, teacher: TeacherTargets
    ) -> tuple[tuple[ModelOutputs, str, str], ...]:
        """Either side's outputs, its tap, and what to call it in messages."""
        return (
            (student, self.student_tap, "student"),
            (teacher, self.teacher_tap, "teacher"),
        )

    def nothing(self, like: Tensor) -> Tensor:
        """The value when nothing can be compared in this pass."""
        zero = torch.zeros((), device=like.device)
        for parameter in self.parameters():
            zero = zero + parameter.float().sum() * 0
        return zero


def bridged(target: Hidden, lengths: Tensor) -> Tensor:
    """A teacher's sequence at the student's positions, (B, T, D)."""
    return at_student_frames(
        target.values, student_lens=lengths, teacher_lens=target.lengths, how="mean"
    )


def find_hidden(outputs: ModelOutputs, tap: str, side: str) -> Hidden:
    """A tap's (B, L, D) values in a trial pass.

    Raises:
        KDError: If it gave nothing, or something of another shape.
    """
    if tap not in outputs.hidden:
        raise KDError(f"the {side}'s tap '{tap}' gave nothing in a trial pass")
    hidden = outputs.hidden[tap]
    if hidden.values.dim() != 3:
        raise KDError(
            f"the {side}'s tap '{tap}' gives shape {tuple(hidden.values.shape)}; a "
            "hidden loss needs (batch, length, width): tap a layer's output"
        )
    check_rows(hidden.values, outputs, tap, side)
    return hidden
