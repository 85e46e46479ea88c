"""Posteriors with few entries: the largest, blank, and one number for all the rest."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Stands for no token.
PAD = -1
# No tail is less likely than this: one of 0 would make any doubt of a student infinite.
LEAST = 1e-20
# Below it, e^z is 0 and so is z e^z.
LARGE = 1e4
# Rows that are worked on together: all tokens of each are sorted, in float64.
ROWS = 256


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


def sparsify(
    logits: Tensor,
    *,
    tolerance: float,
    max_k: int = 0,
    always: int = 0,
    temperatures: Sequence[float] = (1.0,),
) -> Sparse:
    r"""Keep as few tokens of each row as lose at most ``tolerance`` nats.

    What is not kept is spread evenly when it is read again. Tokens that are kept are
    kept as they are. A loss that softens both sides by :math:`\tau` then compares with
    :math:`\tilde p_\tau \propto \tilde p^{1/\tau}` in place of :math:`p_\tau`, and loses

    .. math:: \tau^2\, \mathrm{KL}(p_\tau \,\|\, \tilde p_\tau), \quad
        \tilde p_v = p_v \text{ for } v \in K, \text{ else } m / (V - k), \quad
        m = \sum_{v \notin K} p_v

    The most likely tokens are kept first. Another choice of as many may lose less, since
    an even rest costs nothing whatever its mass, but these are what a student learns.
    Softer posteriors have heavier tails: at :math:`\tau = 2` many more tokens are kept.

    Args:
        logits: (N, V) before or after the log-softmax.
        tolerance: Largest loss of a row, in nats, at each of the temperatures.
        max_k: Most tokens kept, whatever the loss; 0 for no such limit.
        always: Token that is kept in any case, CTC's blank.
        temperatures: At which the rows are going to be read.

    Returns:
        Rows of float32 log-probabilities, best first, with ``always`` in front; as wide
        as the longest of them.
    """
    width = logits.shape[1]
    limit = min(max_k or width, width)
    blocks = [
        _sparse_rows(rows.double().log_softmax(-1), tolerance, limit, always, temperatures)
        for rows in torch.split(logits, ROWS)
    ]
    widest = max((block.index.shape[1] for block in blocks), default=1)
    return Sparse(
        torch.cat([_widened(block.index, widest, PAD) for block in blocks]),
        torch.cat([_widened(block.log_probs, widest, -math.inf) for block in blocks]),
        torch.cat([block.tail for block in blocks]),
    )


def _sparse_rows(
    log_probs: Tensor,
    tolerance: float,
    limit: int,
    always: int,
    temperatures: Sequence[float],
) -> Sparse:
    """``sparsify`` of some rows of float64 log-probabilities."""
    first = log_probs.clone()
    first[:, always] = math.inf  # stands above all others
    order = first.argsort(-1, descending=True)
    best_first = log_probs.gather(1, order).clamp(min=-LARGE)
    lost = torch.stack([_lost(best_first, tau) for tau in temperatures]).amax(0)  # (N, V)
    enough = lost <= tolerance
    enough[:, limit - 1] = True
    kept = enough.to(torch.uint8).argmax(1) + 1  # (N,) the first number that is enough
    tail = _behind(best_first.exp()).gather(1, kept[:, None] - 1)[:, 0]
    tail = tail.clamp(min=LEAST).log().masked_fill(kept == order.shape[1], -math.inf)
    longest = int(kept.max()) if len(kept) else 1
    dropped = torch.arange(longest, device=kept.device) >= kept[:, None]
    return Sparse(
        order[:, :longest].masked_fill(dropped, PAD),
        best_first[:, :longest].masked_fill(dropped, -math.inf).float(),
        tail.float(),
    )


def _lost(log_probs: Tensor, temperature: float) -> Tensor:
    r"""What each row loses if its first 1, 2, ... V tokens are kept, (N, V) in nats.

    With :math:`a = p^{1/\tau}`, Z its sum over all tokens, S that over those dropped, n
    their number, m their mass and :math:`e = (m / n)^{1/\tau}` what each of them becomes,
    the new normaliser is :math:`\tilde Z = Z - S + n e`, and

    .. math:: \mathrm{KL} = \log \tilde Z / Z
        + \frac{1}{Z} \sum_{v \notin K} a_v (\log a_v - \log e)

    The first term is that of every token, kept or not; the second of those dropped.
    """
    softened = log_probs / temperature
    a = softened.exp()
    total = a.sum(1, keepdim=True)
    dropped = _behind(a)
    count = log_probs.shape[1] - 1 - torch.arange(a.shape[1], device=a.device)
    share = _behind(log_probs.exp()).clamp(min=LEAST) / count.clamp(min=1)
    each = share.log() / temperature
    normaliser = (total - dropped + count * each.exp()) / total
    inner = (_behind(a * softened) - dropped * each) / total
    return temperature**2 * (normaliser.log() + inner).masked_fill(count == 0, 0.0)


def _behind(values: Tensor) -> Tensor:
    """Sum of what comes behind each place of a row, smallest first, so that it is exact."""
    sums = values.flip(1).cumsum(1).flip(1)
    return torch.cat([sums[:, 1:], torch.zeros_like(sums[:, :1])], 1)


def _widened(values: Tensor, width: int, fill: float) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]), value=fill)


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
