"""Which losses may read a teacher of other tokens through a map of its posteriors."""

from espnet_kd.errors import KDError
from espnet_kd.losses.ctc_token import CTCTokenKL
from espnet_kd.losses.sequence import CTCNBest
from espnet_kd.objective.objective import Objective
from espnet_kd.teachers.base import Teacher
from espnet_kd.teachers.build import single_teachers
from espnet_kd.teachers.cached import CachedTeacher
from espnet_kd.teachers.live import LiveTeacher

# These spell a transcript or a hypothesis by the teacher's posteriors: mapped, a piece of
# its tokens is many of the student's at one frame, in no order.
SPELL = (CTCTokenKL, CTCNBest)


def is_mapped(teacher: Teacher | None) -> bool:
    """Whether a teacher's posteriors are read through a map, or those of one of several."""
    several = single_teachers(teacher) if teacher is not None else ()
    known = [one for one in several if isinstance(one, LiveTeacher | CachedTeacher)]
    return any(one.token_map is not None for one in known)


def check_mapped(objective: Objective, teacher: Teacher | None) -> None:
    """Require losses that compare frame by frame where posteriors are mapped.

    Raises:
        KDError: Naming the first other one.
    """
    for term in objective.terms if is_mapped(teacher) else ():
        if isinstance(term.loss, SPELL):
            raise KDError(
                f"{term.config.name} spells by the teacher's CTC posteriors, and through a "
                "'token_map' a piece of the teacher's is many of the student's at one "
                "frame, in no order; keep to ctc_frame_kl, ctc_shift_kl and ctc_guided"
            )
