"""Spike timing: the student's CTC spikes are guided to the teacher's."""

from typing import Literal

from torch import Tensor

from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.ctc import CTCFrameLoss
from espnet_kd.losses.ctc_frames import select_frames
from espnet_kd.masking import Reduction, check_pair, keep_rows, reduce_positions, widened


def ctc_guided(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    form: Literal["cross_entropy", "probability"] = "cross_entropy",
    blank_id: int = 0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Ask for the teacher's best token where the teacher spikes.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_{t \in S_b} -\log q_{bt}(k_{bt})
        \quad\text{or}\quad
        \frac{1}{B} \sum_b w_b \sum_{t \in S_b} 1 - q_{bt}(k_{bt}),
        \quad k_{bt} = \arg\max p_{bt}

    :math:`S_b` are the frames where :math:`k_{bt}` is not blank. The second form is the
    paper's, shifted by a constant so that its best value is 0; its gradient fades where
    the student gives the token nothing, the first form's does not. The teacher's spikes
    are labels here, so the value is 0 when the student is certain of them, not when it
    equals a teacher in doubt.

    Args:
        student_logits: (B, T, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: Real frames, (B,), 0 to T.
        form: ``cross_entropy`` or ``probability``.
        blank_id: Index of blank.
        reduction: ``batch`` (divide by B) or ``token`` (by the number of spikes).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar, nats or probability per utterance or spike, float32 or wider, not
        negative. Without a spike it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    Source: Kurata, Audhkhasi. Guiding CTC Posterior Spike Timings. 2019, section 3.
    https://arxiv.org/abs/1904.08311
    """
    check_pair(student_logits, teacher_logits, lengths, "logits")
    teacher_logits = teacher_logits.detach()
    keep = select_frames(teacher_logits, lengths, frames="nonblank", blank_id=blank_id)
    best = keep_rows(teacher_logits, keep).argmax(-1, keepdim=True)  # (N, 1)
    student = widened(keep_rows(student_logits, keep))
    log_probs = student.log_softmax(-1).gather(1, best)[:, 0]  # (N,)
    values = -log_probs if form == "cross_entropy" else -log_probs.expm1()
    return reduce_positions(values, keep, reduction, weights)


@LOSSES.register("ctc_guided")
class CTCGuided(CTCFrameLoss, measure=ctc_guided):
    """``ctc_guided`` as a term."""

    same_frame = True
