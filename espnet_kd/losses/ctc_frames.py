"""Which frames CTC posteriors are compared at."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from espnet_kd.config.options import Count, Share
from espnet_kd.masking import length_mask

Frames = Literal["all", "nonblank", "threshold", "trim"]


def select_frames(
    teacher_logits: Tensor,
    lengths: Tensor,
    *,
    frames: Frames = "all",
    context: Count = 0,
    threshold: Share = 0.1,
    blank_id: int = 0,
) -> Tensor:
    """Choose the frames at which CTC posteriors are compared.

    ``nonblank`` with a ``context`` of n is the symmetric selection: each spike with the n
    blanks on either side, which teaches where a spike ends without any CTC loss [1]_.

    Args:
        teacher_logits: (B, T, V).
        lengths: Real frames, (B,).
        frames: ``all``; ``nonblank``: those where blank is not the teacher's best;
            ``threshold``: those where the teacher gives other tokens more than
            ``threshold`` in sum; ``trim``: from the first spike to the last.
        context: Except with ``all``, also this many frames on either side.
        threshold: Probability in (0, 1), for ``threshold``.
        blank_id: Index of blank.

    Returns:
        (B, T) bool, never true at padding.

    .. [1] Hilmes et al. Analyzing the Importance of Blank for CTC-Based Knowledge
       Distillation. 2025, section 3. https://arxiv.org/abs/2506.01503
    """
    real = length_mask(lengths, teacher_logits.shape[1])  # (B, T)
    if frames == "all" or not real.any():
        return real
    if frames == "threshold":
        # In logits: 1 - p(blank) > threshold, without the softmax of every class.
        others = (
            teacher_logits.float().logsumexp(-1) - teacher_logits[..., blank_id].float()
        )
        chosen = real & (-(-others).exp() + 1 > threshold)
    else:
        chosen = real & (teacher_logits.argmax(-1) != blank_id)
    if frames == "trim":
        since = chosen.cumsum(1) > 0
        until = chosen.flip(1).cumsum(1).flip(1) > 0
        chosen = since & until
    return real & _widen(chosen, context)


def _widen(chosen: Tensor, context: int) -> Tensor:
    if not context:
        return chosen
    width = 2 * context + 1
    wide = F.max_pool1d(chosen[:, None].float(), width, stride=1, padding=context)
    return wide[:, 0] > 0
