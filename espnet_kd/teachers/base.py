"""What every kind of teacher can do: live, cached, a language model, several as one."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from espnet_kd.model.forward import Labels, Request
from espnet_kd.model.outputs import TeacherTargets


class Guest(Protocol):
    """Answers for a batch of the student's.

    Attributes:
        view: What it hears: ``clean``, or the ``same`` features as the student.
    """

    view: str

    def __call__(
        self,
        batch: Mapping[str, Tensor],
        request: Request,
        *,
        labels: Labels | None = None,
        feats: tuple[Tensor, Tensor] | None = None,
    ) -> TeacherTargets:
        """Targets for a batch; see ``espnet_kd.teachers.live.Teacher``."""

    def has(self, part: str) -> bool:
        """Whether it gives ``ctc`` or ``decoder`` posteriors."""

    def check(self, request: Request) -> None:
        """Require what the losses read; KDError names what is missing."""

    def match_vocabulary(self, student: nn.Module) -> None:
        """Speak in the student's tokens; AlignmentError if they are others."""

    def trial(
        self, batch: Mapping[str, Tensor], request: Request, labels: Labels | None
    ) -> TeacherTargets:
        """Targets of an example, for losses to be built."""
