"""Which models stream, and what their blocks mean in time."""

import pytest
from streams import block_options

from espnet_kd.errors import KDError
from espnet_kd.streaming.blocks import Blocks, check_streams


def test_times_by_hand():
    blocks = Blocks(block_size=16, hop_size=8, look_ahead=4, frame_ms=40.0)
    assert blocks.look_ahead_ms == 160  # four frames
    assert blocks.longest_wait_ms == 440  # seven more of its hop, and those four
    assert blocks.first_ms == 640


@pytest.mark.parametrize("sizes", [(4, 4, 0), (24, 16, 8), (40, 16, 16)])
def test_blocks_that_fit(sizes):
    assert Blocks(*sizes, 40.0).look_ahead == sizes[2]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 16, 16), "block_size 0 hears an utterance whole"),
        ((16, 8, 16), "block_size has to hold hop_size and look_ahead, which are 24 fra"),
        ((16, 0, 4), "hop_size is at least 1"),
        ((16, 8, -1), "look_ahead at least 0"),
    ],
)
def test_blocks_that_do_not_fit(sizes, message):
    with pytest.raises(KDError, match=message):
        Blocks(*sizes, 40.0)


def test_what_streams():
    check_streams("student", block_options())
    check_streams("student", {"encoder": "contextual_block_conformer", "input_size": 3})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "conformer"}, "encoder 'conformer', which hears utterances whole"),
        ({"decoder": "transducer"}, "is a transducer of the asr task, whose"),
        ({"encoder": None, "joint_network_conf": {}}, "say so by --task asr_tr"),
        ({"encoder_conf": {"input_layer": "linear"}}, "'input_layer: linear', of which"),
        ({"normalize": "utterance_mvn"}, "train with --normalize global_mvn"),
        ({"preencoder": "linear"}, "'preencoder: linear', which ESPnet leaves out"),
        ({"postencoder": "hugging_face_transformers"}, "'postencoder: hugging_face"),
        ({"input_size": None, "frontend": "s3prl"}, "'frontend: s3prl', which ESPnet ca"),
    ],
)
def test_what_does_not(change, message):
    with pytest.raises(KDError, match=message):
        check_streams("student", block_options() | change)
