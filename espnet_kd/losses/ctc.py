"""Distillation through CTC posteriors."""

import torch
import torch.nn.functional as F
from torch import Tensor

from espnet_kd.align import bridge_frames
from espnet_kd.errors import ArgumentCheck
from espnet_kd.losses.base import LOSSES, DistillationLoss, Needs
from espnet_kd.losses.logits import kl_rows
from espnet_kd.masking import (
    REDUCTIONS,
    check_pair,
    keep_rows,
    length_mask,
    reduce_positions,
)
from espnet_kd.targets import ModelOutputs, TeacherTargets

FRAMES = ("all", "nonblank")
BRIDGES = ("spike", "mean")


def select_frames(
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    frames: str = "all",
    context: int = 0,
    blank_id: int = 0,
) -> Tensor:
    """Choose the frames at which CTC posteriors are compared.

    Args:
        teacher_logits: (B, T, V).
        lengths: Real frames, (B,).
        frames: ``all``, or ``nonblank``: those where blank is not the teacher's best.
        context: With ``nonblank``, also this many frames on either side.
        blank_id: Index of blank.

    Returns:
        (B, T) bool, never true at padding.
    """
    real = length_mask(lengths, teacher_logits.shape[1])  # (B, T)
    if frames == "all" or not real.any():
        return real
    spikes = real & (teacher_logits.argmax(-1) != blank_id)
    if context:
        wide = F.max_pool1d(
            spikes[:, None].float(), 2 * context + 1, stride=1, padding=context
        )
        spikes = real & (wide[:, 0] > 0)
    return spikes


def ctc_frame_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    frames: str = "all",
    context: int = 0,
    blank_id: int = 0,
    temperature: float = 1.0,
    reduction: str = "batch",
) -> Tensor:
    r"""Forward KL divergence of CTC posteriors over selected frames.

    .. math::
        \frac{\tau^2}{B} \sum_{b} \sum_{t \in S_b} \mathrm{KL}(p_{bt} \,\|\, q_{bt})

    :math:`S_b` are all real frames [1]_, or those at which the teacher's best token is
    not blank, with ``context`` neighbours [2]_ [3]_. Blank leaves the frame axis,
    never the class axis. Spikes of teacher and student rarely fall on one frame; the
    neighbours forgive an offset. ``reduction: token`` divides by the number of
    selected frames instead of :math:`B`.

    Args:
        student_logits: (B, T, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: Real frames, (B,), 0 to T.
        frames: ``all`` or ``nonblank``.
        context: Neighbours on either side, with ``nonblank``.
        blank_id: Index of blank.
        temperature: Softening :math:`\tau` > 0; 1 is right for CTC's sharp posteriors.
        reduction: ``batch`` (ESPnet's scale) or ``token``.

    Returns:
        Scalar in nats per utterance (``batch``) or per frame (``token``), float32 or
        wider. Without a selected frame it is 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Senior et al. Acoustic Modelling with CD-CTC-sMBR LSTM RNNs. 2015, section 6.
    .. [2] Hilmes et al. On the Relevance of Clean Blank Frames. 2025, section 3.
       https://arxiv.org/abs/2506.01503
    .. [3] Kurata, Audhkhasi. Guiding CTC Posterior Spike Timings. 2019, section 3.
       https://arxiv.org/abs/1904.08311
    """
    check_pair(student_logits, teacher_logits, lengths, "logits")
    keep = select_frames(
        teacher_logits.detach(),
        lengths,
        frames=frames,
        context=context,
        blank_id=blank_id,
    )
    # Frames leave before the softmax: padding reaches nothing, blanks cost nothing.
    student, teacher = (keep_rows(z, keep) for z in (student_logits, teacher_logits))
    values = kl_rows(student, teacher, temperature)  # (N,)
    return reduce_positions(values, len(lengths), reduction)


@LOSSES.register("ctc_frame_kl")
class CTCFrameKL(DistillationLoss):
    """``ctc_frame_kl`` as a term, with the bridge between two frame rates."""

    def __init__(
        self,
        *,
        frames: str = "all",
        context: int = 0,
        temperature: float = 1.0,
        reduction: str = "batch",
        bridge: str = "spike",
    ) -> None:
        super().__init__()
        check = ArgumentCheck()
        check.one_of("frames", frames, FRAMES)
        check.count("context", context)
        if context and frames == "all":
            check.accept("context", "needs 'frames: nonblank'; 'all' keeps every frame")
        check.positive("temperature", temperature)
        check.one_of("reduction", reduction, REDUCTIONS)
        check.one_of("bridge", bridge, BRIDGES)
        check.done()
        self.options = {"frames": frames, "context": context}
        self.options |= {"temperature": temperature, "reduction": reduction}
        self.bridge = bridge

    def needs(self) -> Needs:
        """Both models' CTC logits."""
        return Needs(ctc=True)

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_frame_kl``; the teacher's frames are bridged first."""
        lengths = student.encoder_out_lens
        student_logits = student.ctc_logits[:, : int(lengths.max())]
        teacher_logits = teacher.ctc_logits
        if not torch.equal(teacher.encoder_out_lens, lengths):
            teacher_logits = bridge_frames(
                teacher_logits,
                teacher.encoder_out_lens,
                lengths,
                how=self.bridge,
                blank_id=student.blank_id,
            )
        return ctc_frame_kl(
            student_logits,
            teacher_logits[:, : student_logits.shape[1]],
            lengths,
            blank_id=student.blank_id,
            **self.options,
        )
