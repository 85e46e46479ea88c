"""What an attention decoder is forced along."""

import torch
from torch import Tensor

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
