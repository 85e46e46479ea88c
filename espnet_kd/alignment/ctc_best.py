"""The best path of CTC: what a model writes down without a search."""

import torch
from torch import Tensor

from espnet_kd.masking import length_mask


@torch.no_grad()
def best_path(logits: Tensor, lengths: Tensor, blank_id: int = 0) -> tuple[Tensor, Tensor]:
    """The labels of greedy CTC: best tokens, repeats merged, blanks dropped.

    Args:
        logits: (B, T, V), log-probabilities do as well.
        lengths: Real frames, (B,).
        blank_id: Index of blank.

    Returns:
        Labels (B, U), padded arbitrarily, and how many each utterance has, (B,).

    Source: Graves et al. Connectionist Temporal Classification. 2006, section 3.2.
    """
    best = logits.argmax(-1)  # (B, T)
    real = length_mask(lengths, best.shape[1])
    fresh = torch.ones_like(real)
    fresh[:, 1:] = best[:, 1:] != best[:, :-1]
    keep = real & fresh & (best != blank_id)
    counts = keep.sum(1)
    # A stable sort brings the kept tokens to the front, in their order.
    order = (~keep).to(torch.uint8).argsort(dim=1, stable=True)
    labels = best.gather(1, order)[:, : int(counts.max()) if len(counts) else 0]
    return labels, counts


def greedy_ctc(logits: Tensor, lengths: Tensor, blank_id: int = 0) -> list[list[int]]:
    """The same as lists: the labels of each utterance, without padding."""
    labels, counts = best_path(logits, lengths, blank_id)
    pairs = zip(labels.tolist(), counts.tolist(), strict=True)
    return [row[:count] for row, count in pairs]
