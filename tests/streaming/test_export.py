"""The streaming graph beside ESPnet's own encoder, chunk by chunk."""

import json

import numpy as np
import onnx
import pytest
import torch
from conftest import INPUT_SIZE, TOKENS
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from streams import KINDS, block_model, block_options

from espnet_kd.errors import KDError
from espnet_kd.streaming.comparison import GraphStream, ModelStream
from espnet_kd.streaming.export import Heard, chunk_frames, export_streaming
from espnet_kd.student.export import EncoderCTC, quantize_onnx

HEARD = Heard(INPUT_SIZE, 16000, 10.0)
# None, less than a frame, a frame, less than a block, a block and seams of the blocks.
FRAMES = [0, 6, 7, 31, 65, 66, 67, 68, 163, 164, 220]
TOLERANCE = 1e-4
SLOW = pytest.mark.slow
PARTS = ("norm_means", "norm_vars")


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exported(folder, kind=KINDS[1], shape=(16, 8, 4), conf=None, **more):
    """A tiny model without what is not exported, and its graph on disk."""
    options = block_options(kind, shape, **more)
    options["encoder_conf"] |= conf or {}
    graph = EncoderCTC(block_model(options))
    export_streaming(graph, HEARD, folder / "ctc.streaming.onnx")
    return graph, folder / "ctc.streaming.onnx"


def in_chunks(stream, speech, chunk):
    """What is said of each chunk of one utterance."""
    last = len(speech) // chunk
    stream.start()
    with torch.no_grad():
        return [
            stream(speech[n * chunk : (n + 1) * chunk], n == last) for n in range(last + 1)
        ]


def assert_alike(graph, path, frames, chunks, offset=0.0):
    """Of each chunk the same number of frames, and the same log-probabilities."""
    model, stream = ModelStream(graph), GraphStream(path)
    for count in frames:
        speech = noise(count, INPUT_SIZE) + offset
        for chunk in chunks:
            pairs = zip(
                *(in_chunks(s, speech, chunk) for s in (model, stream)), strict=True
            )
            for expected, found in pairs:
                torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_says_what_espnet_says_at_every_chunk(kind, tmp_path):
    graph, path = exported(tmp_path, kind)
    assert_alike(graph, path, FRAMES, (33, 500))
    assert_alike(graph, path, (164,), (1, 32))


@SLOW
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40, 16, 16), (6, 3, 3), (4, 4, 0)], ids=str)
def test_of_other_blocks_as_well(kind, shape, tmp_path):
    graph, path = exported(tmp_path, kind, shape)
    assert_alike(graph, path, [*FRAMES, 333], (7, 64, 500))


@SLOW
@pytest.mark.parametrize(
    ("kind", "conf"),
    [
        (KINDS[0], {"input_layer": "conv2d6"}),
        (KINDS[1], {"input_layer": "conv2d8"}),
        (KINDS[1], {"macaron_style": True, "cnn_module_kernel": 7}),
        (KINDS[1], {"use_cnn_module": False, "ctx_pos_enc": False}),
        (KINDS[0], {"normalize_before": False, "concat_after": True}),
        (KINDS[0], {"positionwise_layer_type": "conv1d"}),
    ],
    ids=str,
)
def test_of_other_layers_as_well(kind, conf, tmp_path):
    graph, path = exported(tmp_path, kind, conf=conf)
    assert_alike(graph, path, [11, 15, 100, 400], (17, 500))


@pytest.mark.parametrize(
    "only", [{}, *(pytest.param({n: False}, marks=SLOW) for n in PARTS)]
)
def test_normalisation_is_inside(only, tmp_path):
    """Statistics of 9 frames: 5 of 3 and 4 of 4.5, so that nothing is near 0 or 1."""
    values = np.array([3.0] * 5 + [4.5] * 4)[:, None] * np.arange(1, INPUT_SIZE + 1)
    sums = {"sum": values.sum(0), "sum_square": (values**2).sum(0), "count": len(values)}
    np.savez(tmp_path / "stats.npz", **sums)
    conf = {"stats_file": str(tmp_path / "stats.npz"), **only}
    more = {"normalize": "global_mvn", "normalize_conf": conf}
    graph, path = exported(tmp_path, **more)
    assert_alike(graph, path, (0, 40, 120), (16,), offset=3.5)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model and its graph."""
    return exported(tmp_path_factory.mktemp("graph"))


def test_nothing_is_left_of_the_utterance_before(pair):
    """Neither of a whole one nor of one that was not finite, though nobody starts anew."""
    stream, speech = GraphStream(pair[1]), noise(100, INPUT_SIZE)
    alone = in_chunks(stream, speech, 32)
    for before in (
        noise(333, INPUT_SIZE, seed=1),
        torch.full((200, INPUT_SIZE), torch.nan),
    ):
        for start in range(0, len(before), 50):
            stream(before[start : start + 50], start + 50 >= len(before))
        assert all(np.isfinite(value).all() for value in stream.state.values())
        again = [stream(speech[n : n + 32], n == 96) for n in range(0, 100, 32)]
        assert all(map(torch.equal, again, alone))


@SLOW
def test_four_minutes_are_heard_in_a_state_that_does_not_grow(pair):
    """Which is longer than ESPnet's table of places, of 5000 frames, is at first."""
    speech = noise(24000, INPUT_SIZE)
    model, stream = ModelStream(pair[0]), GraphStream(pair[1])
    with torch.no_grad():
        for start in range(0, 24000, 32):
            chunk, is_final = speech[start : start + 32], start + 32 >= 24000
            expected, found = model(chunk, is_final), stream(chunk, is_final)
            torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE)
            shapes = {name: value.shape for name, value in stream.state.items()}
            assert shapes["kept_feats"][1] < 3 * 4  # three steps of the subsampling
            assert shapes["kept_frames"][1] <= 16
            assert (shapes["contexts"], shapes["blocks"]) == ((2, 16), (1,))


