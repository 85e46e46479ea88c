"""What an attention decoder is forced along."""

from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.masking import length_mask


def decoder_prefix(
    labels: Tensor, lengths: Tensor, sos_id: int, eos_id: int
) -> tuple[Tensor, Tensor]:
    """Labels behind the start of a sentence, as ESPnet gives them to its decoders.

    Args:
        labels: (B, U), padded arbitrarily.
        lengths: Real labels, (B,).
        sos_id: Index of the start of a sentence.
        eos_id: Index of its end, which is the padding.

    Returns:
        Prefixes (B, U+1) and their lengths, (B,).
    """
    real = length_mask(lengths, labels.shape[1])
    start = labels.new_full((len(labels), 1), sos_id)
    return torch.cat([start, labels.masked_fill(~real, eos_id)], 1), lengths + 1


def prompt_lens(model: nn.Module, ys_in: Tensor) -> Tensor | None:
    """Positions in front of the start of a sentence, (B,); None of models without a prompt.

    OWSM reads what was said before in front of what it writes, and was never trained to
    predict it: what the decoder says there means nothing.

    Args:
        model: A model that may have a token ``sop``, the start of what was before.
        ys_in: What its decoder was forced along, (B, U+1).
    """
    known: Any = model
    if not hasattr(model, "sop"):
        return None
    starts = (ys_in == known.sos).int().argmax(1)
    return torch.where(ys_in[:, 0] == known.sop, starts, torch.zeros_like(starts))


def behind_prompt(values: Tensor, prompt: Tensor | None) -> Tensor:
    """Rows of (B, L, ...) from their prompt's end on; what is behind L is arbitrary."""
    if prompt is None or not prompt.any():
        return values
    index = torch.arange(values.shape[1], device=values.device) + prompt[:, None]
    index = index.clamp(max=values.shape[1] - 1)
    rows = torch.arange(len(values), device=values.device)[:, None]
    return values[rows, index]
