"""The guest's manners."""

import pytest
import torch
from conftest import build_asr, clone

import espnet_kd
from espnet_kd.errors import TeacherError
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.live import LiveTeacher

CTC = [{"type": "ctc_frame_kl", "weight": 1.0}]


def example(batch):
    return {key: batch[key] for key in ("speech", "speech_lengths")}


def test_its_dice_do_not_move_the_students(teacher, batch):
    # MultiSequential draws random numbers even in evaluation; so may any model.
    teacher.encoder.register_forward_pre_hook(lambda m, a: torch.rand(3) and None)
    teacher.encoder._forward_pre_hooks.clear()
    teacher.encoder.register_forward_hook(lambda m, a, o: (torch.rand(3), None)[1])
    guest = LiveTeacher(teacher)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    guest(Question(example(batch), Request(ctc=True)))
    assert torch.equal(torch.rand(2), expected)


def test_it_stays_in_evaluation_and_gives_no_gradient(teacher, batch):
    guest = LiveTeacher(teacher.train())
    targets = guest(
        Question(example(batch), Request(ctc=True, taps=("encoder.encoders.0",)))
    )
    assert not teacher.training
    assert not targets.ctc_logits.requires_grad
    assert not targets.hidden["encoder.encoders.0"].values.requires_grad


def test_it_leaves_the_batch_as_it_was(batch):
    guest = LiveTeacher(build_asr(normalize="utterance_mvn"))
    before = batch["speech"].clone()
    guest(Question(example(batch), Request(ctc=True)))
    assert torch.equal(batch["speech"], before)


def test_its_ctc_dropout_is_off(batch):
    guest = LiveTeacher(build_asr(ctc_conf={"dropout_rate": 0.9}))
    first, second = (guest(Question(example(batch), Request(ctc=True))) for _ in range(2))
    assert torch.equal(first.ctc_logits, second.ctc_logits)


def test_it_follows_the_students_precision(teacher, batch):
    guest = LiveTeacher(teacher)
    batch["speech"] = batch["speech"].double()
    targets = guest(Question(example(batch), Request(ctc=True)))
    assert targets.ctc_logits.dtype == torch.float64


def test_what_is_not_asked_for_is_not_computed(teacher, batch):
    ran = []
    teacher.decoder.register_forward_hook(lambda *a: ran.append("decoder"))
    teacher.ctc.register_forward_hook(lambda *a: ran.append("ctc loss"))
    targets = LiveTeacher(teacher)(Question(example(batch), Request(ctc=True)))
    assert targets.decoder_logits is None
    assert ran == []


def test_an_utterance_too_short_for_its_subsampling_is_named(batch):
    guest = LiveTeacher(build_asr())
    short = {"speech": batch["speech"][:, :5], "utt_id": ["long", "short", "other"]}
    short["speech_lengths"] = torch.tensor([5, 4, 5])
    with pytest.raises(TeacherError, match=r"utterance short is shorter.*--min_seconds"):
        guest(Question(short, Request(ctc=True)))


def test_view_same_refuses_two_different_front_ends(batch):
    fs = {"fs": 16000, "n_fft": 128, "hop_length": 64, "n_mels": 20}
    student = build_asr(frontend="default", frontend_conf=fs, input_size=None)
    other = build_asr(
        frontend="default", frontend_conf=fs | {"hop_length": 32}, input_size=None
    )
    audio = {
        "speech": torch.randn(1, 4000),
        "speech_lengths": torch.tensor([4000]),
    }
    with pytest.raises(TeacherError, match=r"view: same.*Use 'view: clean'"):
        LiveTeacher(other, view="same").check_front_end(student, audio)
    LiveTeacher(student, view="same").check_front_end(student, audio)


RECURRENT = {"hidden_size": 8, "output_size": 8, "num_layers": 1, "subsample": [2, 2]}


def test_a_recurrent_teacher_takes_utterances_by_falling_length(batch):
    guest = LiveTeacher(build_asr(encoder="rnn", encoder_conf=RECURRENT), name="rnn")
    assert guest(Question(example(batch), Request(ctc=True))).ctc_logits.isfinite().all()
    rising = {key: value.flip(0) for key, value in example(batch).items()}
    said = "teacher rnn: its recurrent encoder takes .* by falling length.*'batch_type"
    with pytest.raises(TeacherError, match=said):
        guest(Question(rising, Request(ctc=True)))


def test_what_a_teacher_cannot_take_is_said(batch):
    guest = LiveTeacher(build_asr(input_size=30), name="wide")
    said = r"teacher wide: .*student's batch of 3, 60, 20 \(RuntimeError: mat1.*dimensions"
    with pytest.raises(TeacherError, match=said):
        guest(Question(example(batch), Request(ctc=True)))


def test_a_device_without_memory_speaks_for_itself(teacher, batch):
    def exhaust(*_):
        raise torch.OutOfMemoryError("no memory")

    guest = LiveTeacher(teacher)
    teacher.encoder.register_forward_pre_hook(exhaust)
    with pytest.raises(torch.OutOfMemoryError, match="no memory"):
        guest(Question(example(batch), Request(ctc=True)))


def test_features_are_no_audio(batch):
    """A front end would take (B, T, D) features for audio of D channels, in silence."""
    long = {"speech": batch["speech"].repeat(1, 50, 1)}
    long["speech_lengths"] = batch["speech_lengths"] * 50
    student = build_asr(seed=1)
    audio = {"frontend": "default", "input_size": None}
    espnet_kd.attach(student, {"losses": CTC}, build_asr(seed=2, **audio))
    said = "takes audio, and the student is trained on features of 20 dimensions"
    with pytest.raises(TeacherError, match=said):
        student(**clone(batch) | long)
