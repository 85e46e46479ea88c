"""Lengths to masks, and reductions over what they keep: where padding is decided."""

from typing import Literal

import torch
from torch import Tensor

Reduction = Literal["batch", "token"]


def length_mask(lengths: Tensor, max_len: int) -> Tensor:
    """Mark the real positions of a padded batch.

    Args:
        lengths: Real positions of each row, (B,), integer, 0 to ``max_len``.
        max_len: Width of the padded axis.

    Returns:
        (B, max_len) bool, true at real positions, on the device of ``lengths``.
    """
    positions = torch.arange(max_len, device=lengths.device)
    return positions[None, :] < lengths[:, None]  # (B, max_len)


def keep_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Rows of (B, L, C) where the (B, L) mask is true, as (N, C).

    Their gradient goes back by rows: indexing by a mask would accumulate element by
    element, which at thousands of classes costs as much as the loss.
    """
    rows = mask.flatten().nonzero().squeeze(1)
    flat = values.flatten(0, 1)
    return flat if len(rows) == len(flat) else flat.index_select(0, rows)


def widened(values: Tensor) -> Tensor:
    """The values in float32, or as they are if that is wider already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def widened_if_real(values: Tensor) -> Tensor:
    """The same of whatever holds real numbers; indices, lengths and masks as they are."""
    return widened(values) if values.is_floating_point() else values


def check_pair(student: Tensor, teacher: Tensor, lengths: Tensor, what: str) -> None:
    """Require two (B, L, C) tensors of one shape and their lengths, or say what is off.

    Raises:
        ValueError: If shapes differ, are not three-dimensional, or lengths do not fit.
    """
    if student.shape != teacher.shape or student.dim() != 3:
        raise ValueError(
            f"student_{what} {tuple(student.shape)} and teacher_{what} "
            f"{tuple(teacher.shape)} must have one shape of three axes"
        )
    if lengths.shape != student.shape[:1]:
        raise ValueError(
            f"lengths must be ({student.shape[0]},), got {tuple(lengths.shape)}"
        )
    if lengths.numel() and int(lengths.max()) > student.shape[1]:
        raise ValueError(
            f"lengths reach {int(lengths.max())}, but {what} have only "
            f"{student.shape[1]} positions"
        )


def kept_pair(
    student: Tensor, teacher: Tensor, lengths: Tensor, what: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Both sides' real positions, (N, D) each in one dtype, and their (B, L) mask.

    Args:
        student: (B, L, D), widened to float32.
        teacher: Same shape; its gradient ends here.
        lengths: Real positions, (B,).
        what: Name of both in messages.

    Raises:
        ValueError: If shapes or lengths do not fit.
    """
    check_pair(student, teacher, lengths, what)
    mask = length_mask(lengths, student.shape[1])
    student = widened(keep_rows(student, mask))
    return student, keep_rows(teacher.detach(), mask).to(student.dtype), mask


def reduce_positions(
    values: Tensor, keep: Tensor, reduction: Reduction, weights: Tensor | None = None
) -> Tensor:
    """Reduce one value per kept position to a scalar that keeps its graph.

    ``batch`` divides the sum by the number of utterances: the scale of ESPnet's own
    CTC and attention losses. ``token`` divides it by the number of kept positions.

    Args:
        values: (N,) float32 or wider, one value per kept position, in their order.
        keep: The N kept positions, true, (B, ...) bool. An utterance that keeps
            nothing counts as one all the same.
        reduction: ``batch`` or ``token``.
        weights: Factor of each utterance, (B,); None counts each as it is.

    Returns:
        Scalar; exactly 0, with zero gradients, when no position was kept.
    """
    if weights is not None:
        rows = keep.flatten(1).nonzero()[:, 0]  # (N,) the utterance of each position
        values = values * weights.to(values.dtype)[rows]
    count = len(keep) if reduction == "batch" else values.numel()
    return values.sum() / max(count, 1)
