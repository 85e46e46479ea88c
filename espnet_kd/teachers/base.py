"""What every kind of teacher can do: live, cached, a language model, several as one."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.request import Labels, Request
from espnet_kd.model.training_part import TrainingPart, Warp


@dataclass(frozen=True)
class Question:
    """What a pass of the student asks its teacher.

    Attributes:
        batch: ``speech`` and ``speech_lengths`` as they came in, ``utt_id`` for messages,
            and whatever a data loader brought along.
        request: The parts of the teacher's output that the losses read.
        labels: What the student's decoder was given.
        feats: The student's augmented features and their lengths, for ``view: same``.
        warp: The student's time warp, for features of the teacher's own.
        is_features: Whether ``speech`` is (B, T, D) features, not audio.
        rows: Which utterances ``speech`` is truly of, the others hearing a stand-in; None
            for all.
    """

    batch: Mapping[str, Any]
    request: Request
    labels: Labels = field(default_factory=Labels)
    feats: tuple[Tensor, Tensor] | None = None
    warp: Warp | None = None
    is_features: bool = False
    rows: Tensor | None = None


class Teacher(Protocol):
    """Answers for a batch of the student's."""

    @property
    def view(self) -> str:
        """Which features it gets: ``clean``, or the ``same`` as the student."""
        ...

    def __call__(self, question: Question) -> TeacherTargets:
        """Answer for a batch; no target carries a gradient."""
        ...

    def has(self, part: str) -> bool:
        """Whether it gives a part, by its name in the table of outputs."""
        ...

    def layers(self, name: str) -> int:
        """Layers of the encoder of the teacher of a name, of the first by an empty one.

        0 where they are not known.
        """
        ...

    def check(self, request: Request) -> None:
        """Require what the losses read; KDError names what is missing."""
        ...

    def match_vocabulary(self, student: nn.Module, lists: Collection[str]) -> None:
        """Speak in the student's tokens, of the lists named; AlignmentError if not so."""
        ...

    def check_front_end(self, student: nn.Module, batch: Mapping[str, Any]) -> None:
        """For ``view: same``, require equal features from both front ends."""
        ...

    def probe(self, question: Question) -> TeacherTargets:
        """Answer for an example, so that losses learn the widths of what is tapped."""
        ...

    def training_parts(self) -> list[TrainingPart]:
        """What of it changes while the student trains."""
        ...

    def describe(self) -> list[str]:
        """Say in a line each which teacher this is and what was decided about it."""
        ...
