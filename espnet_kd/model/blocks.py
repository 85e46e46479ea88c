"""Layers of block-wise streaming encoders: their chunks, laid back into time.

ESPnet's contextual-block encoders run every layer over overlapping blocks of an utterance,
(B, N, block_size + 2, D): a context vector, the block's frames, another context vector.
Of each block only ``hop_size`` frames are its own; the rest was, or will be, another's.
"""

from typing import Any

import torch
from torch import Tensor, nn


def is_in_blocks(encoder: nn.Module | None, values: Tensor) -> bool:
    """Whether a layer's output is blocks of this encoder, not frames.

    Utterances of at most a block's frames go through ESPnet's layers whole, (B, T, D).
    """
    size = getattr(encoder, "block_size", 0)
    return bool(size) and values.dim() == 4 and values.shape[2] == size + 2


def in_time(encoder: Any, blocks: Tensor, frames: int) -> Tensor:
    """Lay the blocks of a layer back into time, as the encoder does behind its last layer.

    Args:
        encoder: A contextual-block encoder, with ``block_size``, ``hop_size`` and
            ``look_ahead``.
        blocks: A layer's output, (B, N, block_size + 2, D).
        frames: Frames of the batch, T, padding included.

    Returns:
        (B, T, D), of the blocks' dtype, with their gradient.

    Source: Tsunoo et al. Transformer ASR with Contextual Block Processing. 2019, section 3;
    ``ContextualBlockConformerEncoder.forward_train``.
    """
    hop, past = encoder.hop_size, encoder.block_size - encoder.hop_size - encoder.look_ahead
    own = blocks[:, :, 1 + past : 1 + past + hop].flatten(1, 2)  # (B, N hop, D)
    first = blocks[:, 0, 1 : 1 + past]
    # The last block has no successor, and keeps its look-ahead as well.
    last = blocks[:, -1, 1 + past + hop : -1]
    return torch.cat([first, own, last], 1)[:, :frames]
