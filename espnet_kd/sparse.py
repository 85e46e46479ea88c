"""Posteriors with few entries: the largest, blank, and one number for all the rest."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# A padded entry repeats its row's first, so that scattering it changes nothing.
PAD = -1
# No tail is less likely than this: one of 0 would make any doubt of a student infinite.
LEAST = 1e-20


@dataclass(frozen=True)
class Sparse:
    """Sparse rows of log-probabilities over V tokens.

    Attributes:
        index: Tokens kept, (..., K) int64; ``PAD`` where a row keeps fewer.
        log_probs: Their log-probabilities, (..., K).
        tail: Log-probability of all other tokens together, (...).
    """

    index: Tensor
    log_probs: Tensor
    tail: Tensor


def sparsify(logits: Tensor, *, tolerance: float, max_k: int, always: int = 0) -> Sparse:
    r"""Keep as few tokens of each row as lose at most ``tolerance`` nats.

    What is not kept is spread evenly when it is read again, at a loss of

    .. math:: \mathrm{KL}(p \,\|\, \tilde p) = \sum_{v \notin K} p_v \log
        \frac{p_v}{m / (V - k)}, \quad m = \sum_{v \notin K} p_v

    Args:
        logits: (N, V) before or after the log-softmax.
        tolerance: Largest loss of a row, in nats.
        max_k: Most tokens kept, whatever the loss; V keeps everything.
        always: Token that is kept in any case, CTC's blank.

    Returns:
        Rows of float32 log-probabilities, best first, with ``always`` in front.
    """
    log_probs = logits.float().log_softmax(-1)
    width = log_probs.shape[1]
    probs = log_probs.exp()
    entropy = (probs * log_probs).nan_to_num(0.0)
    # 'always' comes first by standing above all others.
    rank = log_probs.clone()
    rank[:, always] = math.inf
    keep = min(max_k, width)
    index = rank.topk(keep, -1).indices  # (N, K)
    kept, mass = log_probs.gather(1, index), probs.gather(1, index)
    # Of the rest, for 1 to K kept: its mass, and its sum of p log p.
    whole = probs.sum(1, keepdim=True, dtype=torch.float64)
    rest = (whole - mass.double().cumsum(1)).clamp(min=LEAST)
    inner = entropy.double().sum(1, keepdim=True) - entropy.gather(
        1, index
    ).double().cumsum(1)
    others = (width - 1 - torch.arange(keep, device=logits.device)).clamp(min=1)
    loss = inner - torch.xlogy(rest, rest / others)
    enough = loss <= tolerance
    enough[:, -1] = True
    needed = enough.to(torch.uint8).argmax(1)  # (N,) the first that is enough
    places = torch.arange(keep, device=logits.device)
    dropped = places > needed[:, None]
    tail = rest.gather(1, needed[:, None])[:, 0].log()
    tail = tail.masked_fill(needed == width - 1, -math.inf)
    return Sparse(
        index.masked_fill(dropped, PAD), kept.masked_fill(dropped, -math.inf), tail.float()
    )


def densify(sparse: Sparse, width: int) -> Tensor:
    """Log-probabilities over all tokens, (..., V), float32; the tail spread evenly."""
    first = sparse.index[..., :1]
    padded = sparse.index == PAD
    kept = (~padded).sum(-1)
    share = sparse.tail.float() - (width - kept).clamp(min=1).log()
    dense = share[..., None].expand(*share.shape, width).contiguous()
    index = torch.where(padded, first, sparse.index)
    values = torch.where(padded, sparse.log_probs[..., :1], sparse.log_probs)
    return dense.scatter_(-1, index.clamp(min=0), values.float())
