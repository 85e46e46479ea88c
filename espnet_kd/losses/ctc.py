"""Distillation through CTC posteriors, frame by frame."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from espnet_kd.alignment.frames import at_student_frames, compared_lens
from espnet_kd.config.check import Check
from espnet_kd.config.options import Count, Ordinal, Positive, Share
from espnet_kd.losses.base import LOSSES, Needs
from espnet_kd.losses.ctc_frames import Frames, select_frames
from espnet_kd.losses.divergence import kl_positions
from espnet_kd.losses.measured import MeasuredLoss
from espnet_kd.masking import Reduction, check_pair, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets, given


def ctc_frame_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    frames: Frames = "all",
    context: Count = 0,
    threshold: Share = 0.1,
    blank_id: int = 0,
    temperature: Positive = 1.0,
    reduction: Reduction = "batch",
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


@dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Which of the student's CTC heads learns.

    Attributes:
        head: Encoder layer (counted from 1, as in ``interctc_layer_idx``) of the
            student's intermediate CTC; None for its final one. The teacher's is final
            [1]_.

    .. [1] Yoon et al. Inter-KD. 2022, section 2.2. https://arxiv.org/abs/2211.15075
    """

    head: Ordinal | None = None


@dataclass(frozen=True, kw_only=True)
class FrameOptions(HeadOptions):
    """Which head learns and what of the teacher, where frames are compared one by one.

    Attributes:
        bridge: How teacher frames of another rate are brought to the student's; see
            ``bridge_frames``.
    """

    bridge: Literal["spike", "mean"] = "spike"


class CTCLoss(MeasuredLoss, own=HeadOptions):
    """Common ground of the CTC losses: which head of the student."""

    own: HeadOptions

    @property
    def heads(self) -> tuple[int, ...]:
        """The student's intermediate heads that are read: one or none."""
        return () if self.own.head is None else (self.own.head,)

    def needs(self) -> Needs:
        """Both models' CTC logits."""
        return Needs(ctc=True, interctc=self.heads)

    def student_logits(self, student: ModelOutputs) -> Tensor:
        """The chosen head's logits, (B, T, V), as wide as the longest utterance."""
        if self.own.head is None:
            logits = given(student.ctc_logits, "ctc_logits")
        else:
            logits = student.interctc_logits[self.own.head]
        return logits[:, : int(student.encoder_out_lens.max())]


class CTCFrameLoss(CTCLoss, own=FrameOptions):
    """Common ground of the CTC losses between frames: the bridge between two rates."""

    own: FrameOptions

    def teacher_logits(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """The teacher's logits at the student's frames, (B, T, V)."""
        return at_student_frames(
            given(teacher.ctc_logits, "ctc_logits"),
            student_lens=student.encoder_out_lens,
            teacher_lens=teacher.encoder_out_lens,
            how=self.own.bridge,
            blank_id=student.blank_id,
        )

    def lengths(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """Frames that are of the audio for both models, (B,)."""
        return compared_lens(student.encoder_out_lens, teacher.encoder_out_lens)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """The measure of both models' frames; the teacher's are bridged first."""
        return self.bound(self.function)(
            self.student_logits(student),
            self.teacher_logits(student, teacher),
            self.lengths(student, teacher),
            blank_id=student.blank_id,
            weights=teacher.weights,
        )


@LOSSES.register("ctc_frame_kl")
class CTCFrameKL(CTCFrameLoss, measure=ctc_frame_kl):
    """``ctc_frame_kl`` as a term, with the bridge between two frame rates."""

    same_frame = True

    def needs(self) -> Needs:
        """Both models' CTC logits, compared at a temperature."""
        return Needs(ctc=(self.options["temperature"],), interctc=self.heads)

    def check_together(self, check: Check) -> None:
        """Neighbours and a threshold need frames to be chosen by them."""
        frames = self.options["frames"]
        if "threshold" in self.said and frames != "threshold":
            text = f"is read with 'frames: threshold', and it is '{frames}'; remove it"
            check.add("threshold", text)
        if self.options["context"] and self.options["frames"] == "all":
            check.add("context", "needs 'frames: nonblank'; 'all' keeps every frame")
