"""Lay what a teacher says onto the student's frames."""

import math

import torch
from torch import Tensor

from espnet_kd.errors import AlignmentError
from espnet_kd.masking import length_mask

# Beyond this, a student frame would stand for half a word of the teacher's.
MAX_RATIO = 8
# Frames that two front ends of one rate may differ by (edges, rounding). ESPnet's
# subsampling by four gives an utterance that its batch pads up to two frames more than
# the same utterance alone, as a cache and a decoder hear it; one by one, up to four.
SLACK = 4


def bridge_frames(
    teacher: Tensor,
    teacher_lens: Tensor,
    student_lens: Tensor,
    *,
    how: str = "mean",
    blank_id: int = 0,
) -> Tensor:
    """Bring a teacher's frames to the student's frame rate.

    Utterances whose counts differ by one frame, or by at most four and a fifth, share a
    rate: frame ``i`` is frame ``i``, the last repeated or dropped. Otherwise student
    frame ``i`` of ``S`` stands for the teacher's span ``[i R, (i + 1) R)``,
    ``R = T / S`` (of the utterance, so integer and non-integer ratios are one case).
    ``mean`` averages the frames that the span touches; ``spike`` takes the least blank
    of them, because an average would halve a CTC spike and picking by position would
    lose it. A teacher slower than the student has its frame repeated.

    Args:
        teacher: (B, T, C), hidden values, or logits for ``spike``.
        teacher_lens: Teacher's real frames, (B,).
        student_lens: Student's real frames, (B,).
        how: ``mean`` or ``spike``.
        blank_id: CTC's blank, used by ``spike``.

    Returns:
        (B, max(student_lens), C) in the teacher's dtype; padding is 0.

    Raises:
        AlignmentError: If an utterance's counts differ by more than eightfold, one
            side is empty, or its ratio contradicts the rest of the batch.
    """
    check_frame_counts(teacher_lens, student_lens)
    first, last = _spans(teacher_lens, student_lens)  # (B, S) each
    if how == "spike":
        first = last = _least_blank(teacher, first, last, blank_id)
    return _span_mean(teacher, first, last, student_lens)


def at_student_frames(
    teacher: Tensor, teacher_lens: Tensor, student_lens: Tensor, **how: str | int
) -> Tensor:
    """A teacher's frames at the student's: as they are if the counts agree, else bridged.

    Args:
        teacher: (B, T, C).
        teacher_lens: Teacher's real frames, (B,).
        student_lens: Student's real frames, (B,).
        how: ``how`` and ``blank_id`` of ``bridge_frames``.

    Returns:
        (B, max(student_lens), C); padding is arbitrary.

    Raises:
        AlignmentError: As ``bridge_frames``.
    """
    if torch.equal(teacher_lens, student_lens):
        return teacher[:, : int(student_lens.max())]
    return bridge_frames(teacher, teacher_lens, student_lens, **how)


def check_frame_counts(teacher_lens: Tensor, student_lens: Tensor) -> None:
    """Refuse frame counts that cannot come from the same audio.

    Raises:
        AlignmentError: Naming the first utterance (by its place in the batch) that
            does not fit, with both counts.
    """
    pairs = list(zip(teacher_lens.tolist(), student_lens.tolist(), strict=True))
    ratio = sum(t for t, _ in pairs) / max(sum(s for _, s in pairs), 1)
    for index, (frames, wanted) in enumerate(pairs):
        if not _is_bridgeable(frames, wanted, ratio):
            raise AlignmentError(
                f"utterance {index} of the batch has {frames} teacher frames and "
                f"{wanted} student frames, while the batch's ratio is {ratio:.3g}; "
                "these cannot be bridged. Do both models read the same audio, at the "
                f"same sampling rate, with frame rates within a factor of {MAX_RATIO}?"
            )


def _is_bridgeable(frames: int, wanted: int, ratio: float) -> bool:
    if abs(frames - wanted) <= SLACK and min(frames, wanted) > 0:
        return True
    if min(frames, wanted) == 0:
        return frames == wanted
    expected = wanted * ratio
    allowed = SLACK + max(1.0, ratio) + 0.1 * expected
    return abs(frames - expected) <= allowed and _is_near(frames / wanted)


def _is_near(ratio: float) -> bool:
    return abs(math.log(ratio)) <= math.log(MAX_RATIO) + 1e-9


def _spans(teacher_lens: Tensor, student_lens: Tensor) -> tuple[Tensor, Tensor]:
    """First and last teacher frame of each student frame, (B, S) each, in integers."""
    width = int(student_lens.max()) if student_lens.numel() else 0
    index = torch.arange(width, device=student_lens.device)[None, :]  # (1, S)
    frames, wanted = teacher_lens[:, None].long(), student_lens[:, None].long()
    spread = wanted.clamp(min=1)
    first = index * frames // spread
    # The last frame that the span touches: ceil((i + 1) R) - 1.
    last = -(-(index + 1) * frames // spread) - 1
    same = _share_rate(frames, wanted)
    first = torch.where(same, index, first)
    last = torch.where(same, index, torch.maximum(last, first))
    end = (frames - 1).clamp(min=0)
    return torch.minimum(first, end), torch.minimum(last, end)


def _share_rate(frames: Tensor, wanted: Tensor) -> Tensor:
    """Whether two counts are of one rate: 12 and 16 frames are two rates, 8 and 10 one."""
    apart = (frames - wanted).abs()
    # Subsampling by six and by eight, the nearest rates there are, is a quarter apart.
    close = 5 * apart <= torch.maximum(frames, wanted)
    return (apart <= 1) | (close & (apart <= SLACK))


def _gather(teacher: Tensor, index: Tensor) -> Tensor:
    return teacher.gather(1, index[..., None].expand(-1, -1, teacher.shape[2]))


def _steps(first: Tensor, last: Tensor) -> int:
    return int((last - first).max()) + 1 if first.numel() else 0


def _least_blank(teacher: Tensor, first: Tensor, last: Tensor, blank: int) -> Tensor:
    """Index of the frame with the lowest blank probability in each span, (B, S)."""
    best = first
    blank_log_prob = teacher.float().log_softmax(-1)[..., blank]  # (B, T)
    lowest = blank_log_prob.gather(1, first)
    for step in range(1, _steps(first, last)):
        candidate = torch.minimum(first + step, last)
        value = blank_log_prob.gather(1, candidate)
        best = torch.where(value < lowest, candidate, best)
        lowest = torch.minimum(value, lowest)
    return best


def _span_mean(
    teacher: Tensor, first: Tensor, last: Tensor, student_lens: Tensor
) -> Tensor:
    dtype = torch.promote_types(teacher.dtype, torch.float32)
    total = teacher.new_zeros(*first.shape, teacher.shape[2], dtype=dtype)
    real = length_mask(student_lens, first.shape[1])
    for step in range(_steps(first, last)):
        inside = (real & (first + step <= last))[..., None]  # (B, S, 1)
        frame = _gather(teacher, torch.minimum(first + step, last))
        # where, not a product: 0 * nan from padding would be nan
        total = total + torch.where(inside, frame, torch.zeros_like(frame))
    count = (last - first + 1)[..., None]
    return (total / count).to(teacher.dtype)
