"""Which encoders hear how much, and what they say when they are let hear all."""

import pytest
import torch
from conftest import ENCODER, INPUT_SIZE, build_asr
from pairs.kinds import RNN
from training import CONFORMER

from espnet_kd.errors import KDError
from espnet_kd.model.context import (
    check_blocks,
    full_context,
    has_two_modes,
    limited_context,
)

BLOCKS = ["contextual_block_transformer", "contextual_block_conformer"]


def in_blocks(kind, block, hop, ahead):
    conf = ENCODER | {"output_size": 8, "num_blocks": 2}
    conf |= {"block_size": block, "hop_size": hop, "look_ahead": ahead}
    return build_asr(1, encoder=kind, encoder_conf=conf).eval()


def in_chunks(chunks=True):
    """A transducer's encoder in a model of nothing else."""
    from espnet2.asr_transducer.encoder.encoder import Encoder

    torch.manual_seed(1)
    conf = {"dynamic_chunk_training": chunks, "short_chunk_size": 3}
    first = {"block_type": "conv2d", "conv_size": 8}
    model = torch.nn.Module()
    body = [CONFORMER | {"hidden_size": 8}]
    model.encoder = Encoder(INPUT_SIZE, body, first, conf)
    return model.eval()


def heard(model):
    gen = torch.Generator().manual_seed(0)
    speech = torch.randn(1, 160, INPUT_SIZE, generator=gen)
    with torch.no_grad():
        return speech, model.encoder(speech, torch.tensor([160]))[0]


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_are_told_and_switched_off(kind):
    """A frame depends on the last one in full context only, as with one great block."""
    model = in_blocks(kind, 8, 4, 2)
    assert limited_context(model) == "hears blocks of 8 frames, 2 ahead"
    assert has_two_modes(model.encoder)
    _, own = heard(model)
    with full_context(model.encoder):
        assert limited_context(model) == ""
        assert not has_two_modes(model.encoder)
        _, whole = heard(model)
    assert model.encoder.block_size == 8
    great = in_blocks(kind, 400, 4, 2)
    great.load_state_dict(model.state_dict())
    torch.testing.assert_close(whole, heard(great)[1])
    assert not torch.allclose(whole, own)
    torch.testing.assert_close(heard(model)[1], own)


def test_chunks_are_told_and_switched_off():
    model = in_chunks()
    assert limited_context(model) == "is trained on chunks (dynamic_chunk_training)"
    assert has_two_modes(model.encoder)
    with full_context(model.encoder):
        said = [heard(model)[1] for _ in range(3)]
        assert torch.equal(said[0], said[1])
        assert torch.equal(said[0], said[2])
        # The last frame is heard by the first.
        speech, whole = heard(model)
        speech[:, -8:] = 0
        with torch.no_grad():
            changed = model.encoder(speech, torch.tensor([160]))[0]
        assert not torch.allclose(changed[:, 0], whole[:, 0], atol=1e-6)
    assert model.encoder.dynamic_chunk_training
    chunked = [heard(model)[1] for _ in range(6)]
    assert any(not torch.allclose(values, said[0]) for values in chunked)


def test_a_switch_goes_back_after_an_error():
    model = in_blocks(BLOCKS[0], 8, 4, 2)
    with pytest.raises(ValueError, match="stop"), full_context(model.encoder):
        raise ValueError("stop")
    assert model.encoder.block_size == 8


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (lambda: build_asr(), ""),
        (lambda: in_blocks(BLOCKS[0], 0, 4, 2), ""),
        (lambda: in_chunks(False), ""),
        (lambda: build_asr(**RNN), ""),
        (
            lambda: build_asr(
                encoder="rnn", encoder_conf=RNN["encoder_conf"] | {"bidirectional": False}
            ),
            "has an encoder of one direction",
        ),
        (torch.nn.Module, ""),
    ],
    ids=["offline", "one block", "no chunks", "two directions", "one direction", "none"],
)
def test_who_hears_less_without_a_switch(model, told):
    built = model()
    assert limited_context(built) == told
    assert not has_two_modes(getattr(built, "encoder", None))


@pytest.mark.parametrize("shape", [(8, 6, 4), (8, 9, 0), (8, 4, -1), (8, 0, 2)], ids=str)
def test_blocks_that_do_not_fit_are_named(shape):
    with pytest.raises(
        KDError, match=r"a block of 8 frames \(block_size\) holds a step of"
    ):
        check_blocks(in_blocks(BLOCKS[0], *shape))


@pytest.mark.parametrize("shape", [(8, 8, 0), (6, 3, 3), (0, 4, 2)], ids=str)
def test_blocks_that_fit_are_let_be(shape):
    model = in_blocks(BLOCKS[0], *shape)
    check_blocks(model)
    assert heard(model)[1].shape[1] == 39
    check_blocks(build_asr())
