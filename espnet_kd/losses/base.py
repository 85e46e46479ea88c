"""What a loss term owes to the objective, and the table of all losses."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.model.request import Request, Wanted
from espnet_kd.model.table import rows_of
from espnet_kd.registry import Registry

LOSSES: Registry[type["DistillationLoss"]] = Registry("loss")


class Needs:
    """What a loss wants to be given from both models.

    Parts are named as in the table of outputs (``espnet_kd.model.table``), which knows of
    which model each is asked: ``ctc`` (CTC logits of both), ``interctc`` (encoder layers
    of the student), ``decoder`` (attention decoder logits of both, forced alike;
    here and for ``ctc`` True, or the temperatures at which they are compared),
    ``labels`` (the transcript), ``joint`` (the student's transducer lattice, and of the
    teacher's ``classes``, ``path`` or ``logits``), ``nbest`` (so many hypotheses of the
    teacher), ``decode`` (the student's decoder, to be run along other prefixes); of other
    tasks ``spectrum``, ``durations``, ``waveforms``, ``masks``, ``classes``, and of the
    batch their ``truth``.

    Args:
        teacher: Whether there must be a teacher at all.
        two_views: The batch twice in one pass of the student, augmented differently.
        two_modes: The same of a streaming student, in its blocks and in full context.
        student_taps: Hidden representations of the student, as the user wrote them.
        teacher_taps: The same of the teacher.
        parts: What is wanted of each part.
    """

    def __init__(
        self,
        *,
        teacher: bool = True,
        two_views: bool = False,
        two_modes: bool = False,
        student_taps: tuple[str, ...] = (),
        teacher_taps: tuple[str, ...] = (),
        **parts: Wanted,
    ) -> None:
        self.teacher = teacher
        self.two_views = two_views
        self.two_modes = two_modes
        rows = rows_of(Request(**parts))
        # Posteriors are read at temperatures; one that is not named is 1.
        plain = {row.name for row in rows if row.posterior and parts[row.name] is True}
        wanted = Request(**{**parts, **dict.fromkeys(plain, (1.0,))})
        of_student = {row.name: wanted[row.name] for row in rows if row.student}
        of_teacher = {row.name: wanted[row.name] for row in rows if row.teacher}
        self.of_student = Request(**of_student, taps=student_taps)
        self.of_teacher = Request(**of_teacher, taps=teacher_taps) if teacher else Request()

    def __eq__(self, other: object) -> bool:
        """Whether both losses read the same."""
        return isinstance(other, Needs) and vars(self) == vars(other)

    def __repr__(self) -> str:
        """Both requests."""
        return f"Needs(student: {self.of_student}, teacher: {self.of_teacher})"

    @classmethod
    def union(cls, needs: Iterable["Needs"]) -> "Needs":
        """What all of some losses read together."""
        needs = tuple(needs)
        together = cls(
            teacher=any(each.teacher for each in needs),
            two_views=any(each.two_views for each in needs),
            two_modes=any(each.two_modes for each in needs),
        )
        together.of_student = Request.union(each.of_student for each in needs)
        together.of_teacher = Request.union(each.of_teacher for each in needs)
        return together


class DistillationLoss(nn.Module):
    """A registered loss: its keyword-only constructor is its configuration.

    A constructor checks its arguments with ``espnet_kd.config.check.Check`` and builds
    nothing of a model's size; ``build`` does, once the widths are known.

    Attributes:
        per_utterance: Whether the value is a sum over utterances, so that each may be
            given a weight. Losses across a batch are not.
    """

    per_utterance = True

    def __init__(self) -> None:
        # Named here, so that a loss without options has a schema without options.
        super().__init__()

    def needs(self) -> Needs:
        """What ``forward`` reads."""
        raise NotImplementedError

    @property
    def may_be_silent(self) -> bool:
        """Whether 0 in a whole epoch is an answer, and no sign of a mistake."""
        return False

    @property
    def same_frame(self) -> bool:
        """Whether it asks a student to spell at the very frame where its teacher does."""
        return False

    def meet(self, student: nn.Module) -> None:
        """Look at the student before anything runs.

        Raises:
            KDError: If it does not suit the loss's options.
        """

    def pair_layers(self, student: int, teacher: Callable[[str], int]) -> None:
        """Choose layers where the options leave that to a rule, before ``needs`` is read.

        Args:
            student: Layers of the student's encoder.
            teacher: The same of the teacher of a name; of the first by an empty one.

        Raises:
            KDError: If there are none.
        """

    def describe(self) -> list[str]:
        """Say in a line each what was decided about it, for the log."""
        return []

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make learned parts (projections) from an example of both sides' outputs."""

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Scalar loss, float32 or wider, 0 and attached when nothing compares."""
        raise NotImplementedError
