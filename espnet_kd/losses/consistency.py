"""Consistency of a student with itself, by two passes that each teach the other.

Two views of the same audio are the control that needs no teacher; two modes, in blocks and
in full context, make a streaming student's own full-context pass its second teacher.
"""

from torch import Tensor

from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.ctc import CTCLoss
from espnet_kd.losses.divergence import kl_positions
from espnet_kd.losses.measured import MeasuredLoss
from espnet_kd.masking import Reduction, check_pair, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given


def cr_ctc(
    logits: Tensor,
    other_logits: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
) -> Tensor:
    r"""Consistency of the CTC posteriors of two passes, each teaching the other.

    .. math::
        \frac{1}{2B} \sum_b \sum_t
            \mathrm{KL}(\mathrm{sg}(z^b_{bt}) \,\|\, z^a_{bt})
            + \mathrm{KL}(\mathrm{sg}(z^a_{bt}) \,\|\, z^b_{bt})

    Args:
        logits: (B, T, V) before the softmax of the one pass, any float dtype.
        other_logits: Same shape, of the other pass.
        lengths: Real frames, (B,).
        reduction: ``batch`` (divide by B) or ``token`` (by the real frames).

    Returns:
        Scalar in nats per utterance or frame, float32 or wider, 0 for equal passes; 0 and
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


def mode_consistency(
    logits: Tensor,
    other_logits: Tensor,
    lengths: Tensor,
    *,
    reduction: Reduction = "batch",
) -> Tensor:
    """Consistency of a streaming student's blocks with its full context: see ``cr_ctc``.

    Each mode is drawn to the other, which is held still meanwhile; one-way from full
    context to blocks was far worse [1]_. Arguments, value and errors as of ``cr_ctc``.

    .. [1] Andrusenko et al. Reducing the Offline-Streaming Gap for Unified ASR Transducer
       with Consistency Regularization (MCR-RNNT). 2026. https://arxiv.org/abs/2604.19079
    """
    return cr_ctc(logits, other_logits, lengths, reduction=reduction)


def transducer_mode_consistency(
    logits: Tensor,
    other_logits: Tensor,
    frame_lens: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    *,
    blank_id: int = 0,
    reduction: Reduction = "token",
) -> Tensor:
    r"""Consistency of {next label, blank, all the rest} over two passes' lattices.

    .. math::
        \frac{1}{2N} \sum_b \sum_{t, u}
            \mathrm{KL}(\mathrm{sg}(z^b_{btu}) \,\|\, z^a_{btu})
            + \mathrm{KL}(\mathrm{sg}(z^a_{btu}) \,\|\, z^b_{btu})

    Args:
        logits: Joint output of the one pass, (B, T, U+1, V), before the softmax, any float
            dtype.
        other_logits: Same shape, of the other pass.
        frame_lens: Real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.
        reduction: ``token`` (N: the nodes) or ``batch`` (N: the utterances).

    Returns:
        Scalar in nats per node or utterance, float32 or wider, 0 for equal passes; 0 and
        attached without a node.

    Raises:
        ValueError: If the two are of different shapes.

    Source: Andrusenko et al. MCR-RNNT. 2026. https://arxiv.org/abs/2604.19079
    """
    if logits.shape != other_logits.shape or logits.dim() != 4:
        raise ValueError(
            f"logits {tuple(logits.shape)} and other_logits {tuple(other_logits.shape)} "
            "must have one shape (B, T, U+1, V)"
        )
    mask = node_mask(frame_lens, ys_lens, *logits.shape[1:3])
    labels = next_labels(ys_pad, ys_lens, logits.shape[2])
    one, other = (collapse(z, mask, labels, blank_id) for z in (logits, other_logits))
    there = (other.detach().exp() * (other.detach() - one)).sum(-1)
    back = (one.detach().exp() * (one.detach() - other)).sum(-1)
    return reduce_positions((there + back) / 2, mask, reduction)


class ConsistentCTC(CTCLoss):
    """Common ground of the CTC losses between two passes of the student."""

    per_utterance = False

    def forward(self, student: ModelOutputs, teacher: TeacherTargets | None) -> Tensor:
        """The measure of both passes; without a second one, in evaluation, 0."""
        logits = self.student_logits(student)
        if not student.doubled:
            return logits.flatten()[:0].sum().float()
        one, other = logits.chunk(2)
        lengths = student.encoder_out_lens[: len(one)]
        return self.bound(self.function)(one, other, lengths)


@LOSSES.register("cr_ctc")
class CRCTC(ConsistentCTC, measure=cr_ctc):
    """``cr_ctc`` as a term: the student sees each batch twice in one pass.

    Its own losses are then means over both views, as in the paper, and both views share
    one time warp. In evaluation there is one view, and the value is 0.
    """

    def needs(self) -> Needs:
        """The student's CTC logits of two views; no teacher."""
        return Needs(ctc=True, interctc=self.heads, two_views=True, teacher=False)


@LOSSES.register("mode_consistency")
class ModeConsistency(ConsistentCTC, measure=mode_consistency):
    """``mode_consistency`` as a term: the student hears each batch in both its modes.

    The same features by the same weights, in one pass; its own losses are means over both,
    so that the transcripts train its full context as well [1]_. In evaluation there is the
    student's own mode, and the value is 0.

    .. [1] Yu et al. Dual-mode ASR. 2020, section 3. https://arxiv.org/abs/2010.06030
    """

    def needs(self) -> Needs:
        """The student's CTC logits of two modes; no teacher."""
        return Needs(ctc=True, interctc=self.heads, two_modes=True, teacher=False)


@LOSSES.register("transducer_mode_consistency")
class TransducerModeConsistency(MeasuredLoss, measure=transducer_mode_consistency):
    """``transducer_mode_consistency`` as a term, as ``mode_consistency`` is of CTC."""

    per_utterance = False

    def needs(self) -> Needs:
        """The student's lattice of two modes, and the transcript; no teacher."""
        return Needs(joint=("classes",), labels=True, two_modes=True, teacher=False)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets | None) -> Tensor:
        """See ``transducer_mode_consistency``; without a second pass, in evaluation, 0."""
        lattice = given(student.joint_logits, "joint_logits")
        if not student.doubled:
            return lattice.flatten()[:0].sum().float()
        one, other = lattice.chunk(2)
        return self.bound(transducer_mode_consistency)(
            one,
            other,
            student.encoder_out_lens[: len(one)],
            given(student.ys_pad, "ys_pad")[: len(one)],
            given(student.ys_lens, "ys_lens")[: len(one)],
            blank_id=student.blank_id,
        )
