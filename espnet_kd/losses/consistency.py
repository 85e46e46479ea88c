"""Consistency of two views of the same audio: the control that needs no teacher."""

from torch import Tensor

from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.ctc import CTCLoss
from espnet_kd.losses.divergence import kl_positions
from espnet_kd.masking import Reduction, check_pair, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets


def cr_ctc(
    logits: Tensor,
    other_logits: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
) -> Tensor:
    r"""Consistency of the CTC posteriors of two augmented views, each teaching the other.

    .. math::
        \frac{1}{2B} \sum_b \sum_t
            \mathrm{KL}(\mathrm{sg}(z^b_{bt}) \,\|\, z^a_{bt})
            + \mathrm{KL}(\mathrm{sg}(z^a_{bt}) \,\|\, z^b_{bt})

    Args:
        logits: (B, T, V) before the softmax of the one view, any float dtype.
        other_logits: Same shape, of the other view.
        lengths: Real frames, (B,).
        reduction: ``batch`` (divide by B) or ``token`` (by the real frames).

    Returns:
        Scalar in nats per utterance or frame, float32 or wider, 0 for equal views; 0 and
        attached without a frame.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Yao et al. CR-CTC. 2024, section 3.2, equation 4.
    https://arxiv.org/abs/2410.05101
    """
    check_pair(logits, other_logits, lengths, "logits")
    mask = length_mask(lengths, logits.shape[1])
    there = kl_positions(logits, other_logits, mask, 1.0)
    back = kl_positions(other_logits, logits, mask, 1.0)
    return reduce_positions((there + back) / 2, mask, reduction)


@LOSSES.register("cr_ctc")
class CRCTC(CTCLoss, measure=cr_ctc):
    """``cr_ctc`` as a term: the student sees each batch twice in one pass.

    Its own losses are then means over both views, as in the paper, and both views share
    one time warp. In evaluation there is one view, and the value is 0.
    """

    per_utterance = False

    def needs(self) -> Needs:
        """The student's CTC logits of two views; no teacher."""
        return Needs(ctc=True, interctc=self.heads, two_views=True, teacher=False)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets | None) -> Tensor:
        """See ``cr_ctc``."""
        logits = self.student_logits(student)
        if not student.two_views:
            return logits.flatten()[:0].sum().float()
        one, other = logits.chunk(2)
        lengths = student.encoder_out_lens[: len(one)]
        return self.bound(cr_ctc)(one, other, lengths)
