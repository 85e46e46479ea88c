"""Losses between hidden representations, any tap of the student to any of the teacher."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from espnet_kd.align import bridge_frames
from espnet_kd.errors import ArgumentCheck, KDError
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.masking import (
    REDUCTIONS,
    check_pair,
    keep_rows,
    length_mask,
    reduce_positions,
)
from espnet_kd.taps import parse_tap
from espnet_kd.targets import Hidden, ModelOutputs, TeacherTargets

# Below this length a vector has no direction worth comparing.
TINY = 1e-6


def hidden_mse(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    lengths: Tensor,
    *,
    reduction: str = "batch",
) -> Tensor:
    r"""Mean squared difference of hidden representations.

    .. math::
        \frac{1}{B} \sum_b \sum_{t < \mathrm{lengths}_b}
            \frac{1}{D} \lVert h^S_{bt} - h^T_{bt} \rVert_2^2

    Args:
        student_hidden: (B, T, D), already of the teacher's width; widened to float32.
        teacher_hidden: Same shape. Receives no gradient.
        lengths: Real positions, (B,).
        reduction: ``batch`` (divide by B) or ``token`` (by the real positions).

    Returns:
        Scalar, float32 or wider, not negative; 0 and attached without a position.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Romero et al. FitNets. 2015, section 2.2. https://arxiv.org/abs/1412.6550
    """
    student, teacher = _kept(student_hidden, teacher_hidden, lengths)  # (N, D)
    values = (student - teacher).square().mean(-1)
    return reduce_positions(values, len(lengths), reduction)


def hidden_l1_cosine(
    student_hidden: Tensor,
    teacher_hidden: Tensor,
    lengths: Tensor,
    *,
    cosine_weight: float = 1.0,
    reduction: str = "batch",
) -> Tensor:
    r"""Mean absolute difference plus cosine distance of hidden representations.

    .. math::
        \frac{1}{B} \sum_b \sum_{t < \mathrm{lengths}_b}
            \frac{1}{D} \lVert h^S_{bt} - h^T_{bt} \rVert_1
            + \lambda \left(1 - \cos(h^S_{bt}, h^T_{bt})\right)

    DistilHuBERT [1]_ writes :math:`-\log\sigma(\cos)`, which is 0.31 for equal vectors;
    this form is 0 there and falls in the same direction.

    Args:
        student_hidden: (B, T, D), already of the teacher's width; widened to float32.
        teacher_hidden: Same shape. Receives no gradient.
        lengths: Real positions, (B,).
        cosine_weight: :math:`\lambda` >= 0.
        reduction: ``batch`` (divide by B) or ``token`` (by the real positions).

    Returns:
        Scalar, float32 or wider, not negative; 0 and attached without a position.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Chang, Yang, Lee. DistilHuBERT. 2021, section 2.2, equation 1.
       https://arxiv.org/abs/2110.01900
    """
    student, teacher = _kept(student_hidden, teacher_hidden, lengths)  # (N, D)
    # 1 - cos = |s/|s| - t/|t||^2 / 2, which is exactly 0 for equal vectors.
    apart = F.normalize(student, dim=-1, eps=TINY) - F.normalize(teacher, dim=-1, eps=TINY)
    cosine = apart.square().sum(-1) / 2
    values = (student - teacher).abs().mean(-1) + cosine_weight * cosine
    return reduce_positions(values, len(lengths), reduction)


def _kept(student: Tensor, teacher: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    check_pair(student, teacher, lengths, "hidden")
    mask = length_mask(lengths, student.shape[1])  # (B, T)
    dtype = torch.promote_types(student.dtype, torch.float32)
    teacher = teacher.detach()
    return keep_rows(student, mask).to(dtype), keep_rows(teacher, mask).to(dtype)


class Projection(nn.Linear):
    """A learned map from the student's width to the teacher's, never saved with a model.

    It trains with the student (optimizer, gradient clipping, DDP) but is no part of it:
    the student's ``state_dict`` does not mention it, and loading one does not miss it.
    """

    def _save_to_state_dict(self, destination, prefix, keep_vars) -> None:
        pass

    def _load_from_state_dict(self, *args) -> None:
        pass


class HiddenLoss(DistillationLoss):
    """Common ground of the hidden losses: taps, projection, frame rates."""

    def __init__(self, student: str, teacher: str, reduction: str) -> None:
        super().__init__()
        self.student_tap = student
        self.teacher_tap = teacher
        self.reduction = reduction
        self.projection: Projection | None = None

    def needs(self) -> Needs:
        """One tap of either model."""
        return Needs(student_taps=(self.student_tap,), teacher_taps=(self.teacher_tap,))

    def build(self, student: ModelOutputs, teacher: TeacherTargets) -> None:
        """Make a projection if the two widths differ."""
        source = _find(student, self.student_tap, "student").values
        target = _find(teacher, self.teacher_tap, "teacher").values
        if source.shape[-1] != target.shape[-1]:
            self.projection = Projection(
                source.shape[-1], target.shape[-1], device=source.device
            )

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Compare the taps; 0, attached, if the student dropped that layer."""
        target = teacher.hidden.get(self.teacher_tap)
        source = student.hidden.get(self.student_tap)
        if source is None or target is None:
            return self._nothing(student.encoder_out_lens)
        values = source.values[:, : int(source.lengths.max())]
        if self.projection is not None:
            values = self.projection(values.to(self.projection.weight.dtype))
        return self.compare(values, _bridged(target, source.lengths), source.lengths)

    def compare(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """The measure itself, on (B, T, D) of one width and rate."""
        raise NotImplementedError

    def _nothing(self, like: Tensor) -> Tensor:
        zero = torch.zeros((), device=like.device)
        return zero + sum(p.float().sum() * 0 for p in self.parameters())


def _bridged(target: Hidden, lengths: Tensor) -> Tensor:
    if torch.equal(target.lengths, lengths):
        return target.values[:, : int(lengths.max())]
    return bridge_frames(target.values, target.lengths, lengths, how="mean")


def _find(outputs: ModelOutputs, tap: str, side: str) -> Hidden:
    if tap not in outputs.hidden:
        raise KDError(f"the {side}'s tap '{tap}' gave nothing in a trial pass")
    hidden = outputs.hidden[tap]
    if hidden.values.dim() != 3:
        raise KDError(
            f"the {side}'s tap '{tap}' gives shape {tuple(hidden.values.shape)}; a "
            "hidden loss needs (batch, length, width): tap a layer's output"
        )
    return hidden


def _tap_check(check: ArgumentCheck, **taps: str) -> None:
    for name, tap in taps.items():
        try:
            parse_tap(tap)
        except KDError as error:
            check.accept(name, str(error))


@LOSSES.register("hidden_mse")
class HiddenMSE(HiddenLoss):
    """``hidden_mse`` as a term: ``student`` and ``teacher`` name taps."""

    def __init__(self, *, student: str, teacher: str, reduction: str = "batch") -> None:
        check = ArgumentCheck()
        _tap_check(check, student=student, teacher=teacher)
        check.one_of("reduction", reduction, REDUCTIONS)
        check.done()
        super().__init__(student, teacher, reduction)

    def compare(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """See the function ``hidden_mse``."""
        return hidden_mse(student, teacher, lengths, reduction=self.reduction)


@LOSSES.register("hidden_l1_cosine")
class HiddenL1Cosine(HiddenLoss):
    """``hidden_l1_cosine`` as a term: ``student`` and ``teacher`` name taps."""

    def __init__(
        self,
        *,
        student: str,
        teacher: str,
        cosine_weight: float = 1.0,
        reduction: str = "batch",
    ) -> None:
        check = ArgumentCheck()
        _tap_check(check, student=student, teacher=teacher)
        check.not_negative("cosine_weight", cosine_weight)
        check.one_of("reduction", reduction, REDUCTIONS)
        check.done()
        super().__init__(student, teacher, reduction)
        self.cosine_weight = cosine_weight

    def compare(self, student: Tensor, teacher: Tensor, lengths: Tensor) -> Tensor:
        """See the function ``hidden_l1_cosine``."""
        return hidden_l1_cosine(
            student,
            teacher,
            lengths,
            cosine_weight=self.cosine_weight,
            reduction=self.reduction,
        )
