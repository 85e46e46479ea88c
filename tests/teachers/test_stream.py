"""A teacher that hears another stream of the batch than the student."""

import copy

import pytest
import torch
from conftest import ENCODER, INPUT_SIZE, build_asr, clone

import espnet_kd
from espnet_kd.errors import TeacherError
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.ema import EMATeacher
from espnet_kd.teachers.ensemble import Ensemble
from espnet_kd.teachers.live import LiveTeacher

CTC = [{"type": "ctc_frame_kl", "weight": 1.0}]
TAPS = {"student": "encoder", "teacher": "encoder"}
HIDDEN = [{"type": "hidden_l1_cosine", "weight": 1.0, **TAPS}]


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


TERMS = [
    *CTC,
    {"type": "token_kl", "weight": 1.0},
    *HIDDEN,
    {"type": "similarity", "weight": 1.0, **TAPS},
]


def gap_in(clean, *rows):
    """The same batch where some utterances have nothing in the second stream."""
    lens = clean["clean_lengths"].clone()
    lens[list(rows)] = 0
    shorter = clean["clean"][:, : int(lens.max())]
    return clean | {"clean": shorter, "clean_lengths": lens}


def passed(student, teacher, batch, terms=TERMS, **more):
    """Loss, stats and gradients of a pass, whatever is drawn for projections alike."""
    example = {key: batch[key] for key in ("speech", "speech_lengths")}
    torch.manual_seed(0)
    conf = {"losses": terms, "task_weight": 0.0, **more}
    espnet_kd.attach(student.eval(), conf, teacher, example=example)
    student.zero_grad()
    loss, stats, _ = student(**clone(batch))
    loss.sum().backward()
    grads = [p.grad.flatten() for p in student.parameters() if p.grad is not None]
    espnet_kd.detach(student)
    return loss.detach(), stats, torch.cat(grads)


def guest(teacher):
    return LiveTeacher(teacher, hears="clean", skips=True, name="exp/t")


def some(batch, *rows):
    """The utterances alone, in a batch of their own that is padded alike."""
    return {k: v[list(rows)] if hasattr(v, "shape") else v for k, v in batch.items()}


def test_an_utterance_without_the_stream_is_not_taught(student, teacher, clean):
    """Each term is that of the others alone, sums over them divided by the whole batch."""
    _, found, grads = passed(student, guest(teacher), gap_in(clean, 2))
    _, whole, _ = passed(student, guest(teacher), some(clean, 0, 1))
    for term in TERMS:
        name = f"loss_kd_{term['type']}"
        share = 1.0 if term["type"] == "similarity" else 2 / 3
        torch.testing.assert_close(found[name], whole[name] * share, rtol=1e-5, atol=1e-6)
    assert found["kd_taught"].item() == pytest.approx(2 / 3)
    assert whole["kd_taught"].item() == 1
    for name in ("kd_agree_att", "kd_blank_teacher", "kd_label_teacher", "kd_spike_hit"):
        torch.testing.assert_close(found[name], whole[name], equal_nan=True)
    assert grads.isfinite().all()


