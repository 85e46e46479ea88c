"""What a model has written so far, after each piece of its encoder's output."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from typing import Any, Protocol

from torch import Tensor

KINDS = ("beam", "ctc")


def kind_of(options: Mapping[str, Any]) -> str:
    """Which search an inference configuration describes.

    Args:
        options: ESPnet's options of a search. CTC alone with a beam of one is greedy CTC,
            which a block-synchronous beam without a decoder is not.
    """
    is_greedy = options.get("ctc_weight") == 1.0 and options.get("beam_size") == 1
    return "ctc" if is_greedy else "beam"


class Search(Protocol):
    """Decodes an utterance whose encoder output comes in pieces."""

    def start(self) -> None:
        """Forget the utterance before."""
        ...

    def __call__(self, encoded: Tensor, is_final: bool) -> list[int]:
        """Give all labels that are written by now, of frames (T, D) and those before."""
        ...


class GreedySearch:
    """Greedy CTC: best tokens, repeats merged across pieces, blanks dropped.

    Args:
        model: An ESPnet model with CTC.
    """

    def __init__(self, model: Any) -> None:
        self.ctc_lo = model.ctc.ctc_lo
        self.blank_id = model.blank_id
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.best: list[int] = []

    def __call__(self, encoded: Tensor, is_final: bool) -> list[int]:
        """Give all labels that are written by now.

        Args:
            encoded: The next frames of the encoder's output, (T, D).
            is_final: Whether no other frames follow.
        """
        if len(encoded):  # torchao's 8-bit layers take no empty input
            self.best += self.ctc_lo(encoded).argmax(-1).tolist()
        return [label for label, _ in groupby(self.best) if label != self.blank_id]


class OnlineBeamSearch:
    """ESPnet's block-synchronous beam search, by the blocks that the encoder has.

    What it has written by now is its best running hypothesis. ESPnet itself shows one only
    where a hypothesis of a block has ended, and searches every model as 40/16/16.

    Args:
        recogniser: ESPnet's ``Speech2TextStreaming``.

    Source: Tsunoo et al. Streaming Transformer ASR with Blockwise Synchronous Beam Search.
    2020. https://arxiv.org/abs/2006.14941
    """

    def __init__(self, recogniser: Any) -> None:
        self.search = recogniser.beam_search
        self.ratios = (recogniser.maxlenratio, recogniser.minlenratio)
        self.model = recogniser.asr_model
        encoder = self.model.encoder
        self.search.block_size = encoder.block_size
        self.search.hop_size = encoder.hop_size
        self.search.look_ahead = encoder.look_ahead
        self.search.process_one_block = _unless_ended(self.search)
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.search.reset()
        self.written: list[int] = []

    def __call__(self, encoded: Tensor, is_final: bool) -> list[int]:
        """Give all labels that are written by now.

        Args:
            encoded: The next frames of the encoder's output, (T, D).
            is_final: Whether no other frames follow.
        """
        if not len(encoded) and self.search.encbuffer is None:
            return []  # too short for a frame, of which there is nothing to search
        most, least = self.ratios
        with _without_warnings():
            # ESPnet would count a greatest length from what was heard so far.
            limits = (most if is_final else 0.0, least)
            ended = self.search(encoded, *limits, is_final=is_final)
        running = self.search.running_hyps
        if ended and (is_final or not len(running)):
            self.written = self._labels(ended[0].yseq[1:-1])
        elif running is not None and len(running):
            self.written = self._labels(running.yseq[0, 1 : int(running.length[0])])
        return self.written

    def _labels(self, tokens: Tensor) -> list[int]:
        # As ESPnet does: blank is one of the tokens that its decoder may write.
        apart = (self.model.blank_id, self.model.eos)
        return [token for token in tokens.tolist() if token not in apart]


def _unless_ended(search: Any) -> Callable[..., list[Any]]:
    """ESPnet's step of a block, which stumbles where all hypotheses have ended before.

    They do at the greatest length, which they may reach in a block that is not the last.
    """
    step = search.process_one_block

    def process_one_block(*block: Any) -> list[Any]:
        if len(search.running_hyps):
            found: list[Any] = step(*block)
        else:
            found = search.assemble_hyps(search.ended_hyps)
        return found

    return process_one_block


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Leave out that no hypothesis has ended, which is said of every block."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
