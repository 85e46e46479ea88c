"""The lattice of CTC alignments of a transcript: which frame belongs to which label.

Its states at each frame are blank, first label, blank, ..., last label, blank: S = 2 U + 1
of them, labels at the odd places. An alignment stays in a state, goes on to the next, or
skips the blank between two labels that differ, and ends in one of the last two.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from espnet_kd.masking import length_mask

BLOCKED = float("-inf")


@torch.no_grad()
def label_occupancies(
    log_probs: Tensor,
    lengths: Tensor,
    ys_pad: Tensor,
    ys_lens: Tensor,
    blank_id: int = 0,
) -> Tensor:
    r"""Probability that a frame belongs to a label of the transcript, given the audio.

    .. math:: \gamma_{btu} = P(\text{frame } t \text{ emits label } u \mid x_b, y_b)

    by the forward-backward algorithm over all CTC alignments: with the log-probability
    :math:`\alpha_{ts}` of all beginnings that end in state s at frame t, and
    :math:`\beta_{ts}` of all endings that begin there, both with the emission
    :math:`e_{ts}` of that frame,

    .. math:: \log \gamma_{ts} = \alpha_{ts} + \beta_{ts} - e_{ts} - \log P(y \mid x)

    since beginning and ending count the emission once each. What is missing to 1 at a
    frame is blank's.

    Args:
        log_probs: (B, T, V) after the log-softmax; padding is arbitrary.
        lengths: Real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.

    Returns:
        (B, T, U) float64 without gradient; 0 at padding, and everywhere in an
        utterance with fewer frames than its transcript takes.

    Source: Graves et al. Connectionist Temporal Classification. 2006, section 4.1.
    """
    if not log_probs.shape[1]:
        return log_probs.new_zeros(len(log_probs), 0, ys_pad.shape[1]).double()
    states, count = states_of(ys_pad, ys_lens, blank_id)
    emitted = emissions(log_probs, lengths, states, count)  # (B, T, S)
    real = length_mask(lengths, log_probs.shape[1])

    # Both directions in one sweep: an ending is a beginning of the utterance whose frames
    # and states run backwards. Mirrored twice, all stand where they stood.
    backwards = (_mirror(lengths, log_probs.shape[1]), _mirror(count, states.shape[1]))
    skips = skips_of(states, blank_id)
    sweep = forward_scores(
        torch.cat([emitted, _pick(emitted, *backwards)]),
        torch.cat([skips, _skips_back(skips, backwards[1])]),
    )
    alpha, beta = sweep.chunk(2)
    beta = _pick(beta, *backwards)

    # Of padded states it is -inf - -inf: nan, which is no occupancy either.
    joint = (alpha + beta - emitted)[..., 1::2]  # (B, T, U), labels are the odd states
    total = _total(alpha, lengths, count)[:, None, None]
    gamma = (joint - total).exp()
    inside = real[..., None] & length_mask(ys_lens, ys_pad.shape[1])[:, None]
    return torch.where(inside & total.isfinite() & joint.isfinite(), gamma, 0.0)


def states_of(ys_pad: Tensor, ys_lens: Tensor, blank_id: int) -> tuple[Tensor, Tensor]:
    """The token of each state, (B, S), and how many states are real, (B,).

    Args:
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.
    """
    labels = ys_pad.masked_fill(~length_mask(ys_lens, ys_pad.shape[1]), blank_id).long()
    states = labels.new_full((labels.shape[0], 2 * labels.shape[1] + 1), blank_id)
    states[:, 1::2] = labels
    return states, 2 * ys_lens + 1


def emissions(log_probs: Tensor, lengths: Tensor, states: Tensor, count: Tensor) -> Tensor:
    """Log-probability of each state's token at each frame, (B, T, S) float64.

    Padded frames emit log 1, and padded states nothing.

    Args:
        log_probs: (B, T, V) after the log-softmax; padding is arbitrary.
        lengths: Real frames, (B,).
        states: Token of each state, (B, S).
        count: Real states, (B,).
    """
    emitted = log_probs.gather(2, states[:, None].expand(-1, log_probs.shape[1], -1))
    real = length_mask(lengths, log_probs.shape[1])[..., None]
    emitted = emitted.double().masked_fill(~real, 0.0)
    return emitted.masked_fill(~length_mask(count, states.shape[1])[:, None], BLOCKED)


def skips_of(states: Tensor, blank_id: int) -> Tensor:
    """Where a state may follow the one before the last: labels that do not repeat."""
    skips = torch.zeros_like(states, dtype=torch.bool)
    skips[:, 2:] = (states[:, 2:] != blank_id) & (states[:, 2:] != states[:, :-2])
    return skips


def _skips_back(skips: Tensor, backwards: Tensor) -> Tensor:
    """The same of the mirrored states, whose step into s is here the step out of s."""
    ahead = torch.zeros_like(skips)
    ahead[:, :-2] = skips[:, 2:]
    return ahead.gather(1, backwards)


def _mirror(lengths: Tensor, width: int) -> Tensor:
    """Indices that reverse the real part of each row, (B, width)."""
    index = torch.arange(width, device=lengths.device)[None]
    return torch.where(index < lengths[:, None], lengths[:, None] - 1 - index, index)


def _pick(values: Tensor, frames: Tensor, states: Tensor) -> Tensor:
    """Values (B, T, S) at other frames, (B, T), and states, (B, S)."""
    values = values.gather(1, frames[..., None].expand_as(values))
    return values.gather(2, states[:, None].expand_as(values))


def forward_scores(
    emitted: Tensor,
    skips: Tensor,
    combine: Callable[[Tensor, Tensor], Tensor] = torch.logaddexp,
) -> Tensor:
    """Combined score of the beginnings that end in a state at a frame, (B, T, S).

    alpha_t(s) = combine(stay, step and skip of alpha_{t-1}) + e_t(s), from the first two
    states at the first frame. Padded frames emit log 1 and are never read.

    Args:
        emitted: See ``emissions``; at least one frame.
        skips: See ``skips_of``.
        combine: ``torch.logaddexp`` for the log-probability of all beginnings,
            ``torch.maximum`` for that of the best one.
    """
    start = torch.full_like(emitted[:, 0], BLOCKED)
    start[:, :2] = emitted[:, 0, :2]
    alphas = [start]
    for frame in range(1, emitted.shape[1]):
        stay = alphas[-1]
        step = stay.roll(1, 1)
        step[:, :1] = BLOCKED
        skip = stay.roll(2, 1).masked_fill(~skips, BLOCKED)
        alphas.append(combine(combine(stay, step), skip) + emitted[:, frame])
    return torch.stack(alphas, 1)


def _total(alpha: Tensor, lengths: Tensor, count: Tensor) -> Tensor:
    """Log-probability of the transcript, (B,): of all alignments, at their last frame."""
    last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, alpha.shape[2])
    ends = alpha.gather(1, last)[:, 0]  # (B, S)
    final = ends.gather(1, (count - 1)[:, None])[:, 0]
    # Without labels there is one state only, and nothing before it.
    before = ends.gather(1, (count - 2).clamp(min=0)[:, None])[:, 0]
    return torch.where(count > 1, torch.logaddexp(final, before), final)
