"""CTC posteriors compared at the frame shift that suits best, for delayed students."""

from dataclasses import dataclass
from math import inf
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from espnet_kd.config.check import Check
from espnet_kd.config.options import Count, NotNegative, Positive
from espnet_kd.errors import KDError
from espnet_kd.losses.base import LOSSES
from espnet_kd.losses.ctc import CTCFrameLoss, FrameOptions
from espnet_kd.losses.divergence import real_log_softmax
from espnet_kd.masking import Reduction, check_pair, length_mask, reduce_positions
from espnet_kd.model.frame_shift import frame_shift
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets

# Part of a frame by which milliseconds may fall short of it: they are divided in floats.
ROUNDING = 1e-6


def _not_positive(check: Check, name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value > 0:
        check.add(name, f"must be 0 or a negative whole number, got {value!r}")


def _not_later(check: Check, name: str, value: object) -> None:
    given = not isinstance(value, bool)
    number = value if given and isinstance(value, int | float) else inf
    if not -inf < number <= 0:
        check.add(name, f"must be 0 or a negative number of milliseconds, got {value!r}")


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


@dataclass(frozen=True, kw_only=True)
class ShiftOptions(FrameOptions):
    """A window in milliseconds, in place of frames.

    Attributes:
        min_shift_ms: Stands for ``min_shift``, 0 or negative.
        max_shift_ms: Stands for ``max_shift``, 0 or positive; 100 at frames of 40 is 2.
        frame_shift_ms: From one frame of the student's encoder to the next; needed where
            its front end does not tell.
    """

    min_shift_ms: Annotated[float, _not_later] | None = None
    max_shift_ms: NotNegative | None = None
    frame_shift_ms: Positive | None = None


@LOSSES.register("ctc_shift_kl")
class CTCShiftKL(CTCFrameLoss, measure=ctc_shift_kl, own=ShiftOptions):
    """``ctc_shift_kl`` as a term, its window in frames or in milliseconds."""

    own: ShiftOptions
    length = 0.0  # of one of the student's frames, in ms

    @property
    def in_ms(self) -> dict[str, float]:
        """The ends of the window that are given in milliseconds."""
        ends = {"min_shift": self.own.min_shift_ms, "max_shift": self.own.max_shift_ms}
        return {name: ms for name, ms in ends.items() if ms is not None}

    @property
    def same_frame(self) -> bool:
        """Whether the window has no room for a delay."""
        late = self.own.max_shift_ms
        return not (self.options["max_shift"] if late is None else late)

    def check_together(self, check: Check) -> None:
        """Each end of the window is in frames or in milliseconds."""
        for name in self.in_ms.keys() & self.said:
            check.add(name, f"is given, and '{name}_ms' as well; remove one of them")
        if self.own.frame_shift_ms is not None and not self.in_ms:
            text = "is read with 'max_shift_ms' or 'min_shift_ms', and neither is given"
            check.add("frame_shift_ms", f"{text}; remove it")

    def meet(self, student: nn.Module) -> None:
        """Count the window in the student's frames.

        Raises:
            KDError: If the length of a frame is not known, or the window has less.
        """
        if not self.in_ms:
            return
        length = self.own.frame_shift_ms or frame_shift(student)
        if length is None:
            raise KDError(
                "ctc_shift_kl counts its window in milliseconds, and the student does not "
                "tell how long its frames are (it takes features, or has a front end of "
                "its own kind); give 'frame_shift_ms', the features' step times the "
                "encoder's subsampling (10 ms and conv2d: 40), or the window in frames, "
                "by 'max_shift'"
            )
        for name, ms in self.in_ms.items():
            frames = int(abs(ms) / length + ROUNDING)
            if ms and not frames:
                raise KDError(
                    f"ctc_shift_kl: '{name}_ms: {ms:g}' is less than one of the student's "
                    f"frames, which are {length:g} ms apart; give {length:g} or more, or 0"
                )
            self.options[name] = frames if ms > 0 else -frames
        self.length, self.said = length, self.said | self.in_ms.keys()

    def describe(self) -> list[str]:
        """The window in frames, if it was given in milliseconds."""
        counts = (f"{name} {self.options[name]}" for name in self.in_ms)
        told = f"{', '.join(counts)}, in the student's frames of"
        return [f"{told} {self.length:g} ms"] if self.in_ms else []

    def forward(self, student: ModelOutputs, teacher: TeacherTargets) -> Tensor:
        """See ``ctc_shift_kl``; the teacher's frames are bridged first."""
        return self.bound(ctc_shift_kl)(
            self.student_logits(student),
            self.teacher_logits(student, teacher),
            self.lengths(student, teacher),
            weights=teacher.weights,
        )
