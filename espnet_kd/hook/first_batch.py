"""What the first batch of a training shows: frames side by side, each term's value."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from espnet_kd.alignment.frames import describe_bridge
from espnet_kd.hook.judgement import (
    TASK,
    judge_finite,
    judge_frames,
    judge_parts,
    judge_sameness,
)
from espnet_kd.hook.projections import PROJECTIONS
from espnet_kd.model.hidden import is_label_tap
from espnet_kd.model.outputs import ModelOutputs
from espnet_kd.model.request import Request
from espnet_kd.model.table import rows_of
from espnet_kd.objective.objective import Objective
from espnet_kd.teachers.base import Teacher
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.live import LiveTeacher

LOG = logging.getLogger(__name__)
# Parts that are counted in frames and are no posteriors.
BY_FRAME = ("joint", "codebooks")


@dataclass(frozen=True)
class Part:
    """One part of the loss on the first batch.

    Attributes:
        name: The term's, or ``TASK``.
        weight: What it is multiplied by when its schedule is at its height; 0 for a term
            that is observed.
        value: Without weight.
    """

    name: str
    weight: float
    value: float

    @property
    def counts(self) -> float:
        """What it adds to the loss."""
        return self.weight * self.value


@dataclass(frozen=True)
class FirstBatch:
    """What was seen of it.

    Attributes:
        parts: The student's own loss first, then the terms.
        student_lens: Encoder frames of the student's, (B,).
        teacher_lens: The teacher's, of the same utterances; None without a teacher.
        compares_frames: Whether a term lays frames of both side by side.
        is_balanced: Whether weights are no factors, but say how hard a term pulls.
        is_same: Whether the student has the teacher's weights.
    """

    parts: tuple[Part, ...]
    student_lens: Tensor
    teacher_lens: Tensor | None
    compares_frames: bool
    is_balanced: bool
    is_same: bool

    @classmethod
    def of(
        cls,
        objective: Objective,
        stats: Mapping[str, Tensor],
        student: ModelOutputs,
        teacher: ModelOutputs | None,
        *,
        is_same: bool,
        is_own: bool = False,
    ) -> "FirstBatch":
        """Take it from what a pass of the student gave.

        Args:
            objective: The terms.
            stats: Their values.
            student: The student's side.
            teacher: The teacher's.
            is_same: Whether the student has the teacher's weights.
            is_own: Whether the models are asked by their own forward pass.
        """
        # Frames are told of models whose encoder makes them out of audio.
        compared = _lens(student, None if is_own else teacher)
        own = Part(TASK, objective.task_weight, float(stats["loss_task"]))
        terms = [
            Part(name, term.config.weight, float(stats[f"loss_kd_{name}"]))
            for term in objective.terms
            if (name := term.config.name)
        ]
        return cls(
            (own, *terms),
            *compared,
            reads_frames(objective.teacher_request),
            objective.meter.config.balance,
            is_same,
        )

    def describe(self) -> Iterator[str]:
        """Frames and values, a line each."""
        if self.teacher_lens is not None:
            yield f"frame rates: {describe_bridge(self.student_lens, self.teacher_lens)}"
        for part in self.parts:
            yield f"{part.name}: {part.value:.4g} {self._weight(part)}"

    def _weight(self, part: Part) -> str:
        if not part.weight:
            return "observed"
        if self.is_balanced and part.name != TASK:
            return f"pulls {part.weight:g} times as hard as the task"
        return f"times {part.weight:g} counts {part.counts:.4g}"

    def tell(self, *, rates: bool = True) -> None:
        """Write it into the log of a training.

        Args:
            rates: Whether frames of two rates are doubted here, and were not before.
        """
        LOG.info("The first batch of the distillation:")
        for line in self.describe():
            LOG.info("  %s", line)
        for line in (*self.broken(), *self.unwise(rates=rates)):
            LOG.warning("%s", line)

    def broken(self) -> Iterator[str]:
        """What makes learning impossible."""
        yield from judge_finite({part.name: part.counts for part in self.parts})

    def unwise(self, *, rates: bool = True) -> Iterator[str]:
        """What is to be doubted, each with its remedy; frames of two rates if asked."""
        yield from judge_sameness(self.is_same)
        if rates and self.teacher_lens is not None and self.compares_frames:
            lens = (self.student_lens, self.teacher_lens)
            yield from judge_frames(*(int(frames.sum()) for frames in lens))
        if not self.is_balanced:
            trained = {part.name: part.counts for part in self.parts if part.weight}
            yield from judge_parts(trained)


def _lens(
    student: ModelOutputs, teacher: ModelOutputs | None
) -> tuple[Tensor, Tensor | None]:
    """Frames of both, without the utterances that the teacher was not asked about."""
    own = student.encoder_out_lens.detach().clone()
    if teacher is None:
        return own, None
    heard = teacher.encoder_out_lens > 0
    return own[heard], teacher.encoder_out_lens[heard].detach().clone()


def reads_frames(request: Request) -> bool:
    """Whether a request is for something of a teacher that is counted in frames."""
    of_frames = [tap for tap in request.listed("taps") if not is_label_tap(tap)]
    rows = rows_of(request)
    return bool(of_frames) or any(row.by_frame or row.name in BY_FRAME for row in rows)


def is_same_model(student: nn.Module, teacher: Teacher | None) -> bool:
    """Whether a teacher is the student over again, parameter by parameter."""
    if not isinstance(teacher, LiveTeacher) or isinstance(teacher, EMATeacher):
        return False
    # No state_dict: its hooks belong to those who save (weights that are pruned away).
    own, other = (dict(model.named_parameters()) for model in (student, teacher.model))
    own = {name: p for name, p in own.items() if not name.startswith(f"{PROJECTIONS}.")}
    if own.keys() != other.keys():
        return False
    pairs = ((own[name], other[name].to(own[name].device)) for name in own)
    return all(a.shape == b.shape and bool((a == b).all()) for a, b in pairs)
