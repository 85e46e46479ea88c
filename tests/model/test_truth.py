"""What outputs should be: references, mel spectra and durations, as the batch has them."""

import math
import re

import pytest
import torch
from kinds import batch_of, build

import espnet_kd
from espnet_kd.errors import ConfigError
from espnet_kd.model.forward import evaluating, run_guest
from espnet_kd.model.request import Request

NEARER = {"where": "teacher_better", "weight": 1.0}


def truth_of(task, *names):
    model, batch = build(task, 8), batch_of(task)
    with evaluating(model):
        outputs = run_guest(
            model, batch, Request(truth=names, **dict.fromkeys(names, True))
        )
    return model, batch, outputs


def test_of_an_enhancer_it_is_the_references():
    _, batch, outputs = truth_of("enh", "waveforms")
    truth = outputs.truth["waveforms"]
    assert torch.equal(truth.values[..., 0], batch["speech_ref1"])
    assert torch.equal(truth.values[..., 1], batch["speech_ref2"])
    assert torch.equal(truth.lengths, outputs.waveforms.lengths)


def test_of_a_synthesiser_it_is_what_its_own_losses_compare():
    """The spectrum that ESPnet hands to its synthesiser; the durations of its own loss."""
    model, batch, outputs = truth_of("tts", "spectrum", "durations")
    handed = {}
    model.tts.register_forward_pre_hook(
        lambda _module, _args, kwargs: handed.update(kwargs), with_kwargs=True
    )
    with evaluating(model):
        _, stats, _ = model(**batch)
    truth = outputs.truth["spectrum"]
    for b, length in enumerate(truth.lengths.tolist()):
        assert length == handed["feats_lengths"][b]
        assert torch.equal(truth.values[b, :length], handed["feats"][b, :length])
    logs = outputs.truth["durations"].values[..., 0]
    assert logs[0, 1].item() == pytest.approx(math.log(8))  # seven frames, and one
    # This model's loss is a mean over padding too, where both are 0.
    errors = torch.zeros_like(logs)
    for b, length in enumerate(outputs.durations.lengths.tolist()):
        found = outputs.durations.values[b, :length, 0]
        errors[b, :length] = (found - logs[b, :length]).square()
    assert errors.mean().item() == pytest.approx(float(stats["duration_loss"]), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "kind", "name"),
    [("enh", "spectrum_l1", "spectrum"), ("enh", "mask_mse", "masks")],
)
def test_what_no_batch_tells_is_refused(task, kind, name):
    student, teacher = build(task, 8), build(task, 12)
    with pytest.raises(ConfigError) as error:
        espnet_kd.attach(student, {"losses": [{"type": kind, **NEARER}]}, teacher)
    assert re.search(f"has no reference of its {name} in a batch", str(error.value))


@pytest.mark.parametrize(
    ("task", "kind"),
    [("enh", "waveform_si_snr"), ("tts", "spectrum_l1"), ("tts", "duration_mse")],
)
def test_a_teacher_that_says_the_truth_teaches_as_everywhere(task, kind):
    """And its own student, as good as itself, learns nothing."""
    student, batch = build(task, 8), batch_of(task)
    terms = [{"type": kind, "weight": 1.0, "name": "all"}, {"type": kind, **NEARER}]
    espnet_kd.attach(student, {"losses": terms}, build(task, 8).eval(), example=batch)
    student.eval()
    stats = student(**batch)[1]
    assert stats[f"loss_kd_{kind}"] == 0
    espnet_kd.detach(student)