@pytest.mark.parametrize("missing", [(0,), (1,), (0, 1), (0, 2)])
def test_what_is_taught_of_some_and_of_the_others_is_what_is_taught_of_all(
    student, teacher, clean, missing
):
    """Whichever lack it, that with the longest transcript and that of the first place."""
    lens = torch.full((3,), 60)
    clean = clean | {"speech_lengths": lens, "clean_lengths": lens}
    others = [row for row in range(3) if row not in missing]
    terms = TERMS[:3]
    some, rest, whole = (
        passed(student, guest(teacher), gap_in(clean, *rows), terms)
        for rows in (missing, others, ())
    )
    torch.testing.assert_close(some[0] + rest[0], whole[0], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(some[2] + rest[2], whole[2], rtol=1e-4, atol=1e-5)
    for term in terms:
        name = f"loss_kd_{term['type']}"
        parts = some[1][name] + rest[1][name]
        torch.testing.assert_close(parts, whole[1][name], rtol=1e-5, atol=1e-6)
    assert some[1]["kd_taught"].item() == pytest.approx(1 - len(missing) / 3)


def test_a_recurrent_teacher_hears_falling_lengths(student, batch, clean):
    """A stand-in is as long as the utterance before, or the first that there is."""
    rnn = {"rnn_type": "lstm", "num_layers": 1, "hidden_size": 8, "output_size": 8}
    teacher = build_asr(seed=2, encoder="rnn", encoder_conf=rnn)
    for missing in ((0,), (1,), (0, 2)):
        stats = passed(student, guest(teacher), gap_in(clean, *missing), CTC)[1]
        assert stats["loss_kd_ctc_frame_kl"] > 0


def test_where_nobody_has_the_stream_nothing_is_taught(student, teacher, clean):
    loss, stats, grads = passed(student, guest(teacher), gap_in(clean, 0, 1, 2))
    assert loss.item() == 0
    assert grads.abs().sum() == 0
    assert stats["kd_taught"] == 0
    full = passed(student, guest(teacher), clean)[1]
    assert stats.keys() == full.keys(), "or processes would wait for one another"


def test_without_skipping_it_is_a_sentence(student, teacher, clean):
    said = (
        r"^teacher exp/t: the 'clean' that it hears is empty for 2 of 3 utterances of a "
        r"batch, first utt-b; 'when_missing: skip' leaves such utterances untaught$"
    )
    strict = LiveTeacher(teacher, hears="clean", name="exp/t")
    with pytest.raises(TeacherError, match=said):
        passed(student, strict, gap_in(clean, 1, 2))


def test_of_two_teachers_each_leaves_out_its_own(student, teacher, clean):
    """Posteriors of both want both; the layers of one want that one."""
    both = Ensemble([LiveTeacher(teacher), guest(teacher)], (1.0, 1.0), names=("", "far"))
    layers = [
        {"type": "hidden_mse", "weight": 1.0, "name": name, "student": "encoder"}
        | {"teacher": tap}
        for name, tap in (("near", "encoder"), ("far", "far:encoder"))
    ]
    terms = [*CTC, *layers]
    _, found, _ = passed(student, both, gap_in(clean, 2), terms)
    _, whole, _ = passed(student, both, some(clean, 0, 1), terms)
    for name in ("ctc_frame_kl", "far"):
        wanted = whole[f"loss_kd_{name}"] * 2 / 3
        torch.testing.assert_close(found[f"loss_kd_{name}"], wanted, rtol=1e-5, atol=1e-6)
    _, alone, _ = passed(student, LiveTeacher(teacher), clean, layers[:1])
    torch.testing.assert_close(found["loss_kd_near"], alone["loss_kd_near"])


def test_confidence_counts_those_that_are_taught(student, teacher, clean):
    terms = [TERMS[1] | {"confidence": 2.0}, HIDDEN[0] | {"confidence": 1.0}]
    _, found, _ = passed(student, guest(teacher), gap_in(clean, 2), terms)
    _, whole, _ = passed(student, guest(teacher), some(clean, 0, 1), terms)
    for term in terms:
        name = f"loss_kd_{term['type']}"
        torch.testing.assert_close(found[name], whole[name] * 2 / 3, rtol=1e-5, atol=1e-6)


def test_the_warp_of_those_that_are_heard_is_the_students(clean):
    """A student that is its teacher has nothing to learn where the two streams are one."""
    conf = {"apply_time_warp": True, "time_warp_window": 5, "apply_freq_mask": False}
    still = ENCODER | {"output_size": 8, "num_blocks": 1, "dropout_rate": 0.0}
    model = build_asr(
        specaug="specaug",
        specaug_conf=conf | {"apply_time_mask": False},
        encoder_conf=still,
        ctc_weight=1.0,
    )
    own = clean | {"clean": clean["speech"].clone()}
    lens = own["clean_lengths"].clone()
    lens[1] = 0
    teacher = LiveTeacher(copy.deepcopy(model), hears="clean", skips=True)
    example = {key: own[key] for key in ("speech", "speech_lengths")}
    terms = [TERMS[0], {"type": "hidden_mse", "weight": 1.0, **TAPS}]
    espnet_kd.attach(model, {"losses": terms}, teacher, example=example)
    stats = model.train()(**(own | {"clean_lengths": lens}))[1]
    assert stats["kd_taught"].item() == pytest.approx(2 / 3)
    assert stats["loss_kd_ctc_frame_kl"].item() == pytest.approx(0, abs=1e-4)
    assert stats["loss_kd_hidden_mse"].item() == pytest.approx(0, abs=1e-5)


def test_the_log_says_that_some_are_left_out(teacher):
    (line,) = guest(teacher).describe()
    assert line.endswith("hears: clean, says nothing where that is missing")
