"""Feed a streaming model chunk by chunk, and keep what it had written after each."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from espnet_kd.errors import KDError, reason_of
from espnet_kd.host.front_end import takes_features
from espnet_kd.pseudo_labels.decoding import open_recogniser
from espnet_kd.streaming.blocks import DEFAULTS, check_streams
from espnet_kd.streaming.chunks import check_chunks, check_search
from espnet_kd.streaming.front_end import AudioFrontEnd, FeatureFrontEnd, FrontEnd
from espnet_kd.streaming.search import GreedySearch, OnlineBeamSearch, Search
from espnet_kd.streaming.transducer import (
    AudioWindows,
    FeatureWindows,
    TransducerEncoder,
    TransducerSearch,
)


@dataclass(frozen=True)
class Answer:
    """What a model had written after one chunk.

    Attributes:
        heard: How much of the utterance it had been given, in samples or feature frames.
        labels: All labels written by then.
        seconds: How long this chunk took.
    """

    heard: int
    labels: tuple[int, ...]
    seconds: float


class ChunkEncoder:
    """A contextual-block encoder with its state between chunks.

    Args:
        model: An ESPnet model.
        front_end: Gives the features of a chunk.
    """

    def __init__(self, model: Any, front_end: FrontEnd) -> None:
        self.encoder = model.encoder
        self.front_end = front_end
        self.least = least_frames(self.encoder)
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.front_end.start()
        self.states: Any = None
        self.frames = 0

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor:
        """Give the frames of the encoder's output that are complete, (T, D).

        Args:
            chunk: Samples, (N,), or features, (T, D).
            is_final: Whether no other chunk follows.
        """
        feats = self.front_end(chunk, is_final)
        self.frames += 0 if feats is None else feats.shape[1]
        if feats is None or (is_final and self.frames < self.least):
            return torch.zeros(0, self.encoder.output_size())
        lengths = torch.tensor([feats.shape[1]])
        encoded: Tensor
        encoded, _, self.states = self.encoder(
            feats, lengths, self.states, is_final=is_final, infer_mode=True
        )
        return encoded[0]


class Encoder(Protocol):
    """An encoder with its state between chunks."""

    def start(self) -> None:
        """Forget the utterance before."""
        ...

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor:
        """Give the frames of the encoder's output that are complete, (T, D)."""
        ...


class Driver:
    """A model that hears utterances chunk by chunk.

    Args:
        model: An ESPnet model.
        encode: Its encoder.
        search: What is written of the encoder's output.
        dimensions: Numbers of a frame of the features that it takes; None for audio.
    """

    def __init__(
        self, model: Any, encode: Encoder, search: Search, dimensions: int | None
    ) -> None:
        self.model = model
        self.encode = encode
        self.search = search
        self.dimensions = dimensions

    @torch.no_grad()
    def __call__(self, utt: str, speech: Tensor, chunk: int) -> list[Answer]:
        """Decode one utterance; nothing is left of the one before.

        An utterance too short for a frame of the encoder's, or empty, is answered by no
        labels.

        Args:
            utt: What to call it.
            speech: Samples, (N,), or features, (T, D).
            chunk: Samples or frames given at a time; what is left is the last chunk, and
                may be empty, for that one has ended is known only then.

        Returns:
            What had been written after each chunk, at least one.

        Raises:
            KDError: If it is not what the model takes, or cannot be decoded.
        """
        self._check(utt, speech)
        self.encode.start()
        self.search.start()
        whole = len(speech) // chunk
        try:
            return [
                self._push(speech, place * chunk, chunk, is_final=place == whole)
                for place in range(whole + 1)
            ]
        except Exception as error:  # of whatever a search does with its options
            raise KDError(
                f"'{utt}' cannot be streamed ({reason_of(error)}); check the options of "
                "--inference_config, and the model's config.yaml"
            ) from error

    def _push(self, speech: Tensor, start: int, chunk: int, *, is_final: bool) -> Answer:
        given = speech[start : start + chunk]
        began = time.perf_counter()
        labels = self.search(self.encode(given, is_final), is_final)
        seconds = time.perf_counter() - began
        return Answer(start + len(given), tuple(labels), seconds)

    def _check(self, utt: str, speech: Tensor) -> None:
        found = "audio" if speech.dim() == 1 else f"features of {speech.shape[-1]} numbers"
        if not self.dimensions and speech.dim() != 1:
            raise KDError(
                f"'{utt}' is {found}, and the model takes audio of one channel; name "
                "wav.scp,speech,sound"
            )
        if self.dimensions and speech.dim() == 1 and len(speech):
            raise KDError(
                f"'{utt}' is {found}, and the model takes features of {self.dimensions} "
                "numbers; name feats.scp,speech,kaldi_ark"
            )
        if self.dimensions and len(speech) and speech.shape[-1] != self.dimensions:
            raise KDError(
                f"'{utt}' is {found}, and the model takes {self.dimensions}; name the "
                "features that it was trained on"
            )


