"""Posteriors with few entries: the largest, blank, and one number for all the rest."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Stands for no token.
PAD = -1
# No tail is less likely than this: one of 0 would make any doubt of a student infinite.
LEAST = 1e-20
# Below it, e^z is 0 and so is z e^z.
LARGE = 1e4


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

    What is not kept is spread evenly when it is read again. Tokens that are kept are
    kept as they are and cost nothing, so that the loss is

    .. math:: \mathrm{KL}(p \,\|\, \tilde p) = \sum_{v \notin K} p_v \log
        \frac{p_v}{m / (V - k)}
        = \sum_{v \notin K} p_v \log p_v - m \log \frac{m}{V - k},
        \quad m = \sum_{v \notin K} p_v

    The most likely tokens are kept first. Another choice of as many may lose less, since
    an even rest costs nothing whatever its mass, but these are what a student learns.

    Args:
        logits: (N, V) before or after the log-softmax.
        tolerance: Largest loss of a row, in nats.
        max_k: Most tokens kept, whatever the loss; V keeps everything.
        always: Token that is kept in any case, CTC's blank.

    Returns:
        Rows of float32 log-probabilities, best first, with ``always`` in front.
    """
    logits = logits.float()
    width, keep = logits.shape[1], min(max_k, logits.shape[1])
    probs = logits.softmax(-1)
    # log p = (z - max z) + log max p: nothing large is left to cancel.
    shifted = (logits - logits.amax(-1, keepdim=True)).clamp_(min=-LARGE)
    best = probs.amax(-1, keepdim=True).log()
    # Rounding leaves the sum of p beside 1, by more than a small tail may be.
    whole = probs.sum(1, keepdim=True, dtype=torch.float64)
    # Over all tokens: sum p log p = sum p (z - max z) + (sum p) log max p.
    inner = (probs * shifted).sum(1, keepdim=True, dtype=torch.float64) + whole * best
    # 'always' comes first by standing above all others.
    probs[:, always] = math.inf
    index = probs.topk(keep, -1).indices  # (N, K)
    kept = shifted.gather(1, index) + best
    mass = kept.double().exp()
    # Of the rest, for 1 to K kept: its mass m, and its sum of p log p. Both are what all
    # tokens have, less the running sum of those kept.
    rest = (whole - mass.cumsum(1)).clamp(min=LEAST)
    inner = inner - (mass * kept).cumsum(1)
    others = (width - 1 - torch.arange(keep, device=logits.device)).clamp(min=1)
    loss = inner - torch.xlogy(rest, rest / others)  # (N, K), the formula above
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
    """Sparse rows over all tokens again, the tail spread evenly.

    Args:
        sparse: Rows with k tokens each.
        width: Number V of all tokens.

    Returns:
        Log-probabilities, (..., V), float32: those kept, and log m / (V - k) for each of
        the others. A row that is padding, with no token at all, means nothing.
    """
    first = sparse.index[..., :1]
    padded = sparse.index == PAD
    kept = (~padded).sum(-1)
    share = sparse.tail.float() - (width - kept).clamp(min=1).log()
    dense = share[..., None].expand(*share.shape, width).contiguous()
    # scatter must be given something everywhere: the first token once more.
    index = torch.where(padded, first, sparse.index)
    values = torch.where(padded, sparse.log_probs[..., :1], sparse.log_probs)
    return dense.scatter_(-1, index.clamp(min=0), values.float())
