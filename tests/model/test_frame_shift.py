"""How long a frame is, by a model's parts, against the frames that it really gives."""

import pytest
import torch
from conftest import ENCODER, INPUT_SIZE, build_asr
from pairs.kinds import RNN
from training import CONFORMER

from espnet_kd.model.frame_shift import frame_shift, subsampling

FRONTEND = {"frontend": "default", "input_size": None}
LONG = 1600  # so many features that what the edges take is no whole step


def frames_of(encoder, width=INPUT_SIZE):
    with torch.no_grad():
        _, lens, *_ = encoder(torch.zeros(1, LONG, width), torch.tensor([LONG]))
    return int(lens)


@pytest.mark.parametrize(
    ("kind", "layer", "step"),
    [
        *(
            ("transformer", name, step)
            for name, step in {
                "linear": 1,
                "conv2d1": 1,
                "conv2d2": 2,
                "conv2d": 4,
                "conv2d6": 6,
                "conv2d8": 8,
            }.items()
        ),
        ("conformer", "conv2d", 4),
        ("contextual_block_transformer", "conv2d6", 6),
        ("contextual_block_conformer", "conv2d8", 8),
    ],
)
def test_the_subsampling_of_an_encoder(kind, layer, step):
    conf = ENCODER | {"output_size": 8, "num_blocks": 1, "input_layer": layer}
    model = build_asr(encoder=kind, encoder_conf=conf).eval()
    assert subsampling(model) == step == round(LONG / frames_of(model.encoder))


@pytest.mark.parametrize(
    ("conf", "step"),
    [
        ({"subsampling_factor": 4}, 4),
        ({"subsampling_factor": 6}, 6),
        ({"subsampling_factor": 6, "vgg_like": True}, 4),  # it says 6, and steps by four
    ],
)
def test_the_subsampling_of_a_transducers_encoder(conf, step):
    from espnet2.asr_transducer.encoder.encoder import Encoder

    first = {"block_type": "conv2d", "conv_size": 8} | conf
    model = torch.nn.Module()
    model.encoder = Encoder(INPUT_SIZE, [CONFORMER | {"hidden_size": 8}], first, {}).eval()
    assert subsampling(model) == step == round(LONG / frames_of(model.encoder))
    layer = {"block_type": "conv1d", "output_size": 8, "kernel_size": 3, "stride": 2}
    body = [layer, CONFORMER | {"hidden_size": 8}]
    model.encoder = Encoder(INPUT_SIZE, body, first, {})
    assert subsampling(model) is None, "layers that step as well"


def test_a_frame_in_milliseconds():
    # A hop of 128 samples at 16 kHz is 8 ms, of 64 at 8 kHz as well; four of them 32.
    assert frame_shift(build_asr(**FRONTEND)) == pytest.approx(32)
    conf = {"fs": 8000, "n_fft": 128, "hop_length": 64, "n_mels": 20}
    assert frame_shift(build_asr(frontend_conf=conf, **FRONTEND)) == pytest.approx(32)


def test_what_a_model_does_not_tell_is_not_guessed():
    assert frame_shift(build_asr()) is None, "features of any step"
    assert subsampling(build_asr(**RNN)) is None
    model = build_asr()
    model.postencoder = torch.nn.Identity()
    assert subsampling(model) is None
    assert subsampling(torch.nn.Module()) is None
