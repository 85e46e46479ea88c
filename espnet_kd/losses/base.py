"""What a loss term owes to the objective, and the table of all losses."""

from dataclasses import dataclass

from torch import Tensor, nn

from espnet_kd.registry import Registry
from espnet_kd.targets import ModelOutputs, TeacherTargets

LOSSES: Registry[type["DistillationLoss"]] = Registry("loss")


@dataclass(frozen=True)
class Needs:
    """What a loss wants to be given from both models.

    Attributes:
        ctc: Both models' CTC logits.
        decoder: Both models' attention decoder logits, teacher-forced alike.
        student_taps: Hidden representations of the student, as the user wrote them.
        teacher_taps: The same of the teacher.
    """

    ctc: bool = False
    decoder: bool = False
    student_taps: tuple[str, ...] = ()
    teacher_taps: tuple[str, ...] = ()

    @property
    def common_vocabulary(self) -> bool:
        """Whether indices of tokens are compared, so that both lists must agree."""
        return self.ctc or self.decoder


class DistillationLoss(nn.Module):
    """A registered loss: its keyword-only constructor is its configuration.

    A constructor checks its arguments with ``ArgumentCheck`` and builds nothing of a
    model's size; ``build`` does, once the widths are known.
    """

    def needs(self) -> Needs:
        """What ``forward`` reads."""
        raise NotImplementedError

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make learned parts (projections) from an example of both sides' outputs."""

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Scalar loss, float32 or wider, 0 and attached when nothing compares."""
        raise NotImplementedError
