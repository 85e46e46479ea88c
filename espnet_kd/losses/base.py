"""What a loss term owes to the objective, and the table of all losses."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

from torch import Tensor, nn

from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.registry import Registry

LOSSES: Registry[type["DistillationLoss"]] = Registry("loss")


@dataclass(frozen=True)
class Needs:
    """What a loss wants to be given from both models.

    Attributes:
        ctc: Both models' CTC logits.
        interctc: Encoder layers of the student whose intermediate CTC logits it wants.
        decoder: Both models' attention decoder logits, teacher-forced alike.
        labels: The transcript.
        joint: The student's transducer lattice, and of the teacher's ``classes``,
            ``path`` or ``logits``.
        nbest: Hypotheses of the teacher, at most this many.
        decode: The student's decoder, to be run along other prefixes.
        two_views: The batch twice in one pass of the student, augmented differently.
        teacher: Whether there must be a teacher at all.
        student_taps: Hidden representations of the student, as the user wrote them.
        teacher_taps: The same of the teacher.
    """

    ctc: bool = False
    interctc: tuple[int, ...] = ()
    decoder: bool = False
    labels: bool = False
    joint: tuple[str, ...] = ()
    nbest: int = 0
    decode: bool = False
    two_views: bool = False
    teacher: bool = True
    student_taps: tuple[str, ...] = ()
    teacher_taps: tuple[str, ...] = ()

    @property
    def common_vocabulary(self) -> bool:
        """Whether indices of tokens are compared, so that both lists must agree."""
        shared = self.ctc or self.decoder or self.joint or self.nbest
        return self.teacher and bool(shared)

    @classmethod
    def union(cls, needs: Iterable["Needs"]) -> "Needs":
        """What all of them together read."""
        needs = tuple(needs)
        return cls(
            **{f.name: _join([getattr(n, f.name) for n in needs]) for f in fields(cls)}
        )


def _join(values: list) -> bool | int | tuple:
    """Any of some flags, the most of some counts, each of some names once."""
    if values and isinstance(values[0], tuple):
        return tuple(dict.fromkeys(item for value in values for item in value))
    return max(values, default=False)


class DistillationLoss(nn.Module):
    """A registered loss: its keyword-only constructor is its configuration.

    A constructor checks its arguments with ``ArgumentCheck`` and builds nothing of a
    model's size; ``build`` does, once the widths are known.

    Attributes:
        per_utterance: Whether the value is a sum over utterances, so that each may be
            given a weight. Losses across a batch are not.
    """

    per_utterance = True

    def needs(self) -> Needs:
        """What ``forward`` reads."""
        raise NotImplementedError

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make learned parts (projections) from an example of both sides' outputs."""

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Scalar loss, float32 or wider, 0 and attached when nothing compares."""
        raise NotImplementedError
