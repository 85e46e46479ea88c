"""One chunk of an utterance as tensor operations, which a tracer can follow.

ESPnet's own pass over a chunk goes one of several ways by what it has heard so far; a
traced graph has one way. Here every length is a tensor, and the ways differ by lengths,
of which some are 0. The layers are ESPnet's own modules.
"""

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from espnet_kd.streaming.driver import least_frames
from espnet_kd.student.export import EncoderCTC


class ChunkFrames(nn.Module):
    """From a chunk of features to the encoder's frames and the blocks that they fill.

    Args:
        graph: The model.
    """

    def __init__(self, graph: EncoderCTC) -> None:
        super().__init__()
        self.encoder: Any = graph.model.encoder
        self.normalize: Any = graph.normalize
        self.least = least_frames(self.encoder)
        self.eval()

    def forward(
        self,
        feats: Tensor,
        is_final: Tensor,
        kept_feats: Tensor,
        kept_frames: Tensor,
        blocks: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Subsample what can be, and keep the rest.

        Args:
            feats: (1, T, D), before normalisation; T may be 0.
            is_final: Whether no other chunk follows.
            kept_feats: Normalised features from the chunk before.
            kept_frames: Subsampled frames from the chunk before.
            blocks: How many blocks were heard before, (1,).

        Returns:
            Frames (1, N, W); how many blocks they fill; whether they are an utterance that
            is heard whole; and what is kept of features and of frames.
        """
        block, hop = self.encoder.block_size, self.encoder.hop_size
        feats = torch.cat([kept_feats, self._normalised(feats)], 1)
        new, next_feats = self._subsampled(feats, is_final)
        frames = torch.cat([kept_frames, new], 1)
        total = _length(frames)
        is_whole = (blocks[0] == 0) & is_final & (total > 0) & (total <= block)
        overlap = block - hop
        # ESPnet begins with a block when a frame more than it is there.
        complete = torch.where(total > block, (total - overlap) // hop, 0)
        # Rounded up; the multiple of hop keeps the quotient's numbers above 0.
        ending = (total - overlap + hop - 1 + hop * block) // hop - block
        count = torch.where(is_final, ending, complete).clamp(min=0)
        count = torch.where(is_whole, 1, count)
        kept = frames[:, count * hop :]
        return frames, count, is_whole, next_feats, _unless(is_final, kept)

    def _normalised(self, feats: Tensor) -> Tensor:
        # Not by ESPnet's own module, which cannot take a chunk of no frames.
        mvn = self.normalize
        if mvn is not None and mvn.norm_means:
            feats = feats - mvn.mean.to(feats.dtype)
        if mvn is not None and mvn.norm_vars:
            feats = feats / mvn.std.to(feats.dtype)
        return feats

    def _subsampled(self, feats: Tensor, is_final: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of features, and the features that the next chunk needs.

        ESPnet holds the last frame back until twice its step is heard.
        """
        step, length = self.encoder.subsample, _length(feats)
        ending = (length + 2 * step - self.least) // step - 1
        count = torch.where(is_final, ending, length // step - 2).clamp(min=0)
        # A convolution takes no fewer features than a frame needs.
        lack = (self.least - length).clamp(min=0)
        filled = torch.cat([feats, feats.new_zeros(1, lack, feats.shape[2])], 1)
        used = (count.clamp(min=1) - 1) * step + self.least
        frames: Tensor = self.encoder.embed(filled[:, :used], None)[0]
        return frames[:, :count], _unless(is_final, feats[:, count * step :])


class ChunkPosteriors(nn.Module):
    """From the frames of some blocks to CTC's log-probabilities.

    Args:
        graph: The model.
    """

    rate: Tensor

    def __init__(self, graph: EncoderCTC) -> None:
        super().__init__()
        self.encoder: Any = graph.model.encoder
        self.ctc_lo = graph.ctc_lo
        self.width: int = self.encoder.output_size()
        even = torch.arange(0, self.width, 2, dtype=torch.float32)
        rate = torch.exp(even * -(log(10000.0) / self.width))
        self.register_buffer("rate", rate, persistent=False)
        self.eval()

    def forward(
        self,
        frames: Tensor,
        count: Tensor,
        is_whole: Tensor,
        is_final: Tensor,
        contexts: Tensor,
        blocks: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hear at least one block.

        Args:
            frames: (1, N, W).
            count: How many blocks they fill.
            is_whole: Whether they are an utterance that is heard whole.
            is_final: Whether no other chunk follows.
            contexts: What each layer was told of the block before, (layers, W).
            blocks: How many blocks were heard before, (1,).

        Returns:
            ``ctc_log_probs`` (1, T, V), the next ``contexts`` and ``blocks``.
        """
        inner = self._blocks(frames[0], count, is_whole, blocks)
        size = _length(inner)
        place = _numbers(size)
        # As in training: all but a block's first place hear all but its last one.
        heard = (place[:, None] > 0) & (place <= self.encoder.block_size) | is_whole
        mask = heard.expand(count, size, size)[None]
        # Each block is told what the one before says; the first, what it says itself.
        source = torch.maximum(_numbers(count), (blocks[0] == 0).long())
        told = []
        for row, layer in enumerate(self.encoder.encoders):
            said = torch.cat([contexts[row : row + 1], inner[:, -1]])
            told.append(said[count:])
            context = torch.where(is_whole, inner[:, 0], said[source])
            inner = torch.cat([context[:, None], inner[:, 1:]], 1)
            # Of a short segment ESPnet's layer leaves the contexts alone.
            inner = layer.forward_infer(inner[None], mask, is_short_segment=True)[0][0]
        rows = self._rows(_length(frames), size, count, is_whole, is_final, blocks)
        encoded = inner.reshape(-1, self.width)[rows]
        if self.encoder.normalize_before:
            encoded = self.encoder.after_norm(encoded)
        log_probs = self.ctc_lo(encoded).log_softmax(-1)[None]
        next_contexts = torch.where(is_final, 0.0, torch.cat(told))
        return log_probs, next_contexts, torch.where(is_final, 0, blocks + count)

    def _blocks(
        self, frames: Tensor, count: Tensor, is_whole: Tensor, blocks: Tensor
    ) -> Tensor:
        """Blocks (count, block_size + 2, W), each between two context vectors.

        Of an utterance that is heard whole, its frames alone.
        """
        block, hop = self.encoder.block_size, self.encoder.hop_size
        total = _length(frames, 0)
        number = _numbers(count)
        place = number[:, None] * hop + _numbers(block)
        is_heard = place < total
        filled = torch.cat([frames, frames.new_zeros(block, self.width)])[place]
        inner = self._placed(filled, place + blocks * hop) * is_heard[..., None]
        context = filled.sum(1) / is_heard.sum(1, keepdim=True)
        if self.encoder.ctx_pos_enc:
            context = self._placed(context, number + blocks)
        inner = torch.cat([context[:, None], inner, context[:, None]], 1)
        end = torch.where(is_whole, total + 1, block + 2)
        return inner[:, is_whole.long() : end]

    def _placed(self, values: Tensor, place: Tensor) -> Tensor:
        """Values scaled and with the code of their place, which ESPnet keeps a table of."""
        angle = place[..., None] * self.rate
        code = torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)
        scale: float = self.encoder.pos_enc.xscale
        return values * scale + code

    def _rows(
        self,
        total: Tensor,
        size: Tensor,
        count: Tensor,
        is_whole: Tensor,
        is_final: Tensor,
        blocks: Tensor,
    ) -> Tensor:
        """Where the frames that are written stand in all blocks, one behind the other."""
        hop = self.encoder.hop_size
        past = self.encoder.block_size - self.encoder.look_ahead - hop
        # The frames before a block's own are written with the first one alone.
        start = torch.where(blocks[0] == 0, 0, past)
        end = torch.where(is_final, total, count * hop + past)
        place = _numbers(end - start) + start
        block = torch.minimum((place - past).clamp(min=0) // hop, count - 1)
        inside = place - block * hop
        return torch.where(is_whole, place, block * size + 1 + inside)


def _numbers(count: Any) -> Tensor:
    """The numbers from 0 on; torch's own types know no count that is a tensor."""
    return torch.arange(count)


def _length(values: Tensor, axis: int = 1) -> Any:
    """A length as a tensor, which a tracer does not take for a constant."""
    return torch._shape_as_tensor(values)[axis]


def _unless(is_final: Tensor, values: Tensor) -> Tensor:
    """Values (1, T, D) that the next chunk is given; of the last chunk none."""
    return values[:, : torch.where(is_final, 0, _length(values))]
