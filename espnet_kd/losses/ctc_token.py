"""CTC posteriors pooled per label, so that spikes on different frames compare."""

from torch import Tensor

from espnet_kd.alignment.ctc_lattice import label_occupancies
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.ctc import CTCLoss
from espnet_kd.losses.divergence import kl_probs, real_log_softmax
from espnet_kd.masking import Reduction, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given


def ctc_token_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    student_lens: Tensor,
    teacher_lens: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    *,
    blank_id: int = 0,
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of CTC posteriors pooled over each label's own frames.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_u \mathrm{KL}(\bar p_{bu} \,\|\, \bar q_{bu}), \quad
        \bar q_{bu} = \frac{\sum_t \gamma^S_{btu}\, q_{bt}}{\sum_t \gamma^S_{btu}}

    and :math:`\bar p` likewise with the teacher's occupancies :math:`\gamma^T` (see
    ``label_occupancies``). Where in time a label spikes does not enter, and neither do
    frame rates. The occupancies are held constant, as in the E-step of
    expectation-maximisation: no gradient moves them.

    Args:
        student_logits: (B, T, V) before the softmax, any float dtype.
        teacher_logits: (B, T', V). Receives no gradient.
        student_lens: Student's real frames, (B,).
        teacher_lens: Teacher's real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.
        reduction: ``batch`` (divide by B) or ``token`` (by the labels compared).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance or label, float32 or wider. An utterance with fewer
        frames than its transcript takes on either side drops out; without a label left
        it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes do not fit.

    Source: occupancies of Graves et al. 2006, section 4.1; pooling per label as in
    segment-level distillation of Yoon et al. TutorNet. 2020, section 3 (by softmax
    weights there). https://arxiv.org/abs/2008.00671
    """
    _check(student_logits, teacher_logits, ys_pad, ys_lens)
    student, on_student = _pooled(student_logits, student_lens, ys_pad, ys_lens, blank_id)
    teacher, on_teacher = _pooled(
        teacher_logits.detach(), teacher_lens, ys_pad, ys_lens, blank_id
    )
    keep = on_student & on_teacher  # (B, U)
    student, teacher = student[keep], teacher[keep].to(student.dtype)  # (N, V)
    return reduce_positions(kl_probs(student, teacher), keep, reduction, weights)


def _pooled(
    logits: Tensor, lengths: Tensor, ys_pad: Tensor, ys_lens: Tensor, blank_id: int
) -> tuple[Tensor, Tensor]:
    """Mean posterior of each label, (B, U, V), and where there is one, (B, U) bool."""
    real = length_mask(lengths, logits.shape[1])
    log_probs = real_log_softmax(logits, real)  # (B, T, V)
    gamma = label_occupancies(log_probs.detach(), lengths, ys_pad, ys_lens, blank_id)
    mass = gamma.sum(1)[..., None]  # (B, U, 1)
    share = (gamma.transpose(1, 2) / mass.clamp_min(1e-300)).to(log_probs.dtype)
    return share @ log_probs.exp(), mass[..., 0] > 0


def _check(student: Tensor, teacher: Tensor, ys_pad: Tensor, ys_lens: Tensor) -> None:
    same = student.dim() == teacher.dim() == 3
    if not same or student.shape[::2] != teacher.shape[::2]:
        raise ValueError(
            f"student_logits {tuple(student.shape)} and teacher_logits "
            f"{tuple(teacher.shape)} must have three axes, the first and last the same"
        )
    if ys_pad.shape[:1] != ys_lens.shape or ys_lens.shape != student.shape[:1]:
        raise ValueError(
            f"ys_pad {tuple(ys_pad.shape)} and ys_lens {tuple(ys_lens.shape)} must "
            f"belong to {student.shape[0]} utterances"
        )


@LOSSES.register("ctc_token_kl")
class CTCTokenKL(CTCLoss, measure=ctc_token_kl):
    """``ctc_token_kl`` as a term."""

    def needs(self) -> Needs:
        """Both models' CTC logits, and the transcript."""
        return Needs(ctc=True, interctc=self.heads, labels=True)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_token_kl``."""
        return self.bound(ctc_token_kl)(
            self.student_logits(student),
            given(teacher.ctc_logits, "ctc_logits"),
            student.encoder_out_lens,
            teacher.encoder_out_lens,
            given(student.ys_pad, "ys_pad"),
            given(student.ys_lens, "ys_lens"),
            blank_id=student.blank_id,
            weights=teacher.weights,
        )
