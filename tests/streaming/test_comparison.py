"""A graph and ESPnet's own encoder, compared at every chunk."""

import pytest
import torch
from conftest import INPUT_SIZE
from streams import block_model, block_options

from espnet_kd.errors import KDError
from espnet_kd.streaming import comparison
from espnet_kd.streaming.comparison import (
    ChunkComparison,
    ModelStream,
    compare_chunks,
    random_utterances,
)
from espnet_kd.student.distance import GraphDistance
from espnet_kd.student.export import EncoderCTC

DISTANCE = GraphDistance(0.25, 0.5, 1.0, 8)


@pytest.fixture(scope="module")
def graph():
    """A tiny model without what is not exported."""
    return EncoderCTC(block_model(block_options()))


class Off(ModelStream):
    """Says what the model says, and a chunk late in the utterance something else."""

    amount, frames = 0.0, 0

    def start(self):
        super().start()
        self.count = 0

    def __call__(self, chunk, is_final):
        said = super().__call__(chunk, is_final)
        self.count += 1
        if self.count == 5:
            return torch.cat([said, said[: self.frames]]) + self.amount
        return said


def compared(graph, monkeypatch, feats=None, **off):
    stream = type("Stream", (Off,), off)
    monkeypatch.setattr(comparison, "GraphStream", lambda _: stream(graph))
    feats = feats or random_utterances(graph.model.encoder, INPUT_SIZE)
    return compare_chunks(graph, None, feats, 10.0)


def test_one_chunk_that_is_off_is_found(graph, monkeypatch):
    found = compared(graph, monkeypatch)
    assert found.distance.largest == 0
    assert found.chunk_ms == 320  # a hop of 8 frames of 40 ms
    # Of features (16 + 64) * 4 + 3, 16 * 4, 18 * 4; the first twice, 15 * 4 of it as well.
    assert found.distance.frames == 2 * 80 + 15 + 17 + 14
    assert found.model_ms > 0
    assert found.graph_ms > 0
    off = compared(graph, monkeypatch, amount=0.25)
    assert off.distance.largest == pytest.approx(0.25, abs=1e-6)


def test_another_number_of_frames_is_named_with_its_chunk(graph, monkeypatch):
    said = "gives 9 frames where PyTorch gives 8, at chunk 5 of 32 frames"
    with pytest.raises(KDError, match=said):
        compared(graph, monkeypatch, frames=1)


def test_data_without_a_frame_are_named(graph, monkeypatch):
    with pytest.raises(KDError, match="no utterance of the data has 7 frames of features"):
        compared(graph, monkeypatch, [torch.zeros(1, 6, INPUT_SIZE)])


def test_what_the_encoder_stumbles_over_is_named(graph, monkeypatch):
    def fail(self, chunk, is_final):
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(comparison, "GraphStream", lambda _: ModelStream(graph))
    monkeypatch.setattr(ModelStream, "__call__", fail)
    feats = random_utterances(graph.model.encoder, INPUT_SIZE)
    said = "cannot be fed in chunks: RuntimeError: sizes do not match"
    with pytest.raises(KDError, match=said):
        compare_chunks(graph, None, feats, 10.0)


def test_torch_has_its_threads_back(graph, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        compared(graph, monkeypatch)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_line_by_hand():
    said = "best token the same in 100.00%"
    text = str(ChunkComparison(DISTANCE, 640.0, graph_ms=8.0, model_ms=20.0))
    assert text.endswith(f"{said}; a chunk of 640 ms takes 8 ms, 0.40 of PyTorch's 20 ms")
    assert str(ChunkComparison(DISTANCE, 640.0, None, None)).endswith(said)
