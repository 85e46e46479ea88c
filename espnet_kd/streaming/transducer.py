"""A transducer that is fed chunk by chunk: its features, its encoder and its search."""

from typing import Any

import torch
from torch import Tensor

from espnet_kd.streaming.chunks import frames_of, stride_of
from espnet_kd.streaming.front_end import FeatureFrontEnd, FrontEnd

# Frames of the embedding that touch a seam, one on either side: ESPnet drops them, and
# makes them again with the next chunk.
SEAMS = 2


class AudioWindows:
    """ESPnet's online features of the asr_transducer task.

    Chunks too short for a frame of the encoder's are held back, at which ESPnet stops.

    Args:
        recogniser: ESPnet's ``Speech2Text``, made for streaming.
        chunk: Samples given at a time, up to which ESPnet fills the last ones.
    """

    def __init__(self, recogniser: Any, chunk: int) -> None:
        self.stock = recogniser.audio_processor
        self.embed = recogniser.asr_model.encoder.embed
        needed = next(n for n in range(1, 1000) if frames_of(self.embed, n) > SEAMS)
        least = (needed - 1 + self.stock.trim_val) * self.stock.hop_sz
        self.stock.decoding_samples = max(chunk, least)
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.stock.reset_cache()
        self.held = torch.zeros(0)

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor | None:
        """Give the features that are complete, with those of the seam before.

        Args:
            chunk: Samples, (N,).
            is_final: Whether no other chunk follows.
        """
        chunk, self.held = torch.cat([self.held, chunk]), chunk[:0]
        has_sound = len(chunk) or self.stock.samples is not None
        if not has_sound or not (is_final or self._is_enough(len(chunk))):
            self.held = chunk
            return None
        feats: Tensor
        feats, _ = self.stock.compute_features(chunk, is_final)
        return feats

    def _is_enough(self, samples: int) -> bool:
        """Whether so many samples more make a frame of the encoder's; as ESPnet cuts."""
        stock = self.stock
        if stock.samples is not None:
            samples += len(stock.samples)
        hops = (samples - stock.win_hop_sz) // stock.hop_sz
        feats: int = 1 + (stock.win_hop_sz + hops * stock.hop_sz) // stock.hop_sz
        feats -= stock.trim_val
        if stock.feats is not None:
            feats += stock.feats.shape[1] - stock.trim_val
        return hops >= 0 and frames_of(self.embed, feats) > SEAMS


class FeatureWindows:
    """Features as they come, with those of the seam before, cut where frames are.

    An utterance begins and ends with frames of zeros for the seams there, so that every
    frame of the encoder's is written that it has of the whole.

    Args:
        model: An ESPnet model.
    """

    def __init__(self, model: Any) -> None:
        self.normalised = FeatureFrontEnd(model)
        self.embed = model.encoder.embed
        self.stride = stride_of(self.embed)
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.kept: Tensor | None = None

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor | None:
        """Give the features that are complete, with those of the seam before.

        Args:
            chunk: (T, D).
            is_final: Whether no other chunk follows.
        """
        if not len(chunk) and self.kept is None:
            return None
        feats = self.normalised(chunk, is_final)
        edge = feats.new_zeros(1, self.stride, feats.shape[-1])
        before = edge if self.kept is None else self.kept
        feats = torch.cat([before, feats, edge] if is_final else [before, feats], 1)
        frames = frames_of(self.embed, feats.shape[1])
        if frames <= SEAMS:
            self.kept = feats
            return None
        self.kept = feats[:, self.stride * (frames - SEAMS) :]
        return feats


class TransducerEncoder:
    """An encoder of the asr_transducer task with its state between chunks.

    Args:
        recogniser: ESPnet's ``Speech2Text``, made for streaming.
        front_end: Gives the features of a chunk.
    """

    def __init__(self, recogniser: Any, front_end: FrontEnd) -> None:
        self.encoder = recogniser.asr_model.encoder
        self.left_context = recogniser.left_context
        self.front_end = front_end
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.front_end.start()
        self.encoder.reset_cache(self.left_context, device=torch.device("cpu"))
        self.frames = torch.tensor([[0]])

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor:
        """Give the frames of the encoder's output that are complete, (T, D).

        Args:
            chunk: Samples, (N,), or features, (T, D).
            is_final: Whether no other chunk follows.
        """
        feats = self.front_end(chunk, is_final)
        if feats is None:
            return torch.zeros(0, self.encoder.output_size)
        lengths = torch.tensor([feats.shape[1]])
        encoded: Tensor = self.encoder.chunk_forward(
            feats, lengths, self.frames, left_context=self.left_context
        )
        self.frames += encoded.shape[1]
        return encoded[0]


class TransducerSearch:
    """ESPnet's own search of a transducer, which goes on from chunk to chunk.

    What it has written by now is its best hypothesis.

    Args:
        recogniser: ESPnet's ``Speech2Text``.
    """

    def __init__(self, recogniser: Any) -> None:
        self.search = recogniser.beam_search
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.search.reset_cache()
        self.written: list[int] = []

    def __call__(self, encoded: Tensor, is_final: bool) -> list[int]:
        """Give all labels that are written by now.

        Args:
            encoded: The next frames of the encoder's output, (T, D).
            is_final: Whether no other frames follow.
        """
        if len(encoded):
            # It goes on with the list that it gives, which must not be sorted.
            found = list(self.search(encoded, is_final=False))
            best = self.search.sort_nbest(found)[0]
            self.written = [label for label in best.yseq if label]
        return self.written
