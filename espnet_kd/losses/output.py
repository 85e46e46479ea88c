"""Losses on what a model gives that is no posterior: what they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from espnet_kd.alignment.frames import compared_lens
from espnet_kd.losses.base import Needs
from espnet_kd.losses.measured import MeasuredLoss, PairMeasure
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets, given
from espnet_kd.model.table import OUTPUTS


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is read.

    Attributes:
        where: ``everywhere``; or ``teacher_better``, which counts an utterance only if
            its reference is nearer to the teacher's output than to the student's, by the
            very measure of the loss. Means are still over all utterances.

    Source: DISPatch, which selects so, patch by patch. 2025.
    https://arxiv.org/abs/2509.15922
    """

    where: Literal["everywhere", "teacher_better"] = "everywhere"


class OutputLoss(MeasuredLoss, own=OutputOptions):
    """Compares one row of the table of outputs, which both models give by position.

    Attributes:
        output: Name of the row; its field holds ``Hidden`` values.
    """

    function: ClassVar[PairMeasure]
    output: ClassVar[str]
    own: OutputOptions

    @property
    def may_be_silent(self) -> bool:
        """Of a student that is nearer to the references than its teacher everywhere."""
        return self.own.where == "teacher_better"

    def needs(self) -> Needs:
        """The row, of both models, and its reference where that is asked."""
        wanted: dict[str, Any] = {self.output: True}
        if self.own.where == "teacher_better":
            wanted["truth"] = (self.output,)
        return Needs(**wanted)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See the function of the same name."""
        field = OUTPUTS[self.output].field
        source: Hidden = given(getattr(student, field), field)
        target: Hidden = given(getattr(teacher, field), field)
        weights = teacher.weights
        if self.own.where == "teacher_better":
            truth = given(student.truth.get(self.output), f"truth of {field}")
            taught = self._is_nearer(truth, target, source).to(source.values.device)
            weights = taught if weights is None else taught * weights
        return self._distance(source, target, weights)

    def _distance(self, source: Hidden, target: Hidden, weights: Tensor | None) -> Tensor:
        lengths = compared_lens(source.lengths, target.lengths)
        width = int(lengths.max()) if lengths.numel() else 0
        values = (source.values[:, :width], target.values[:, :width])
        return self.bound(self.function)(*values, lengths, weights=weights)

    @torch.no_grad()
    def _is_nearer(self, truth: Hidden, one: Hidden, other: Hidden) -> Tensor:
        """1 for each utterance in which one is nearer to the truth than the other, (B,)."""
        errors = (self._errors(truth, each) for each in (one, other))
        nearer = [mine < its for mine, its in zip(*errors, strict=True)]
        return torch.tensor(nearer, dtype=torch.float32)

    def _errors(self, truth: Hidden, found: Hidden) -> Sequence[float]:
        """The loss of each utterance by itself."""
        pairs = zip(_utterances(found), _utterances(truth), strict=True)
        return [float(self._distance(mine, true, None)) for mine, true in pairs]


def _utterances(batch: Hidden) -> list[Hidden]:
    """Batches of one."""
    rows = range(len(batch.lengths))
    return [Hidden(batch.values[b : b + 1], batch.lengths[b : b + 1]) for b in rows]
