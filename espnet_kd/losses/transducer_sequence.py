"""Distillation through a transducer's probability of the whole transcript."""

from typing import Literal

from torch import Tensor

from espnet_kd.alignment.transducer_lattice import collapsed_lattice
from espnet_kd.alignment.transducer_paths import total_log_prob
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.transducer import TransducerLoss
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given


def transducer_fullsum(
    student_logits: Tensor,
    teacher_log_probs: Tensor,
    frame_lens: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    *,
    distance: Literal["l1", "l2"] = "l1",
    blank_id: int = 0,
    weights: Tensor | None = None,
) -> Tensor:
    r"""Distance between both models' log-probabilities of the transcript.

    .. math::
        \frac{1}{B} \sum_b w_b\, \left| \log p(y_b \mid x_b) - \log q(y_b \mid x_b)
        \right|^k, \quad k = 1 \text{ (l1)}, 2 \text{ (l2)}

    each summed over all alignments, so that nothing but the transcript has to
    correspond: other frame rates, streaming students and poor teachers will do.

    Args:
        student_logits: Joint output, (B, T, U+1, V), before the softmax, any float dtype.
        teacher_log_probs: The teacher's log-probability of each transcript, (B,).
            Receives no gradient.
        frame_lens: Student's real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        distance: ``l1`` (nats) or ``l2`` (nats squared).
        blank_id: Index of blank.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar per utterance, float32 or wider, not negative, 0 for equal models;
        utterances without frames count 0.

    Raises:
        ValueError: If shapes do not fit.

    Source: Zeineldeen et al. Robust Knowledge Distillation from RNN-T Models with Noisy
    Training Labels Using Full-Sum Loss. 2023, section 3.
    https://arxiv.org/abs/2303.05958
    """
    if student_logits.dim() != 4 or teacher_log_probs.shape != student_logits.shape[:1]:
        raise ValueError(
            f"student_logits {tuple(student_logits.shape)} and teacher_log_probs "
            f"{tuple(teacher_log_probs.shape)} must be (B, T, U+1, V) and (B,)"
        )
    student = transcript_log_prob(student_logits, frame_lens, ys_pad, ys_lens, blank_id)
    teacher = teacher_log_probs.detach().to(student.dtype)
    gap = (teacher - student).masked_fill(frame_lens == 0, 0.0)
    values = gap.abs() if distance == "l1" else gap.square()
    values = values if weights is None else values * weights
    return values.sum() / max(len(values), 1) + student_logits.flatten()[:0].sum()


def transcript_log_prob(
    logits: Tensor, frame_lens: Tensor, ys_pad: Tensor, ys_lens: Tensor, blank_id: int = 0
) -> Tensor:
    """Log-probability of each transcript from the joint output, (B,), with gradient."""
    classes = collapsed_lattice(logits, frame_lens, ys_pad, ys_lens, blank_id)
    return total_log_prob(classes, frame_lens, ys_lens)


@LOSSES.register("transducer_fullsum")
class TransducerFullsum(TransducerLoss, measure=transducer_fullsum):
    """``transducer_fullsum`` as a term."""

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``transducer_fullsum``."""
        classes = given(teacher.joint_classes, "joint_classes")
        ys_lens = given(student.ys_lens, "ys_lens")
        return self.bound(transducer_fullsum)(
            given(student.joint_logits, "joint_logits"),
            total_log_prob(classes, teacher.encoder_out_lens, ys_lens),
            student.encoder_out_lens,
            given(student.ys_pad, "ys_pad"),
            ys_lens,
            blank_id=student.blank_id,
            weights=teacher.weights,
        )
