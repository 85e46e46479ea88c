"""Distillation through CTC posteriors, frame by frame."""

from torch import Tensor

from espnet_kd.alignment.frames import at_student_frames
from espnet_kd.errors import ArgumentCheck
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.ctc_frames import check_selection, select_frames
from espnet_kd.losses.divergence import kl_positions
from espnet_kd.masking import REDUCTIONS, check_pair, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets

BRIDGES = ("spike", "mean")


def ctc_frame_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    frames: str = "all",
    context: int = 0,
    threshold: float = 0.1,
    blank_id: int = 0,
    temperature: float = 1.0,
    reduction: str = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of CTC posteriors over selected frames.

    .. math::
        \frac{\tau^2}{B} \sum_{b} w_b \sum_{t \in S_b} \mathrm{KL}(p_{bt} \,\|\, q_{bt})

    :math:`S_b` are all real frames [1]_ or the teacher's spikes with their neighbours
    [2]_ (see ``select_frames``). Blank leaves the frame axis, never the class axis.
    Spikes of teacher and student rarely fall on one frame; the neighbours forgive an
    offset. ``reduction: token`` divides by the number of selected frames instead of
    :math:`B`.

    Args:
        student_logits: (B, T, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: Real frames, (B,), 0 to T.
        frames: ``all``, ``nonblank``, ``threshold`` or ``trim``.
        context: Neighbours on either side of the selected frames.
        threshold: For ``frames: threshold``.
        blank_id: Index of blank.
        temperature: Softening :math:`\tau` > 0; 1 is right for CTC's sharp posteriors.
        reduction: ``batch`` (ESPnet's scale) or ``token``.
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance (``batch``) or per frame (``token``), float32 or
        wider. Without a selected frame it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Senior et al. Acoustic Modelling with CD-CTC-sMBR LSTM RNNs. 2015, section 6.
    .. [2] Hilmes et al. Analyzing the Importance of Blank for CTC-Based Knowledge
       Distillation. 2025, section 3. https://arxiv.org/abs/2506.01503
    """
    check_pair(student_logits, teacher_logits, lengths, "logits")
    keep = select_frames(
        teacher_logits.detach(),
        lengths,
        frames=frames,
        context=context,
        threshold=threshold,
        blank_id=blank_id,
    )
    values = kl_positions(student_logits, teacher_logits, keep, temperature)  # (N,)
    return reduce_positions(values, keep, reduction, weights)


class CTCLoss(DistillationLoss):
    """Common ground of the CTC losses: which head of the student, which frame rate.

    Args:
        head: Encoder layer (counted from 1, as in ``interctc_layer_idx``) of the
            student's intermediate CTC; None for its final one. The teacher's is final
            [1]_.
        bridge: How teacher frames of another rate are brought to the student's; see
            ``bridge_frames``.

    .. [1] Yoon et al. Inter-KD. 2022, section 2.2. https://arxiv.org/abs/2211.15075
    """

    def __init__(self, *, head: int | None = None, bridge: str = "spike") -> None:
        super().__init__()
        check = ArgumentCheck()
        if head is not None:
            check.at_least("head", head, 1)
        check.one_of("bridge", bridge, BRIDGES)
        check.done()
        self.head = head
        self.bridge = bridge

    def needs(self) -> Needs:
        """Both models' CTC logits."""
        return Needs(ctc=True, interctc=() if self.head is None else (self.head,))

    def student_logits(self, student: ModelOutputs) -> Tensor:
        """The chosen head's logits, (B, T, V), as wide as the longest utterance."""
        heads = {None: student.ctc_logits, **student.interctc_logits}
        logits = heads[self.head]
        return logits[:, : int(student.encoder_out_lens.max())]

    def teacher_logits(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """The teacher's logits at the student's frames, (B, T, V)."""
        return at_student_frames(
            teacher.ctc_logits,
            student_lens=student.encoder_out_lens,
            teacher_lens=teacher.encoder_out_lens,
            how=self.bridge,
            blank_id=student.blank_id,
        )


@LOSSES.register("ctc_frame_kl")
class CTCFrameKL(CTCLoss):
    """``ctc_frame_kl`` as a term, with the bridge between two frame rates."""

    def __init__(
        self,
        *,
        frames: str = "all",
        context: int = 0,
        threshold: float = 0.1,
        temperature: float = 1.0,
        reduction: str = "batch",
        head: int | None = None,
        bridge: str = "spike",
    ) -> None:
        check = ArgumentCheck()
        check.collect(super().__init__, head=head, bridge=bridge)
        check_selection(check, frames, context, threshold)
        check.positive("temperature", temperature)
        check.one_of("reduction", reduction, REDUCTIONS)
        check.done()
        self.options = {"frames": frames, "context": context, "threshold": threshold}
        self.options |= {"temperature": temperature, "reduction": reduction}

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_frame_kl``; the teacher's frames are bridged first."""
        return ctc_frame_kl(
            self.student_logits(student),
            self.teacher_logits(student, teacher),
            student.encoder_out_lens,
            blank_id=student.blank_id,
            weights=teacher.weights,
            **self.options,
        )
