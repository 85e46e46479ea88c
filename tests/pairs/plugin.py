"""A third party's loss, as ``plugins`` of a ``kd_conf`` may bring one."""

from torch import Tensor

from espnet_kd.losses import LOSSES, DistillationLoss, Needs
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets


@LOSSES.register("pairs_plugin")
class EncoderEnergy(DistillationLoss):
    """How far apart the mean squares of both encoders are."""

    def needs(self) -> Needs:
        """The encoders of both."""
        return Needs(student_taps=("encoder",), teacher_taps=("encoder",))

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """The distance of two means over the batch, padding and all."""
        mine = student.hidden["encoder"].values.float().square().mean()
        return (mine - teacher.hidden["encoder"].values.float().square().mean()).abs()
