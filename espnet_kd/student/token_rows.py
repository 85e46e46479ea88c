"""Which row of a teacher's embeddings and outputs belongs to each of a student's tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from espnet_kd.student.axes import CTC_VOCABULARY
from espnet_kd.teachers.vocabulary import TokenMap


@dataclass(frozen=True)
class TokenRows:
    """Rows of tokens, by their names.

    The same corpus gives SentencePiece's releases the same pieces in other orders. Rows
    that are copied by number would then give every token the parameters of another one.

    Attributes:
        student: The student's tokens; none if they are the teacher's, in its order.
        teacher: The teacher's.
        of_ctc: Whether CTC has these tokens; not in speech translation.
    """

    student: Sequence[str] = ()
    teacher: Sequence[str] = ()
    of_ctc: bool = True

    def differ(self, axis: str) -> bool:
        """Whether the teacher's rows along an axis are of other tokens."""
        return self._apply(axis) and set(self.student) != set(self.teacher)

    def units(self, axis: str) -> dict[str, Tensor]:
        """The teacher's row of each of the student's tokens, (V,), by the axis."""
        if not self._apply(axis):
            return {}
        return {axis: TokenMap(self.student, self.teacher).teacher_index}

    def _apply(self, axis: str) -> bool:
        return bool(self.student) and (self.of_ctc or axis != CTC_VOCABULARY)
