"""Terms of weight 0: watched without a parameter, a random number or a gradient."""

import torch
from torch import Tensor

from espnet_kd.errors import KDError
from espnet_kd.losses import DistillationLoss, Needs
from espnet_kd.losses.feature import HiddenLoss
from espnet_kd.losses.layers import Triple
from espnet_kd.masking import keep_rows, length_mask
from espnet_kd.model.forward import fork_rng
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets

# Added to the diagonal as a part of its mean, so that units that are silent, or more
# units than frames, leave a system that can be solved. In float64 it changes nothing else.
RIDGE = 1e-9


def observed(
    loss: DistillationLoss, name: str, student: ModelOutputs, teacher: TeacherTargets
) -> DistillationLoss:
    """Build a loss that nothing trains.

    Args:
        loss: The loss as configured.
        name: What the term is called, for messages.
        student: An example of the student's outputs.
        teacher: An example of the teacher's.

    Returns:
        The loss itself, or, where it needs a projection, ``FittedLoss`` in its stead.

    Raises:
        KDError: If it has other learned parts, which at weight 0 would never be learned.
    """
    with fork_rng(student.encoder_out_lens.device):
        loss.build(student, teacher)
    if isinstance(loss, HiddenLoss) and len(loss.projections):
        loss = FittedLoss(loss)
    if has_parameters(loss):
        raise KDError(
            f"{name}: at weight 0 its learned parts stay as they were drawn, and what "
            "they compare means nothing; give it a weight, or remove the term"
        )
    return loss


def has_parameters(loss: DistillationLoss) -> bool:
    """Whether a loss learns something of its own."""
    return next(loss.parameters(), None) is not None


class FittedLoss(DistillationLoss):
    """A hidden loss after the best affine map of each batch, in place of a learned one.

    Its value is what a projection could at best leave of the distance on this batch, by
    least squares: 0 where the teacher's layer is an affine function of the student's. A
    batch of N frames flatters a student of D units by about D / N, wholly from N = D + 1
    downwards.

    Args:
        loss: The loss, whose projections are given up; its other pairs are as they are.
    """

    def __init__(self, loss: HiddenLoss) -> None:
        super().__init__()
        self._mapped = {int(place) for place in loss.projections}
        loss.projections.clear()
        self.loss = loss
        self.per_utterance = loss.per_utterance

    def needs(self) -> Needs:
        """What the loss itself reads."""
        return self.loss.needs()

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """The loss of the mapped student; 0 where it dropped the layer in this pass."""
        return self.loss.over_pairs(student, teacher, self._prepare)

    def _prepare(self, place: int, triple: Triple) -> Tensor:
        return fitted(*triple) if place in self._mapped else triple[0]

    def describe(self) -> list[str]:
        """What the loss itself decided."""
        return self.loss.describe()


@torch.no_grad()
def fitted(student_hidden: Tensor, teacher_hidden: Tensor, lengths: Tensor) -> Tensor:
    r"""The student's vectors through the affine map to the teacher's that suits them best.

    .. math::
        \min_{A, b} \sum_n \lVert A s_n + b - t_n \rVert^2: \quad
        A = \bar T^\top \bar S (\bar S^\top \bar S)^{-1}, \quad
        b = \bar t - A \bar s

    with the centred real rows :math:`\bar S`, :math:`\bar T` of the batch: setting the
    gradient by b to 0 gives b, and with it the gradient by A gives the normal equations.

    Args:
        student_hidden: (B, T, D); padding is arbitrary.
        teacher_hidden: (B, T, D'); padding is arbitrary.
        lengths: Real positions, (B,).

    Returns:
        (B, T, D') float64 without gradient; 0 at padding.
    """
    mask = length_mask(lengths, student_hidden.shape[1])  # (B, T)
    student = keep_rows(student_hidden, mask).double()  # (N, D)
    teacher = keep_rows(teacher_hidden, mask).double()  # (N, D')
    mapped = teacher.new_zeros(*mask.shape, teacher.shape[1])
    if len(student):
        middle = teacher.mean(0)
        student = student - student.mean(0)
        gram = student.T @ student  # (D, D)
        # Above 0 even for a single row, which is nothing once it is centred.
        ridge = (RIDGE * gram.diagonal().mean()).clamp(min=1e-30)
        gram.diagonal().add_(ridge)
        # solve_ex lets nan through where solve would stop the training.
        slope = torch.linalg.solve_ex(gram, student.T @ (teacher - middle))[0]
        mapped[mask] = student @ slope + middle
    return mapped
