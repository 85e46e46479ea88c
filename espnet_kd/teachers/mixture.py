"""What several teachers say of one part, as one posterior."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from espnet_kd.alignment.frames import at_student_frames
from espnet_kd.losses.confidence import confidence
from espnet_kd.masking import widened
from espnet_kd.model.outputs import TeacherTargets
from espnet_kd.model.table import Row


def mixed(
    answers: Sequence[TeacherTargets],
    row: Row,
    weights: Sequence[float],
    how: str,
    here: Tensor | None = None,
) -> Tensor:
    """Log-probabilities of a part, (B, L, V), at the frames of the first answer.

    Args:
        answers: Of I teachers that all give the part.
        row: The part.
        weights: Of each teacher, positive; only their ratios count.
        how: ``mean``, ``log_mean`` or ``confidence``.
        here: Utterances of which each of them says something, (B,); None for all. Of the
            others whatever comes is read by nobody.
    """
    if here is not None:
        answers = [
            replace(one, encoder_out_lens=one.encoder_out_lens * here) for one in answers
        ]
    frames = answers[0].encoder_out_lens
    log_probs = torch.stack([_log_probs(targets, row, frames) for targets in answers])
    shares = _shares(answers, weights, how)[..., None, None].to(log_probs.dtype)
    if how == "log_mean":
        return (shares * log_probs).sum(0).log_softmax(-1)
    return (shares.log() + log_probs).logsumexp(0)


def _shares(
    answers: Sequence[TeacherTargets], weights: Sequence[float], how: str
) -> Tensor:
    """Weight of each teacher in each utterance, (I, B), 1 in sum."""
    lens = answers[0].encoder_out_lens
    column = torch.tensor(weights, dtype=torch.float64, device=lens.device)[:, None]
    shares = column.expand(-1, len(lens))
    if how == "confidence":
        shares = shares * torch.stack([confidence(targets) for targets in answers])
    return shares / shares.sum(0)


def _log_probs(targets: TeacherTargets, row: Row, frames: Tensor) -> Tensor:
    """A teacher's log-posteriors, at the frames of the first one that has the part."""
    logits: Tensor = getattr(targets, row.field)
    if row.by_frame:
        logits = at_student_frames(
            logits,
            student_lens=frames,
            teacher_lens=targets.encoder_out_lens,
            how="spike",
            blank_id=targets.blank_id,
        )
    return widened(logits).log_softmax(-1)


def nobody_has(row: Row) -> str:
    """What to say of a part that none of several teachers gives."""
    if row.lasting:
        return f"none of the teachers has {row.name} posteriors"
    return (
        "none of the teachers follows the student's own words, which 'prefix: student' "
        "asks for; let one with an attention decoder be live, or use 'prefix: transcript'"
    )


def nobody_keeps(row: Row) -> str:
    """What to say of a part that in the end none of them gives."""
    return (
        f"the share of every teacher with {row.name} posteriors falls to 0 by its "
        "'schedule', so that a loss on them would have no target; let one of them stay"
    )
