"""Losses on what a model gives that is no posterior: what they have in common."""

from typing import Any, ClassVar

from torch import Tensor

from espnet_kd.alignment.frames import compared_lens
from espnet_kd.losses.base import Needs
from espnet_kd.losses.measured import MeasuredLoss, PairMeasure
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets, given
from espnet_kd.model.table import OUTPUTS


class OutputLoss(MeasuredLoss):
    """Compares one row of the table of outputs, which both models give by position.

    Attributes:
        output: Name of the row; its field holds ``Hidden`` values.
    """

    function: ClassVar[PairMeasure]
    output: ClassVar[str]

    def needs(self) -> Needs:
        """The row, of both models."""
        wanted: dict[str, Any] = {self.output: True}
        return Needs(**wanted)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See the function of the same name."""
        field = OUTPUTS[self.output].field
        source: Hidden = given(getattr(student, field), field)
        target: Hidden = given(getattr(teacher, field), field)
        lengths = compared_lens(source.lengths, target.lengths)
        width = int(lengths.max()) if lengths.numel() else 0
        values = (source.values[:, :width], target.values[:, :width])
        return self.bound(self.function)(*values, lengths, weights=teacher.weights)
