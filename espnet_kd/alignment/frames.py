"""A teacher's frames at the student's frame rate."""

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
    teacher_values: Tensor,
    *,
    student_lens: Tensor,
    teacher_lens: Tensor,
    how: str = "mean",
    blank_id: int = 0,
) -> Tensor:
    r"""Bring a teacher's frames to the student's frame rate.

    Utterances whose counts differ by one frame, or by at most four and a fifth, share a
    rate: frame :math:`i` is frame :math:`i`, the last repeated or dropped. Otherwise
    student frame :math:`i` of :math:`S` stands for the teacher's span

    .. math:: [\, i R, (i + 1) R \,), \quad R = T / S

    of the utterance's own counts, so that integer and non-integer ratios are one case.
    ``mean`` averages the frames that the span touches; ``spike`` takes the least blank
    of them, because an average would halve a CTC spike and picking by position would
    lose it. A teacher slower than the student has its frame repeated.

    Args:
        teacher_values: (B, T, C), hidden values, or logits for ``spike``; padding is
            arbitrary.
        student_lens: The student's real frames, (B,).
        teacher_lens: The teacher's real frames, (B,).
        how: ``mean`` or ``spike``.
        blank_id: CTC's blank, used by ``spike``.

    Returns:
        (B, max(student_lens), C) in the teacher's dtype; padding is 0.

    Raises:
        AlignmentError: If an utterance's counts differ by more than eightfold, one
            side is empty, or its ratio contradicts the rest of the batch.
    """
    check_frame_counts(student_lens=student_lens, teacher_lens=teacher_lens)
    first, last = _spans(student_lens, teacher_lens)  # (B, S) each
    if how == "spike":
        first = last = _least_blank(teacher_values, first, last, blank_id)
    return _span_mean(teacher_values, first, last, student_lens)


def at_student_frames(
    teacher_values: Tensor,
    *,
    student_lens: Tensor,
    teacher_lens: Tensor,
    how: str = "mean",
    blank_id: int = 0,
) -> Tensor:
    """Bring a teacher's frames to the student's if the counts differ, else leave them.

    Arguments and errors as in ``bridge_frames``.

    Returns:
        (B, max(student_lens), C); padding is arbitrary.
    """
    if torch.equal(student_lens, teacher_lens):
        return teacher_values[:, : int(student_lens.max())]
    return bridge_frames(
        teacher_values,
        student_lens=student_lens,
        teacher_lens=teacher_lens,
        how=how,
        blank_id=blank_id,
    )


def frames_of_spans(
    teacher_values: Tensor, *, student_lens: Tensor, teacher_lens: Tensor
) -> Tensor:
    """Every teacher frame that each student frame stands for, side by side.

    For what cannot be averaged, such as indices. Spans are those of ``bridge_frames``.

    Args:
        teacher_values: (B, T, C) integer, not negative; padding is arbitrary.
        student_lens: The student's real frames, (B,).
        teacher_lens: The teacher's real frames, (B,).

    Returns:
        (B, max(student_lens), R, C), R frames at most in a span; -1 where a span has
        fewer, and in all of a student frame that is padding.

    Raises:
        AlignmentError: As ``bridge_frames``.
    """
    check_frame_counts(student_lens=student_lens, teacher_lens=teacher_lens)
    first, last = _spans(student_lens, teacher_lens)  # (B, S) each
    real = length_mask(student_lens, first.shape[1])
    found = []
    for step in range(_steps(first, last)):
        inside = (real & (first + step <= last))[..., None]
        frame = _gather(teacher_values, torch.minimum(first + step, last))
        found.append(frame.where(inside, -torch.ones_like(frame)))
    nothing = teacher_values.new_full((*first.shape, teacher_values.shape[2]), -1)
    return torch.stack(found or [nothing], 2)


def compared_lens(student_lens: Tensor, teacher_lens: Tensor) -> Tensor:
    """Frames of each utterance that are of its audio for both models, (B,).

    ESPnet's subsampling gives an utterance that its batch pads up to two frames more than
    the same utterance alone. Where the two models have it in other company (a cache is
    written one by one), the frames that only padding made are compared with nothing: of
    two counts at one rate the smaller one is real. At two rates all student frames are.

    Args:
        student_lens: The student's frames, (B,).
        teacher_lens: The teacher's frames, (B,).
    """
    same = _share_rate(student_lens.long(), teacher_lens.long())
    return torch.where(same, torch.minimum(student_lens, teacher_lens), student_lens)


def describe_bridge(student_lens: Tensor, teacher_lens: Tensor) -> str:
    """Say in words what ``bridge_frames`` makes of these frames.

    Args:
        student_lens: The student's real frames, (B,).
        teacher_lens: The teacher's real frames, (B,).
    """
    student, teacher = int(student_lens.sum()), int(teacher_lens.sum())
    counts = f"{student:,} frames of the student's, {teacher:,} of the teacher's"
    if bool(_share_rate(student_lens.long(), teacher_lens.long()).all()):
        return f"{counts}: one rate, each frame is compared with its own"
    if teacher > student:
        ratio = teacher / max(student, 1)
        return f"{counts}: a frame of the student's stands for {ratio:.2f} of the teacher's"
    ratio = student / max(teacher, 1)
    return f"{counts}: each of the teacher's is repeated {ratio:.2f} times"


