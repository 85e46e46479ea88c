"""Distance of the masks by which two separators take their sources out of a mixture."""

from typing import ClassVar

from torch import Tensor

from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.output import OutputLoss
from espnet_kd.masking import Reduction, kept_pair, reduce_positions


def mask_mse(
    student_masks: Tensor,
    teacher_masks: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "token",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean squared difference of two separators' masks, over real frames.

    .. math::
        \frac{1}{N} \sum_b w_b \sum_{t < \mathrm{lengths}_b}
            \frac{1}{S F} \lVert M^S_{bt} - M^T_{bt} \rVert_2^2

    over the sources in the order of their references, and over both parts of complex
    masks. Arguments, result and errors as in ``spectrum_l1``; without a unit.

    Args:
        student_masks: (B, T, S F), widened to float32.
        teacher_masks: Same shape. Receives no gradient.
        lengths: Real frames, (B,).
        reduction: ``token`` (a mean over frames) or ``batch``.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar, float32 or wider; 0 and attached without a frame.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Wang, Narayanan, Wang. On Training Targets for Supervised Speech Separation.
    2014, section III, of the teacher's mask in place of the ideal one.
    https://doi.org/10.1109/TASLP.2014.2352935
    """
    student, teacher, mask = kept_pair(student_masks, teacher_masks, lengths, "masks")
    return reduce_positions((student - teacher).square().mean(-1), mask, reduction, weights)


@LOSSES.register("mask_mse")
class MaskMSE(OutputLoss, measure=mask_mse):
    """``mask_mse`` as a term."""

    output: ClassVar[str] = "masks"
