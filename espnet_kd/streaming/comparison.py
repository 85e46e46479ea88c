"""An exported graph beside ESPnet's own encoder, chunk by chunk."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any

import torch
from torch import Tensor

from espnet_kd.errors import KDError, reason_of
from espnet_kd.streaming.driver import ChunkEncoder
from espnet_kd.streaming.export import STATE, chunk_frames
from espnet_kd.streaming.front_end import FeatureFrontEnd
from espnet_kd.student.distance import GraphDistance
from espnet_kd.student.export import EncoderCTC, open_onnx

# Hops behind the first block of the longest of the random utterances.
HOPS = 8


class ModelStream:
    """A model that says the posteriors of chunks, by ESPnet's own way of streaming.

    Args:
        graph: The model.
    """

    def __init__(self, graph: EncoderCTC) -> None:
        self.ctc_lo = graph.ctc_lo
        # The graph holds what normalises, as a model does.
        self.encode = ChunkEncoder(graph.model, FeatureFrontEnd(graph))

    def start(self) -> None:
        """Forget the utterance before."""
        self.encode.start()

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor:
        """Give the log-probabilities that are complete, (T', V).

        Args:
            chunk: Features, (T, D), before normalisation.
            is_final: Whether no other chunk follows.
        """
        log_probs: Tensor = self.ctc_lo(self.encode(chunk, is_final)).log_softmax(-1)
        return log_probs


class GraphStream:
    """An exported graph with its state between chunks.

    Args:
        path: The graph.

    Raises:
        KDError: If onnx or onnxruntime is missing.
    """

    def __init__(self, path: Path) -> None:
        self.session = open_onnx(path)
        facts = self.session.get_modelmeta().custom_metadata_map
        self.shapes: dict[str, Any] = json.loads(facts["state"])
        self.start()

    def start(self) -> None:
        """Forget the utterance before."""
        self.state = {
            name: torch.zeros(one["shape"], dtype=getattr(torch, one["type"])).numpy()
            for name, one in self.shapes.items()
        }

    def __call__(self, chunk: Tensor, is_final: bool) -> Tensor:
        """Give the log-probabilities that are complete, (T', V).

        Args:
            chunk: Features, (T, D), before normalisation.
            is_final: Whether no other chunk follows; the state is then that of a start.
        """
        given = {"feats": chunk[None].numpy(), "is_final": torch.tensor(is_final).numpy()}
        log_probs, *state = self.session.run(None, given | self.state)
        self.state = dict(zip(STATE, state, strict=True))
        return torch.from_numpy(log_probs[0])


@dataclass(frozen=True)
class ChunkComparison:
    """What a graph says, and how long it takes, beside PyTorch on one thread.

    Attributes:
        distance: Over all chunks.
        chunk_ms: How much is spoken in a chunk of one hop.
        graph_ms: Median time of such a chunk.
        model_ms: The same of PyTorch; both None without one that completes a block.
    """

    distance: GraphDistance
    chunk_ms: float
    graph_ms: float | None
    model_ms: float | None

    def __str__(self) -> str:
        """The distance, and the times if there are any."""
        text = str(self.distance)
        if self.graph_ms is None or self.model_ms is None:
            return text
        share = self.graph_ms / self.model_ms
        return (
            f"{text}; a chunk of {self.chunk_ms:g} ms takes {self.graph_ms:.3g} ms, "
            f"{share:.2f} of PyTorch's {self.model_ms:.3g} ms"
        )


def compare_chunks(
    graph: EncoderCTC, path: Path, feats: Sequence[Tensor], shift_ms: float
) -> ChunkComparison:
    """Compare a graph with its model at every chunk, hop by hop.

    The longest utterance is heard again in chunks that are not the hop, and a piece of it
    as an utterance that is shorter than a block.

    Args:
        graph: The model that was exported.
        path: The graph.
        feats: Utterances, (1, T, D), before normalisation.
        shift_ms: Milliseconds from one frame of features to the next.

    Raises:
        KDError: If PyTorch stumbles, the two do not agree in the number of frames, or no
            utterance is long enough for one.
    """
    model, exported = ModelStream(graph), GraphStream(path)
    encoder, hop = graph.model.encoder, chunk_frames(graph.model.encoder)
    longest = max(feats, key=lambda one: one.shape[1])
    short = longest[:, : (encoder.block_size - 1) * encoder.subsample]
    with torch.no_grad(), _one_thread():
        pieces = [pair for one in feats for pair in _both(model, exported, one[0], hop)]
        times = [pair.seconds for pair in pieces if len(pair.model)]
        for again, chunk in ((longest, hop // 3 + 1), (short, hop)):
            pieces += _both(model, exported, again[0], chunk)
    if not any(len(pair.model) for pair in pieces):
        raise KDError(
            f"no utterance of the data has {model.encode.least} frames of features, which "
            "the encoder needs for one of its own; name data with longer ones"
        )
    distance = GraphDistance.of([p.model for p in pieces], [p.graph for p in pieces])
    model_ms, graph_ms = (
        [1000 * median(column) for column in zip(*times, strict=True)]
        if times
        else (None, None)
    )
    return ChunkComparison(distance, hop * shift_ms, graph_ms, model_ms)


def random_utterances(encoder: Any, size: int) -> list[Tensor]:
    """Random features (1, T, D): of several blocks, of one heard whole, of one frame more.

    Args:
        encoder: A contextual-block encoder.
        size: Numbers of a frame of features.
    """
    noise = torch.Generator().manual_seed(0)
    step = encoder.subsample
    several = (encoder.block_size + HOPS * encoder.hop_size) * step + 3
    lengths = (several, encoder.block_size * step, (encoder.block_size + 2) * step)
    return [torch.randn(1, frames, size, generator=noise) for frames in lengths]


@dataclass(frozen=True)
class _Pair:
    """What both say of one chunk, (T', V), and their seconds, the model's first."""

    model: Tensor
    graph: Tensor
    seconds: tuple[float, float]


def _both(
    model: ModelStream, graph: GraphStream, feats: Tensor, chunk: int
) -> Iterator[_Pair]:
    """Feed one utterance, (T, D), to both."""
    for stream in (model, graph):
        stream.start()
    last = len(feats) // chunk
    for place in range(last + 1):
        given = feats[place * chunk : (place + 1) * chunk]
        model_says, model_time = _timed(model, given, place == last)
        graph_says, graph_time = _timed(graph, given, place == last)
        if model_says.shape != graph_says.shape:
            raise KDError(
                f"the graph gives {len(graph_says)} frames where PyTorch gives "
                f"{len(model_says)}, at chunk {place + 1} of {chunk} frames"
            )
        yield _Pair(model_says, graph_says, (model_time, graph_time))


def _timed(
    stream: ModelStream | GraphStream, chunk: Tensor, is_final: bool
) -> tuple[Tensor, float]:
    began = thread_time()
    try:
        said = stream(chunk, is_final)
    except Exception as error:  # of layers in whatever they were configured
        raise KDError(f"the encoder cannot be fed in chunks: {reason_of(error)}") from error
    return said, thread_time() - began


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