def check_frame_counts(*, student_lens: Tensor, teacher_lens: Tensor) -> None:
    """Refuse frame counts that cannot come from the same audio.

    Args:
        student_lens: The student's real frames, (B,).
        teacher_lens: The teacher's real frames, (B,).

    Raises:
        AlignmentError: Naming the first utterance (by its place in the batch) that
            does not fit, with both counts.
    """
    pairs = list(zip(student_lens.tolist(), teacher_lens.tolist(), strict=True))
    ratio = sum(t for _, t in pairs) / max(sum(s for s, _ in pairs), 1)
    for index, (student, teacher) in enumerate(pairs):
        if not _is_bridgeable(student, teacher, ratio):
            raise AlignmentError(
                f"utterance {index} of the batch has {student} student frames and "
                f"{teacher} teacher frames, while the batch's ratio of teacher to "
                f"student frames is {ratio:.3g}; these cannot be bridged. Do both models "
                "read the same audio, at the same sampling rate, with frame rates "
                f"within a factor of {MAX_RATIO}?"
            )


def _is_bridgeable(student: int, teacher: int, ratio: float) -> bool:
    if min(student, teacher) == 0:
        return student == teacher
    if abs(student - teacher) <= SLACK:
        return True
    expected = student * ratio
    allowed = SLACK + max(1.0, ratio) + 0.1 * expected
    return abs(teacher - expected) <= allowed and _is_near(teacher / student)


def _is_near(ratio: float) -> bool:
    return abs(math.log(ratio)) <= math.log(MAX_RATIO) + 1e-9


def _spans(student_lens: Tensor, teacher_lens: Tensor) -> tuple[Tensor, Tensor]:
    """First and last teacher frame of each student frame, (B, S) each, in integers."""
    width = int(student_lens.max()) if student_lens.numel() else 0
    index = torch.arange(width, device=student_lens.device)[None, :]  # (1, S)
    student, teacher = student_lens[:, None].long(), teacher_lens[:, None].long()
    # i R = i T / S, in integers: rounding of a float could move a span by a frame.
    spread = student.clamp(min=1)
    first = index * teacher // spread
    # The last frame that the span touches: ceil((i + 1) R) - 1.
    last = -(-(index + 1) * teacher // spread) - 1
    same = _share_rate(student, teacher)
    first = torch.where(same, index, first)
    last = torch.where(same, index, torch.maximum(last, first))
    end = (teacher - 1).clamp(min=0)
    return torch.minimum(first, end), torch.minimum(last, end)


def _share_rate(student: Tensor, teacher: Tensor) -> Tensor:
    """Whether two counts are of one rate: 12 and 16 frames are two rates, 8 and 10 one."""
    apart = (student - teacher).abs()
    # Subsampling by six and by eight, the nearest rates there are, is a quarter apart.
    close = 5 * apart <= torch.maximum(student, teacher)
    return (apart <= 1) | (close & (apart <= SLACK))


def _gather(teacher_values: Tensor, index: Tensor) -> Tensor:
    return teacher_values.gather(
        1, index[..., None].expand(-1, -1, teacher_values.shape[2])
    )


def _steps(first: Tensor, last: Tensor) -> int:
    return int((last - first).max()) + 1 if first.numel() else 0


def _least_blank(teacher_values: Tensor, first: Tensor, last: Tensor, blank: int) -> Tensor:
    """Index of the frame with the lowest blank probability in each span, (B, S)."""
    best = first
    blank_log_prob = teacher_values.float().log_softmax(-1)[..., blank]  # (B, T)
    lowest = blank_log_prob.gather(1, first)
    for step in range(1, _steps(first, last)):
        candidate = torch.minimum(first + step, last)
        value = blank_log_prob.gather(1, candidate)
        best = torch.where(value < lowest, candidate, best)
        lowest = torch.minimum(value, lowest)
    return best


def _span_mean(
    teacher_values: Tensor, first: Tensor, last: Tensor, student_lens: Tensor
) -> Tensor:
    dtype = torch.promote_types(teacher_values.dtype, torch.float32)
    total = teacher_values.new_zeros(*first.shape, teacher_values.shape[2], dtype=dtype)
    real = length_mask(student_lens, first.shape[1])
    for step in range(_steps(first, last)):
        inside = (real & (first + step <= last))[..., None]  # (B, S, 1)
        frame = _gather(teacher_values, torch.minimum(first + step, last))
        # where, not a product: 0 * nan from padding would be nan
        total = total + torch.where(inside, frame, torch.zeros_like(frame))
    count = (last - first + 1)[..., None]
    return (total / count).to(teacher_values.dtype)