def test_a_whole_utterance_is_one_chunk(pair):
    """What ESPnet says in training, where no chunk is known."""
    graph, path = pair
    stream = GraphStream(path)
    for frames in (50, 300):
        speech = noise(frames, INPUT_SIZE)
        with torch.no_grad():
            expected, _ = graph(speech[None], torch.tensor([frames]))
        torch.testing.assert_close(
            stream(speech, True), expected[0], rtol=0, atol=TOLERANCE
        )


def test_the_metadata_tell_all_that_is_needed(pair):
    facts = {entry.key: entry.value for entry in onnx.load(pair[1]).metadata_props}
    assert json.loads(facts.pop("token_list")) == TOKENS
    assert json.loads(facts.pop("state")) == {
        "kept_feats": {"shape": [1, 0, INPUT_SIZE], "type": "float32"},
        "kept_frames": {"shape": [1, 0, 16], "type": "float32"},
        "contexts": {"shape": [2, 16], "type": "float32"},
        "blocks": {"shape": [1], "type": "int64"},
    }
    assert facts == {
        "blank_id": "0",
        "encoder": "ContextualBlockConformerEncoder",
        "feature_size": str(INPUT_SIZE),
        "sample_rate": "16000",
        "frame_shift_ms": "10",
        "frontend": "null",
        "chunk_frames": "32",  # a hop of 8, subsampled by 4
        "subsampling": "4",
        "block_size": "16",
        "hop_size": "8",
        "look_ahead": "4",
    }
    assert chunk_frames(pair[0].model.encoder) == 32


def test_two_utterances_at_a_time_are_refused(pair):
    stream = GraphStream(pair[1])
    feats = np.zeros((2, 32, INPUT_SIZE), np.float32)
    with pytest.raises(InvalidArgument, match="Got: 2 Expected: 1"):
        stream.session.run(
            None, {"feats": feats, "is_final": np.array(True)} | stream.state
        )


def kinds_of(graph):
    """The operators of a graph and of its branches."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            yield from kinds_of(attribute.g)


def test_the_branch_becomes_integers_as_well(pair, tmp_path):
    """Subsampling, CTC, and of each of two layers four of attention, two of the rest."""
    quantize_onnx(pair[1], tmp_path / "int8.onnx")
    kinds = list(kinds_of(onnx.load(tmp_path / "int8.onnx").graph))
    assert kinds.count("MatMulInteger") == 2 + 2 * 6
    assert "ConvInteger" not in kinds
    model, stream = ModelStream(pair[0]), GraphStream(tmp_path / "int8.onnx")
    speech = noise(200, INPUT_SIZE)
    found, expected = (torch.cat(in_chunks(s, speech, 32)) for s in (stream, model))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 0.5


@pytest.mark.parametrize(
    ("shape", "conf", "sentence"),
    [
        ((0, 8, 4), {}, "block_size 0 hears an utterance whole"),
        ((8, 8, 4), {}, "which are 12 frames"),
        ((16, 8, 4), {"init_average": False}, "train with 'init_average: true'"),
    ],
)
def test_what_cannot_be_fed_in_chunks_is_refused(shape, conf, sentence, tmp_path):
    with pytest.raises(KDError, match=sentence):
        exported(tmp_path, shape=shape, conf=conf)
    assert not list(tmp_path.iterdir())


def test_a_layer_that_cannot_be_traced_is_refused(tmp_path):
    graph = EncoderCTC(block_model(block_options()))
    graph.model.encoder.encoders[0].forward_infer = None
    with pytest.raises(KDError, match=r"ConformerEncoder cannot be exported \(TypeError"):
        export_streaming(graph, HEARD, tmp_path / "ctc.streaming.onnx")
    assert not list(tmp_path.iterdir())
