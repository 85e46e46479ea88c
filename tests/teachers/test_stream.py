"""A teacher that hears another stream of the batch than the student."""

import pytest
import torch
from conftest import INPUT_SIZE, build_asr

import espnet_kd
from espnet_kd.errors import TeacherError
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.live import LiveTeacher

CTC = [{"type": "ctc_frame_kl", "weight": 1.0}]
HIDDEN = [
    {"type": "hidden_l1_cosine", "weight": 1.0, "student": "encoder", "teacher": "encoder"}
]


def with_stream(batch, speech, lengths):
    return {**batch, "clean": speech, "clean_lengths": lengths}


@pytest.fixture
def clean(batch):
    """What is heard at a closer microphone: other frames, as many of them."""
    speech = torch.randn(batch["speech"].shape, generator=torch.Generator().manual_seed(7))
    return with_stream(batch, speech, batch["speech_lengths"])


def test_it_answers_as_for_a_batch_of_that_stream(teacher, clean):
    asked = Request(ctc=True, taps=("encoder.encoders.0",))
    swapped = {**clean, "speech": clean["clean"]}
    wanted = LiveTeacher(teacher)(Question(swapped, asked))
    found = LiveTeacher(teacher, hears="clean")(Question(clean, asked))
    assert torch.equal(found.ctc_logits, wanted.ctc_logits)
    for tap, hidden in wanted.hidden.items():
        assert torch.equal(found.hidden[tap].values, hidden.values)


def test_the_students_own_average_can_hear_it(student, clean):
    swapped = {**clean, "speech": clean["clean"]}
    wanted = LiveTeacher(build_asr(seed=1, width=8, blocks=2))
    found = EMATeacher(student, 0.9, hears="clean")(Question(clean, Request(ctc=True)))
    asked = Question(swapped, Request(ctc=True))
    assert torch.equal(found.ctc_logits, wanted(asked).ctc_logits)


def test_a_stream_the_batch_lacks_is_named_with_the_option_that_gives_it(teacher, batch):
    guest = LiveTeacher(teacher, hears="clean", name="exp/t")
    said = (
        r"teacher exp/t: it hears 'clean', which the batch does not have \(it has speech, "
        r"text\)\. Name it by --train_data_path_and_name_and_type SCP,clean,sound.*"
        r"--allow_variable_data_keys true"
    )
    with pytest.raises(TeacherError, match=said):
        guest(Question(batch, Request(ctc=True)))


def test_a_stream_of_other_utterances_is_refused(teacher, batch):
    other = with_stream(batch, batch["speech"][:2], batch["speech_lengths"][:2])
    with pytest.raises(TeacherError, match="'clean' has 2 utterances in a batch of 3"):
        LiveTeacher(teacher, hears="clean")(Question(other, Request(ctc=True)))


def test_what_it_cannot_take_is_called_by_its_name(teacher, batch):
    wide = with_stream(batch, batch["speech"].repeat(1, 1, 2), batch["speech_lengths"])
    with pytest.raises(TeacherError, match=r"cannot take 'clean' of 3, 60, \d+ .*Error"):
        LiveTeacher(teacher, hears="clean")(Question(wide, Request(ctc=True)))


def test_a_stream_of_twice_the_frames_is_bridged(student, batch):
    """Frames of another rate, as of video: every second one is the student's own."""
    twice = batch["speech"].repeat_interleave(2, dim=1)
    both = with_stream(batch, twice, 2 * batch["speech_lengths"])
    conf = {"losses": [CTC[0] | {"name": "ctc"}]}
    teacher = LiveTeacher(build_asr(seed=2, width=12), hears="clean")
    espnet_kd.attach(student, conf, teacher)
    loss, stats, _ = student(**both)
    loss.backward()
    assert float(stats["loss_kd_ctc"]) > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in student.parameters())


@pytest.mark.parametrize("known", [True, False])
def test_hidden_layers_of_a_teacher_with_other_features(student, batch, known):
    """Its features' width is its config's, for the pass that shows the layers' widths."""
    size = 2 * INPUT_SIZE
    teacher = build_asr(seed=2, width=12, input_size=size)
    settings = {"input_size": size} if known else {}
    guest = LiveTeacher(teacher, hears="video", settings=settings)
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    wide = batch["speech"].repeat(1, 1, 2)
    given = {**batch, "video": wide, "video_lengths": batch["speech_lengths"]}
    if not known:
        example |= {key: given[key] for key in ("video", "video_lengths")}
    espnet_kd.attach(student, {"losses": HIDDEN}, guest, example=example)
    loss, stats, _ = student(**given)
    loss.backward()
    assert float(stats["loss_kd_hidden_l1_cosine"]) > 0


def test_the_log_says_what_it_hears(teacher):
    (line,) = LiveTeacher(teacher, hears="clean", name="exp/t").describe()
    assert line.endswith("parameters, hears: clean")
