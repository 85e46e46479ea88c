"""The best CTC alignment of a transcript: the frames at which each of its labels stands."""

import torch
from torch import Tensor

from espnet_kd.alignment.ctc_lattice import (
    BLOCKED,
    emissions,
    forward_scores,
    skips_of,
    states_of,
)
from espnet_kd.masking import length_mask

NOWHERE = -1


@torch.no_grad()
def forced_alignment(
    log_probs: Tensor,
    lengths: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    blank_id: int = 0,
) -> tuple[Tensor, Tensor]:
    """First and last frame of each label on the most probable alignment, by Viterbi.

    Args:
        log_probs: (B, T, V) after the log-softmax; padding is arbitrary.
        lengths: Real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.

    Returns:
        First and last frame, (B, U) each; -1 at padding, and everywhere in an utterance
        with fewer frames than its transcript takes.

    Source: Graves et al. Connectionist Temporal Classification. 2006, section 4.1, with
    the maximum in place of the sum.
    """
    if not log_probs.shape[1]:
        nowhere = torch.full_like(ys_pad, NOWHERE, dtype=torch.long)
        return nowhere, nowhere.clone()
    states, count = states_of(ys_pad, ys_lens, blank_id)
    emitted = emissions(log_probs, lengths, states, count)
    skips = skips_of(states, blank_id)
    scores = forward_scores(emitted, skips, torch.maximum)
    path = _best_path(scores, skips, lengths, count)  # (B, T)
    # Labels are the odd states.
    odd = torch.arange(1, states.shape[1], 2, device=path.device)
    stands = path[..., None] == odd  # (B, T, U)
    stands &= length_mask(ys_lens, ys_pad.shape[1])[:, None]
    there = stands.any(1)
    first = stands.int().argmax(1)
    last = stands.shape[1] - 1 - stands.flip(1).int().argmax(1)
    return torch.where(there, first, NOWHERE), torch.where(there, last, NOWHERE)


def _best_path(scores: Tensor, skips: Tensor, lengths: Tensor, count: Tensor) -> Tensor:
    """State of each frame, (B, T), back from the better of the two last states."""
    rows = torch.arange(len(scores), device=scores.device)
    ends = scores[rows, (lengths - 1).clamp(min=0)]  # (B, S)
    final, before = count - 1, (count - 2).clamp(min=0)
    state = torch.where(ends[rows, before] > ends[rows, final], before, final)
    possible = (ends[rows, state] > BLOCKED) & (lengths > 0)
    path = torch.full(scores.shape[:2], NOWHERE, device=scores.device)
    for frame in range(scores.shape[1] - 1, -1, -1):
        inside = possible & (frame < lengths)
        path[:, frame] = torch.where(inside, state, NOWHERE)
        if frame:
            back = _steps_back(scores[:, frame - 1], skips, state)
            state = torch.where(inside, state - back, state)
    return path


def _steps_back(scores: Tensor, skips: Tensor, state: Tensor) -> Tensor:
    """How many states the best way to each state came on in the last step, (B,)."""
    rows = torch.arange(len(scores), device=scores.device)
    stay = scores[rows, state]
    step = scores[rows, (state - 1).clamp(min=0)].masked_fill(state < 1, BLOCKED)
    skip = scores[rows, (state - 2).clamp(min=0)].masked_fill(~skips[rows, state], BLOCKED)
    return torch.stack([stay, step, skip], 1).argmax(1)
