"""Layers of block-wise encoders in time, against the frames that ESPnet itself lays out."""

import pytest
import torch
from conftest import ENCODER, INPUT_SIZE, build_asr, clone

import espnet_kd
from espnet_kd.model.forward import run_guest
from espnet_kd.model.request import Request

KINDS = ["contextual_block_transformer", "contextual_block_conformer"]
SHAPES = [(8, 4, 2), (8, 2, 1), (6, 3, 3)]


def streaming(kind, shape, seed=1):
    block, hop, look = shape
    conf = ENCODER | {"output_size": 8, "num_blocks": 2}
    conf |= {"block_size": block, "hop_size": hop, "look_ahead": look}
    return build_asr(seed, encoder=kind, encoder_conf=conf).eval()


def heard(model, frames):
    """The encoder's output and its last layer's, in time, of one batch."""
    gen = torch.Generator().manual_seed(0)
    lengths = torch.tensor(frames)
    speech = torch.randn(len(frames), max(frames), INPUT_SIZE, generator=gen)
    batch = {"speech": speech, "speech_lengths": lengths}
    request = Request(taps=("encoder.encoders.0", "encoder.encoders.1"))
    return run_guest(model, batch, request)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_last_layer_in_time_is_the_encoders_output(kind, shape):
    """Behind it the encoder normalises its frames, which are laid out by ESPnet."""
    model = streaming(kind, shape)
    for frames in ([120, 77], [64], [57, 50, 49], [45], [24]):
        said = heard(model, frames)
        layer = said.hidden["encoder.encoders.1"]
        assert layer.lengths.tolist() == said.encoder_out_lens.tolist()
        expected = said.encoder_out
        found = model.encoder.after_norm(layer.values)
        assert found.shape == expected.shape
        for row, length in enumerate(said.encoder_out_lens.tolist()):
            torch.testing.assert_close(found[row, :length], expected[row, :length])


def test_a_short_utterance_has_frames_already():
    """ESPnet runs what fits into one block through its layers whole."""
    said = heard(streaming(KINDS[1], (32, 16, 8)), [60])
    assert said.hidden["encoder.encoders.0"].values.shape[:2] == (1, 14)


def test_a_streaming_student_learns_an_inner_layer(teacher, batch):
    student = streaming(KINDS[1], (8, 4, 2))
    term = {"type": "hidden_l1_cosine", "weight": 1.0}
    term |= {"student": "encoder.encoders.0", "teacher": "encoder.encoders.1"}
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    espnet_kd.attach(
        student, {"losses": [term], "task_weight": 0}, teacher, example=example
    )
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert stats["loss_kd_hidden_l1_cosine"].isfinite()
    assert stats["loss_kd_hidden_l1_cosine"] > 0
    layers = student.encoder.encoders
    assert all(p.grad is None or not p.grad.any() for p in layers[1].parameters())
    assert any(p.grad is not None and p.grad.any() for p in layers[0].parameters())
