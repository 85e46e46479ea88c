"""Alignments through a transducer lattice: the best one, and the sum over all.

An alignment goes from node (0, 0) to (T - 1, U) by blanks, which take it a frame on, and by
labels, which take it a label on: every step adds 1 to p = t + u. Nodes of one p depend on
those of p - 1 alone, so that T + U steps, each over a whole diagonal, fill the lattice.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from espnet_kd.alignment.transducer_lattice import BLOCKED
from espnet_kd.masking import length_mask


def best_path(
    classes: Tensor, frame_lens: Tensor, label_lens: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The most probable alignment of a transcript, by Viterbi.

    Args:
        classes: Log-probabilities with label and blank first, (B, T, U+1, >=2).
        frame_lens: Real frames, (B,).
        label_lens: Real labels, (B,).

    Returns:
        Frame and label index of each node on the path from (0, 0) to (T-1, U), (B, P)
        each, 0 behind its end; and the numbers of nodes, T + U, (B,), 0 for an
        utterance without frames.
    """
    label, blank = (_skew(c.detach()) for c in classes.unbind(-1)[:2])  # (B, P, U+1)
    scores = _sweep(label, blank, torch.maximum)
    # The path visits one node for each p from 0 to T - 1 + U.
    lengths = torch.where(frame_lens > 0, frame_lens + label_lens, 0)
    width = int(lengths.max()) if len(lengths) else 0
    path = torch.zeros(len(lengths), width, dtype=torch.long, device=label.device)
    # Back from the end: at each p the path stands at u, and its frame is p - u.
    u = label_lens.clone()
    for place in range(width - 1, -1, -1):
        inside = place < lengths
        path[:, place] = torch.where(inside, u, 0)
        if place:
            came = _came_by_label(scores[:, place - 1], label, blank, place - 1, u)
            u = torch.where(inside & came, u - 1, u)
    places = torch.arange(width, device=label.device)
    frames = torch.where(places < lengths[:, None], places - path, 0)
    return frames, path, lengths


def emissions(labels: Tensor, lengths: Tensor, count: int) -> Tensor:
    """Place of the node on each path that emits each label, the last before it is there.

    Args:
        labels: Labels emitted before each node of a path, which never fall, (B, P).
        lengths: Nodes of each path, (B,).
        count: Labels of the longest transcript, U.

    Returns:
        (B, U) int64; arbitrary behind the last label.
    """
    real = length_mask(lengths, labels.shape[1])[:, None]  # (B, 1, P)
    before = labels[:, None] <= torch.arange(count, device=labels.device)[:, None]
    return ((before & real).sum(2) - 1).clamp(min=0)


def total_log_prob(classes: Tensor, frame_lens: Tensor, label_lens: Tensor) -> Tensor:
    r"""Log-probability of the transcript over all alignments, with its gradient.

    .. math:: \log P(y \mid x) = \alpha(T - 1, U) + \log p_\mathrm{blank}(T - 1, U)

    Its gradient by a step's log-probability is the probability that an alignment takes
    that step; autograd finds it by going back through the sums.

    Args:
        classes: Log-probabilities with label and blank first, (B, T, U+1, >=2);
            BLOCKED at padding.
        frame_lens: Real frames, (B,).
        label_lens: Real labels, (B,).

    Returns:
        (B,) in the dtype of ``classes``, summed in float64; 0 without frames.

    Source: Graves. Sequence Transduction with Recurrent Neural Networks. 2012,
    section 2.4. https://arxiv.org/abs/1211.3711
    """
    label, blank = (_skew(c.double()) for c in classes.unbind(-1)[:2])
    # Every node's last blank is added, of which the one at (T - 1, U) is read.
    scores = _sweep(label, blank, torch.logaddexp) + blank  # (B, P, U+1)
    last = (frame_lens + label_lens - 1).clamp(min=0)
    rows = torch.arange(len(scores), device=scores.device)
    total = torch.where(frame_lens > 0, scores[rows, last, label_lens], 0.0)
    return total.to(classes.dtype)


def _skew(values: Tensor) -> Tensor:
    """(B, T, U+1) by p = t + u instead of t, (B, T+U, U+1): nodes of one p are one step."""
    frames, nodes = values.shape[1:]
    place = torch.arange(frames + nodes - 1, device=values.device)[:, None]
    t = place - torch.arange(nodes, device=values.device)  # (P, U+1)
    index = t.clamp(0, frames - 1).expand(len(values), -1, -1)
    inside = (t >= 0) & (t < frames)
    skewed = values.clamp(min=BLOCKED).gather(1, index)
    return torch.where(inside, skewed, BLOCKED)


def _sweep(label: Tensor, blank: Tensor, combine: Callable[..., Tensor]) -> Tensor:
    """Combined score of the ways from (0, 0) to each node, skewed, (B, P, U+1).

    alpha(p, u) = combine(alpha(p-1, u) + blank(p-1, u), alpha(p-1, u-1) + label(p-1, u-1)):
    in rows of p a blank keeps the column, and a label moves one to the right.
    """
    start = torch.full_like(label[:, 0], BLOCKED)
    start[:, 0] = 0.0
    steps, none = [start], torch.full_like(start[:, :1], BLOCKED)
    for place in range(label.shape[1] - 1):
        by_blank = steps[-1] + blank[:, place]
        by_label = torch.cat([none, (steps[-1] + label[:, place])[:, :-1]], 1)
        steps.append(combine(by_blank, by_label))
    return torch.stack(steps, 1)


def _came_by_label(
    scores: Tensor, label: Tensor, blank: Tensor, place: int, u: Tensor
) -> Tensor:
    """Whether the best way to nodes (place + 1, u) emitted a label last, (B,) bool."""
    before = (u - 1).clamp(min=0)[:, None]
    by_label = (scores + label[:, place]).gather(1, before)
    by_blank = (scores + blank[:, place]).gather(1, u[:, None])
    return (u > 0) & (by_label > by_blank)[:, 0]
