"""CTC posteriors compared at the frame shift that suits best, for delayed students."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from espnet_kd.config.check import Check
from espnet_kd.config.options import Count
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.ctc import CTCFrameLoss
from espnet_kd.losses.divergence import real_log_softmax
from espnet_kd.masking import Reduction, check_pair, length_mask, reduce_positions
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets


def _not_positive(check: Check, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value > 0:
        check.add(name, f"must be 0 or a negative whole number, got {value!r}")


def ctc_shift_kl(
    student_logits: Tensor,
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    min_shift: Annotated[int, _not_positive] = 0,
    max_shift: Count = 2,
    per: Literal["frame", "utterance"] = "frame",
    reduction: Reduction = "batch",
    weights: Tensor | None = None,
) -> Tensor:
    r"""Forward KL divergence of CTC posteriors, minimised over a window of shifts.

    .. math::
        \frac{1}{B} \sum_b w_b \sum_t \min_{d}
            \mathrm{KL}(p_{bt} \,\|\, q_{b,t+d}), \quad d_{\min} \le d \le d_{\max}

    A streaming student that has not heard the future must spike later than its offline
    teacher; d > 0 lets it [1]_. ``per: utterance`` takes one shift for all frames of an
    utterance, the one of the least mean divergence over the frames that overlap, times
    their number without a shift. The gradient is that of the chosen shift.

    Args:
        student_logits: (B, T, V) before the softmax, any float dtype.
        teacher_logits: Same shape. Receives no gradient.
        lengths: Real frames, (B,), 0 to T.
        min_shift: First shift, 0 or negative.
        max_shift: Last shift, 0 or positive, in frames.
        per: ``frame`` or ``utterance``.
        reduction: ``batch`` (divide by B) or ``token`` (by the frames).
        weights: Factor :math:`w_b` of each utterance, (B,); None for 1.

    Returns:
        Scalar in nats per utterance or frame, float32 or wider, 0 for equal logits;
        without a real frame 0, still attached to the graph.

    Raises:
        ValueError: If shapes or lengths do not fit.

    .. [1] Delayed-KD. 2025, section 2. https://arxiv.org/abs/2505.22069
    """
    check_pair(student_logits, teacher_logits, lengths, "logits")
    real = length_mask(lengths, student_logits.shape[1])  # (B, T)
    student, teacher = (
        real_log_softmax(z, real)
        for z in (student_logits, teacher_logits.detach().to(student_logits.dtype))
    )
    shifts = range(min_shift, max_shift + 1)
    values = torch.stack([_shifted(student, teacher, lengths, d) for d in shifts])
    if per == "utterance":
        values = _of_best_shift(values, real)
    return reduce_positions(values.amin(0)[real], real, reduction, weights)


def _shifted(student: Tensor, teacher: Tensor, lengths: Tensor, shift: int) -> Tensor:
    """Divergence of each frame at one shift, (B, T); inf where it leaves the audio."""
    width = student.shape[1]
    index = torch.arange(width, device=lengths.device) + shift
    inside = (index >= 0) & (index < lengths[:, None])  # (B, T)
    moved = student[:, index.clamp(0, width - 1)]
    values = (teacher.exp() * (teacher - moved)).sum(-1)
    return values.masked_fill(~inside, float("inf"))


def _of_best_shift(values: Tensor, real: Tensor) -> Tensor:
    """One shift for all frames of an utterance, (1, B, T), scaled to its length."""
    overlap = values.isfinite() & real  # (D, B, T)
    kept = values.masked_fill(~overlap, 0.0)
    count = overlap.sum(-1)  # (D, B)
    mean = kept.sum(-1) / count.clamp(min=1)
    best = mean.masked_fill(count == 0, float("inf")).argmin(0)  # (B,)
    chosen = kept[best, torch.arange(len(best), device=best.device)]  # (B, T)
    kept_frames = count.gather(0, best[None])[0].clamp(min=1)
    scale = real.sum(-1).to(values.dtype) / kept_frames
    return (chosen * scale[:, None])[None]


@LOSSES.register("ctc_shift_kl")
class CTCShiftKL(CTCFrameLoss, measure=ctc_shift_kl):
    """``ctc_shift_kl`` as a term."""

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_shift_kl``; the teacher's frames are bridged first."""
        return self.bound(ctc_shift_kl)(
            self.student_logits(student),
            self.teacher_logits(student, teacher),
            self.lengths(student, teacher),
            weights=teacher.weights,
        )
