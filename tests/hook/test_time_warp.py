"""SpecAugment's time warp moves student and teacher alike."""

import copy

import pytest
import torch
from conftest import build_asr, clone

import espnet_kd
from espnet_kd.cache.reader import Cache
from espnet_kd.errors import KDError, TeacherError
from espnet_kd.hook.time_warp import SharedWarp
from espnet_kd.model.request import Request
from espnet_kd.model.training_part import TrainingPass
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.cached import CachedTeacher

WARP = {"apply_time_warp": True, "time_warp_window": 5}
WARP |= {"apply_freq_mask": False, "apply_time_mask": False}
CTC = {"type": "ctc_frame_kl", "weight": 1.0}
HIDDEN = {"type": "hidden_mse", "weight": 1.0, "student": "encoder", "teacher": "encoder"}


@pytest.fixture
def model():
    """A student whose only randomness is its time warp."""
    still = {"attention_heads": 2, "linear_units": 16, "output_size": 8, "num_blocks": 2}
    still |= dict.fromkeys(
        ("dropout_rate", "positional_dropout_rate", "attention_dropout_rate"), 0.0
    )
    model = build_asr(
        seed=1, specaug="specaug", specaug_conf=WARP, encoder_conf=still, ctc_weight=1.0
    )
    with torch.no_grad():
        for parameter in model.ctc.parameters():
            parameter.mul_(9.0)  # posteriors that differ from frame to frame
    return model


@pytest.mark.parametrize("lengths", [[60, 45, 33], [60, 60, 60]])
def test_a_student_that_is_its_teacher_has_nothing_to_learn(model, batch, lengths):
    batch["speech_lengths"] = torch.tensor(lengths)
    teacher = copy.deepcopy(model)
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    espnet_kd.attach(model, {"losses": [CTC, HIDDEN]}, teacher, example=example)
    stats = model.train()(**clone(batch))[1]
    assert stats["loss_kd_ctc_frame_kl"].item() == pytest.approx(0, abs=1e-4)
    assert stats["loss_kd_hidden_mse"].item() == pytest.approx(0, abs=1e-5)


def test_the_warp_is_the_students_and_its_random_numbers_go_on(model, batch):
    speech, lens = batch["speech"], batch["speech_lengths"]
    part, one_pass = SharedWarp(model), TrainingPass(model, batch, 0, True)
    torch.manual_seed(7)
    part.before_pass(one_pass)
    warped, _ = model.specaug(speech.clone(), lens)
    part.after_pass()
    state = torch.random.get_rng_state()
    again, _ = one_pass.warp(speech, lens)
    assert torch.equal(again, warped)
    assert not torch.equal(again, speech), "the premise"
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not model.specaug.time_warp._forward_pre_hooks


def test_in_evaluation_nothing_is_warped(model, batch):
    espnet_kd.attach(model, {"losses": [CTC]}, copy.deepcopy(model))
    with torch.no_grad():
        value = model.eval()(**clone(batch))[1]["loss_kd_ctc_frame_kl"]
    assert value.item() == pytest.approx(0, abs=1e-4)


def test_features_of_another_length_are_refused(model, batch):
    part, one_pass = SharedWarp(model), TrainingPass(model, batch, 0, True)
    part.before_pass(one_pass)
    model.specaug(batch["speech"].clone(), batch["speech_lengths"])
    with pytest.raises(TeacherError, match=r"another number.*apply_time_warp to false"):
        one_pass.warp(batch["speech"][:, ::2], batch["speech_lengths"] // 2)


def test_cached_targets_are_not_warped_but_refused(model, batch, monkeypatch):
    monkeypatch.setattr(Cache, "__init__", lambda self: setattr(self, "header", None))
    question = Question(batch | {"kd_frames": 1}, Request(ctc=True), warp=lambda *a: a)
    with pytest.raises(KDError, match=r"away from the cached ones.*targets: live"):
        CachedTeacher(Cache())(question)
