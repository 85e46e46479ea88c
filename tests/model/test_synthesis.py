"""Synthesisers: the spectrum and durations are those that their own loss is given."""

from typing import Any

import pytest
import torch
from kinds import RATE, batch_of, build

import espnet_kd
from espnet_kd.errors import ConfigError
from espnet_kd.model.forward import evaluating, run_guest
from espnet_kd.model.request import Request

FORCED = ("fastspeech", "fastspeech2")
ENERGY = {"fs": RATE, "n_fft": 256, "hop_length": 80, "reduction_factor": 1}
PREDICTORS = {
    f"{part}_{name}": value
    for part in ("pitch", "energy")
    for name, value in {
        "predictor_layers": 1,
        "predictor_chans": 8,
        "predictor_kernel_size": 3,
        "embed_kernel_size": 1,
    }.items()
}


def model_and_batch(kind: str) -> tuple[Any, dict]:
    from espnet2.tts.feats_extract.energy import Energy

    more = PREDICTORS if kind == "fastspeech2" else {}
    model, batch = build("tts", 8, kind, **more), batch_of("tts")
    if kind == "fastspeech2":
        # A real pitch needs a package that is not required; any number will do.
        model.pitch_extract, model.energy_extract = Energy(**ENERGY), Energy(**ENERGY)
    if kind not in FORCED:
        batch = {name: v for name, v in batch.items() if "durations" not in name}
    return model, batch


@pytest.mark.parametrize("kind", [*FORCED, "transformer", "tacotron2"])
def test_what_is_read_is_what_the_models_own_loss_is_given(kind):
    model, batch = model_and_batch(kind)
    given = {}

    def keep(_module, args, kwargs):
        names = ("after_outs", "before_outs", "d_outs")
        given.update(dict(zip(names, args, strict=False)) | kwargs)

    criterion = getattr(model.tts, "criterion", None) or model.tts.taco2_loss
    criterion.register_forward_pre_hook(keep, with_kwargs=True)
    request = Request(spectrum=True, durations=kind in FORCED)
    with evaluating(model):
        outputs = run_guest(model, batch, request)
    torch.testing.assert_close(outputs.spectrum.values, given["after_outs"])
    assert outputs.spectrum.lengths.tolist() == [31, 26, 21]
    if kind in FORCED:
        torch.testing.assert_close(outputs.durations.values[..., 0], given["d_outs"])
        assert outputs.durations.lengths.tolist() == [5, 4, 3]


@pytest.mark.parametrize("kind", ["xiaoice", "naive_rnn_dp"])
def test_of_singing_what_is_read_is_what_the_models_own_loss_is_given(kind):
    """Durations of the third utterance are two frames too many; ESPnet shortens them."""
    model, batch = build("svs", 8, kind), batch_of("svs")
    given = []
    model.svs.criterion.register_forward_pre_hook(lambda _module, args: given.extend(args))
    request = Request(spectrum=True, durations=True, truth=("spectrum", "durations"))
    with evaluating(model):
        outputs = run_guest(model, batch, request)
    after, _before, logs, mel, durations, labels, frames = given
    torch.testing.assert_close(outputs.spectrum.values, after)
    torch.testing.assert_close(outputs.durations.values[..., 0], logs)
    assert outputs.spectrum.lengths.tolist() == frames.tolist() == [31, 26, 21]
    assert outputs.durations.lengths.tolist() == labels.tolist() == [4, 3, 2]
    torch.testing.assert_close(outputs.truth["spectrum"].values, mel)
    truth = outputs.truth["durations"]
    assert truth.values[2, :2, 0].exp().tolist() == pytest.approx([12, 11])
    assert torch.equal(truth.values[..., 0].exp().round().long() - 1, durations)


@pytest.mark.parametrize(("task", "count"), [("tts", 5), ("svs", 4)])
def test_a_predictor_is_tapped_one_number_a_label(task, count):
    model, path = build(task, 8), f"{task}.duration_predictor"
    with evaluating(model):
        hidden = run_guest(model, batch_of(task), Request(taps=(path,))).hidden[path]
    assert hidden.values.shape == (3, count, 1)
    assert hidden.lengths.tolist() == [count, count - 1, count - 2]


def test_singing_without_a_known_spectrum():
    student, teacher = (build("svs", 8, postnet_layers=0) for _ in range(2))
    terms = {"losses": [{"type": "spectrum_l1", "weight": 1.0}]}
    with pytest.raises(ConfigError, match="compares xiaoice, naive_rnn and naive_rnn_dp"):
        espnet_kd.attach(student, terms, teacher)


def test_durations_of_a_model_that_predicts_none():
    student, teacher = (model_and_batch("transformer")[0] for _ in range(2))
    terms = {"losses": [{"type": "duration_mse", "weight": 1.0}]}
    with pytest.raises(ConfigError, match="predicts no durations; duration_mse compares"):
        espnet_kd.attach(student, terms, teacher)