def least_frames(encoder: Any) -> int:
    """Feature frames that an encoder's subsampling needs for one frame of its own."""
    embed = encoder.embed
    frames = 1
    for kernel, stride in zip(
        reversed(embed.kernels), reversed(embed.strides), strict=True
    ):
        frames = (frames - 1) * stride + kernel
    return frames


def open_driver(
    name: str, settings: dict[str, Any], weights: Path, search: str, options: dict[str, Any]
) -> Driver:
    """Open a model of CTC and attention as one that is fed chunk by chunk.

    Args:
        name: What to call it.
        settings: Its configuration, with resolved paths.
        weights: Its checkpoint.
        search: ``beam`` or ``ctc``.
        options: Options of ``asr_inference_streaming``.

    Raises:
        KDError: If it does not stream, cannot be trusted, or lacks what the search needs.
    """
    check_streams(name, settings)
    blocks = DEFAULTS | (settings.get("encoder_conf") or {})
    settings = settings | {"encoder_conf": blocks}
    # Of a model without a decoder, or without CTC, the other part counts alone.
    share = (settings.get("model_conf") or {}).get("ctc_weight")
    if share in (0, 1):
        options = {"ctc_weight": float(share)} | options
    recogniser: Any = open_recogniser(settings, weights, options, "cpu", is_streaming=True)
    model = recogniser.asr_model
    if model.ctc is None and (search == "ctc" or options.get("ctc_weight", 0.5) > 0):
        raise KDError(
            f"{name} was trained without CTC, by which it is to be decoded; choose "
            "--search beam and ctc_weight 0 in --inference_config"
        )
    front_end: FrontEnd = (
        FeatureFrontEnd(model) if takes_features(settings) else AudioFrontEnd(recogniser)
    )
    found: Search = GreedySearch(model) if search == "ctc" else OnlineBeamSearch(recogniser)
    encode = ChunkEncoder(model, front_end)
    return Driver(model, encode, found, settings.get("input_size"))


def open_transducer(
    name: str, settings: dict[str, Any], weights: Path, chunk: int, options: dict[str, Any]
) -> Driver:
    """Open a model of the asr_transducer task as one that is fed chunk by chunk.

    Args:
        name: What to call it.
        settings: Its configuration, with resolved paths.
        weights: Its checkpoint.
        chunk: Samples or frames that it will be given at a time.
        options: Options of ``asr_transducer_inference``.

    Raises:
        KDError: If it does not stream, cannot be trusted, or its search does not.
    """
    check_chunks(name, settings)
    check_search(options)
    # ESPnet's reader of this asks for settings that features do not have.
    ready = settings | {"frontend_conf": settings.get("frontend_conf") or {}}
    given = (ready, weights, options, "cpu")
    recogniser: Any = open_recogniser(*given, task="asr_transducer", is_streaming=True)
    stock = recogniser.stock
    front_end: FrontEnd = (
        FeatureWindows(stock.asr_model)
        if takes_features(settings)
        else AudioWindows(stock, chunk)
    )
    encode, search = TransducerEncoder(stock, front_end), TransducerSearch(stock)
    return Driver(stock.asr_model, encode, search, settings.get("input_size"))


def texts_of(model: Any, labels: Sequence[int]) -> list[str]:
    """The tokens of labels."""
    return [model.token_list[label] for label in labels]
