"""The transducer lattice, and the probabilities of {label, blank, rest} at its nodes.

A node (t, u) stands for frame t after u labels. Blank leads to (t + 1, u), the next label
to (t, u + 1); the last blank, at (T - 1, U), ends the utterance.
"""

from typing import Any

import torch
from torch import Tensor

from espnet_kd.masking import length_mask, widened

# A lattice may be gigabytes: this part of it is worked on at a time, but not less than
# so many elements.
PART = 1 / 400
LEAST = 1 << 16
# Stands for log 0 where a gradient passes: unlike -inf it gives 0, not nan.
BLOCKED = -1e30


def node_mask(frame_lens: Tensor, label_lens: Tensor, frames: int, nodes: int) -> Tensor:
    """Mark the real nodes of a padded lattice.

    Args:
        frame_lens: Real frames, (B,).
        label_lens: Real labels, (B,); one node more than these is real.
        frames: Padded frames T.
        nodes: Padded nodes of a frame, U + 1.

    Returns:
        (B, T, U+1) bool.
    """
    on_frame = length_mask(frame_lens, frames)[:, :, None]
    return on_frame & length_mask(label_lens + 1, nodes)[:, None]


def next_labels(ys_pad: Tensor, ys_lens: Tensor, nodes: int) -> Tensor:
    """The label that leads on from each node.

    Args:
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        nodes: Padded nodes of a frame, U + 1.

    Returns:
        (B, U+1) int64; -1 behind the last label.
    """
    labels = ys_pad.new_full((len(ys_pad), nodes), -1, dtype=torch.long)
    width = min(ys_pad.shape[1], nodes)
    labels[:, :width] = ys_pad[:, :width]
    return labels.masked_fill(~length_mask(ys_lens, nodes), -1)


def collapse(logits: Tensor, mask: Tensor, labels: Tensor, blank_id: int = 0) -> Tensor:
    r"""Log-probabilities of {next label, blank, all the rest} at each real node.

    The lattice is read in parts; nothing of its size is made but its gradient.

    Args:
        logits: (B, T, U+1, V) before the softmax, any float dtype.
        mask: Real nodes, (B, T, U+1) bool; the rest may hold anything.
        labels: Next label of each node by its u, (B, U+1), -1 for none.
        blank_id: Index of blank.

    Returns:
        (N, 3) for the N real nodes in order, float32 or wider. A class of probability
        0 has -1e30: the label, where there is none.

    Source: Panchapagesan et al. Efficient Knowledge Distillation for RNN-Transducer
    Models. 2020, section 3.2. https://arxiv.org/abs/2011.06110
    """
    columns = labels[:, None].expand(mask.shape)[mask]  # (N,)
    rows = mask.flatten().nonzero()[:, 0]
    bare = columns < 0
    # Without a label its column is blank's, which changes nothing.
    columns = columns.masked_fill_(bare, blank_id)[:, None]
    classes: Tensor = _Collapse.apply(  # type: ignore[no-untyped-call]  # torch's own
        logits, rows, columns, bare, blank_id
    )
    return classes


def spread(values: Tensor, mask: Tensor) -> Tensor:
    """Real nodes' values, (N, C), on their lattice, (B, T, U+1, C); -1e30 elsewhere."""
    full = values.new_full((*mask.shape, values.shape[1]), BLOCKED)
    return full.masked_scatter(mask[..., None], values)


def collapsed_lattice(
    logits: Tensor, frame_lens: Tensor, ys_pad: Tensor, ys_lens: Tensor, blank_id: int = 0
) -> Tensor:
    """``collapse`` of a transcript's real nodes, ``spread``, (B, T, U+1, 3), with gradient.

    Args:
        logits: Joint output, (B, T, U+1, V), before the softmax, any float dtype.
        frame_lens: Real frames, (B,).
        ys_pad: Transcript, (B, U), padded arbitrarily.
        ys_lens: Real labels, (B,).
        blank_id: Index of blank.
    """
    mask = node_mask(frame_lens, ys_lens, *logits.shape[1:3])
    labels = next_labels(ys_pad, ys_lens, logits.shape[2])
    return spread(collapse(logits, mask, labels, blank_id), mask)


class _Collapse(torch.autograd.Function):
    """Three log-probabilities a node, with their closed-form gradient.

    By itself autograd would keep a softmax of the lattice's size; here a node keeps four
    numbers, and its softmax is made once more on the way back.
    """

    # The context takes any attribute, which no type of torch's says.
    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, rows: Tensor, columns: Tensor, bare: Tensor, blank: int
    ) -> Tensor:
        flat = logits.detach().flatten(0, -2)  # (B T (U+1), V)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        classes = torch.empty(len(rows), 3, dtype=dtype, device=logits.device)
        total = torch.empty(len(rows), 1, dtype=dtype, device=logits.device)
        for part in _parts(rows, flat):
            values = widened(flat.index_select(0, rows[part]))  # (n, V)
            total[part] = values.logsumexp(1, keepdim=True)
            classes[part, :1] = values.gather(1, columns[part])
            classes[part, 1] = values[:, blank]
            # Rest by a sum of its own: 1 - p_label - p_blank would cancel.
            values.scatter_(1, columns[part], -torch.inf)[:, blank] = -torch.inf
            classes[part, 2] = values.logsumexp(1)
        classes -= total
        classes[:, 0].masked_fill_(bare, BLOCKED)
        classes.clamp_(min=BLOCKED)
        ctx.save_for_backward(logits, rows, columns, total, classes)
        ctx.blank = blank
        return classes

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        logits, rows, columns, total, classes = ctx.saved_tensors
        # A class of probability 0 has no gradient to give.
        grad = torch.where(classes > BLOCKED, grad, 0.0)
        result = torch.zeros_like(logits)
        flat, slope = logits.detach().flatten(0, -2), result.flatten(0, -2)
        for part in _parts(rows, flat):
            log_probs = widened(flat.index_select(0, rows[part])).sub_(total[part])
            inner = _slope(log_probs, classes[part], grad[part], columns[part], ctx.blank)
            slope.index_copy_(0, rows[part], inner.to(slope.dtype))
        return result, None, None, None, None


def _slope(
    log_probs: Tensor, classes: Tensor, grad: Tensor, columns: Tensor, blank: int
) -> Tensor:
    """Gradient of the logits of some nodes, (n, V).

    With p the softmax over all: d log p_y / dz_v = [v = y] - p_v, for label and blank
    alike, and d log p_rest / dz_v = [v in rest] p_v / p_rest - p_v, because log p_rest
    is the logsumexp over the rest less the one over all. Of gradients g together:
    [v = y] g_y + [v = blank] g_blank + [v in rest] g_rest p_v / p_rest - p_v sum(g).
    """
    whole = grad.sum(1, keepdim=True)
    # The rest's part everywhere; label's and blank's columns are set behind it.
    slope = (log_probs - classes[:, 2:]).exp_().mul_(grad[:, 2:])
    probs = log_probs.exp_()
    at_label = grad[:, :1] - whole * probs.gather(1, columns)
    at_blank = grad[:, 1] - whole[:, 0] * probs[:, blank]
    slope.sub_(probs.mul_(whole))
    slope.scatter_(1, columns, at_label)
    slope[:, blank] = at_blank  # last: a node without a label names blank as its label
    return slope


def _parts(rows: Tensor, flat: Tensor) -> list[slice]:
    """Slices of the real nodes, small enough to be copied beside the lattice."""
    nodes, width = flat.shape
    size = max(int(nodes * PART), LEAST // max(width, 1), 1)
    return [slice(start, start + size) for start in range(0, len(rows), size)]
