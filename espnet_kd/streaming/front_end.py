"""Features of a chunk: from audio by ESPnet's own streaming front end, or as they come."""

from math import ceil
from typing import Any, Protocol

import torch
from torch import Tensor


class FrontEnd(Protocol):
    """Turns chunks of an utterance into features."""

    def start(self) -> None:
        """Forget the utterance before."""
        ...

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor | None:
        """Give the features that are complete, (1, T, D); None before there are any."""
        ...


class AudioFrontEnd:
    """ESPnet's front end for streaming, which cuts frames where their windows are heard.

    It loses two frames of an utterance whose first chunk is shorter than a window, and
    stops at one shorter than what it keeps for the next: such chunks are held back.

    Args:
        recogniser: ESPnet's ``Speech2TextStreaming``.
    """

    def __init__(self, recogniser: Any) -> None:
        self.stock = recogniser
        window, hop = recogniser.win_length, recogniser.hop_length
        kept = 2 * ceil(ceil(window / hop) / 2) - 1  # hops, as apply_frontend counts them
        self.least = max(window + 1, kept * hop)
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.held: Tensor | None = None
        self.states: Any = None

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor | None:
        """Give the features that are complete.

        Args:
            chunk: Samples, (N,).
            is_final: Whether no other chunk follows.
        """
        if self.held is not None:
            chunk, self.held = torch.cat([self.held, chunk]), None
        if self.states is None and len(chunk) < self.least and not is_final:
            self.held = chunk
            return None
        feats: Tensor | None
        feats, _, self.states = self.stock.apply_frontend(
            chunk, self.states, is_final=is_final
        )
        return feats


class FeatureFrontEnd:
    """Features of a model without a front end, normalised as in its training.

    Args:
        model: An ESPnet model.
    """

    def __init__(self, model: Any) -> None:
        self.normalise = model.normalize

    def start(self) -> None:
        """Nothing is kept from chunk to chunk."""

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor:
        """Normalise a chunk.

        Args:
            chunk: (T, D).
            is_final: Whether no other chunk follows.
        """
        feats = chunk[None].clone()  # which ESPnet normalises in place
        if self.normalise is None or not len(chunk):
            return feats
        normalised: Tensor
        normalised, _ = self.normalise(feats, torch.tensor([len(chunk)]))
        return normalised
