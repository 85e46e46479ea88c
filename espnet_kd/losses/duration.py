"""Distance of the durations that two synthesisers predict for each label."""

from typing import ClassVar

from torch import Tensor

from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.output import OutputLoss
from espnet_kd.masking import Reduction, kept_pair, reduce_positions


def duration_mse(
    student_durations: Tensor,
    teacher_durations: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "token",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Mean squared difference of the logarithms of durations, over real labels.

    .. math::
        \frac{1}{N} \sum_b w_b \sum_{u < \mathrm{lengths}_b}
            \left(\hat d^S_{bu} - \hat d^T_{bu}\right)^2, \quad
            \hat d = \log(\text{frames} + \text{offset})

    as ESPnet's predictors give them and as its own duration loss compares them.

    Args:
        student_durations: (B, U+1, 1), logarithms; widened to float32.
        teacher_durations: Same shape. Receives no gradient.
        lengths: Real labels, the end of the sentence included, (B,).
        reduction: ``token`` (a mean over labels) or ``batch``.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar, float32 or wider; 0 and attached without a label.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Ren et al. FastSpeech. 2019, section 3.3. https://arxiv.org/abs/1905.09263
    """
    student, teacher, mask = kept_pair(
        student_durations, teacher_durations, lengths, "durations"
    )
    return reduce_positions((student - teacher).square().mean(-1), mask, reduction, weights)


@LOSSES.register("duration_mse")
class DurationMSE(OutputLoss, measure=duration_mse):
    """``duration_mse`` as a term."""

    output: ClassVar[str] = "durations"
