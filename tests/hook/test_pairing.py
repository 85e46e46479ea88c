"""Students and teachers of other tasks than recognition: what is refused, in a sentence."""

import re

import pytest
import torch
from conftest import TOKENS, build_asr, clone
from kinds import batch_of, build, enh

import espnet_kd
from espnet_kd.errors import AlignmentError, ConfigError, KDError

WARP = {"apply_time_warp": True, "apply_freq_mask": False, "apply_time_mask": False}
TOKEN = {"type": "token_kl", "weight": 1.0}


def term(kind, **more):
    return {"type": kind, "weight": 1.0, **more}


def hidden(tap, kind="hidden_mse"):
    return term(kind, student=tap, teacher=tap)


def refusal(student, teacher, *terms, **more):
    """The sentence by which a pair is refused; the student is left as it was."""
    with pytest.raises(ConfigError) as error:
        espnet_kd.attach(student, {"losses": list(terms), **more}, teacher)
    assert espnet_kd.hook.attach.attachment_of(student) is None
    return str(error.value)


def test_a_teacher_of_another_task():
    match = "student is a language model and the teacher a speech enhancer"
    assert re.search(match, refusal(build("lm", 8), build("enh", 8), TOKEN))
    match = "student is a recogniser or translator of speech and the teacher a language"
    assert re.search(match, refusal(build_asr(), build("lm", 8), TOKEN))


@pytest.mark.parametrize(
    ("task", "terms", "match"),
    [
        ("lm", [term("ctc_frame_kl")], r"language model, which has no CTC.* by token_kl"),
        ("lm", [term("spectrum_l1")], "language model, which has no spectrum"),
        (
            "tts",
            [TOKEN],
            "speech synthesiser, which has no decoder posteriors; it",
        ),
        ("enh", [term("class_kl")], "speech enhancer, which has no class posteriors"),
        ("lm", [hidden("criterion")], "no module 'criterion'"),
        (
            "enh",
            [hidden("separator.linear.0")],
            "what 'separator.linear.0' gives",
        ),
    ],
)
def test_what_a_task_cannot_serve(task, terms, match):
    assert re.search(match, refusal(build(task, 8), build(task, 12), *terms))


def test_what_recognition_cannot_serve():
    match = "has no waveforms, which models of other tasks have: speech enhancer"
    assert re.search(match, refusal(build_asr(), build_asr(), term("waveform_si_snr")))


def test_other_tokens_are_refused_whatever_is_compared():
    student, teacher = build("lm", 8), build("lm", 12)
    teacher.token_list = [*TOKENS[:2], *map(str.upper, TOKENS[2:-1]), TOKENS[-1]]
    terms = [hidden("lm.encoder", "similarity")]
    with pytest.raises(AlignmentError, match="2: student 'a', teacher 'A'"):
        espnet_kd.attach(student, {"losses": terms}, teacher, example=batch_of("lm"))


def test_tokens_in_another_order_are_read_in_the_teachers():
    """A twin whose tokens stand elsewhere says the same of the same text."""
    student = build("lm", 8)
    twin = build("lm", 8)
    order = [0, 1, *reversed(range(2, len(TOKENS) - 1)), len(TOKENS) - 1]
    twin.token_list = [TOKENS[place] for place in order]
    with torch.no_grad():
        for layer in (twin.lm.embed, twin.lm.decoder):
            layer.weight.copy_(layer.weight[order])
        twin.lm.decoder.bias.copy_(twin.lm.decoder.bias[order])
    espnet_kd.attach(student, {"losses": [TOKEN]}, twin)
    _, stats, _ = student.eval()(**batch_of("lm"))
    assert stats["loss_kd_token_kl"].item() == pytest.approx(0.0, abs=1e-6)


def test_rows_that_were_copied_by_number_are_refused():
    """Biases of outputs are of one size in every width, and so tell whence they came."""
    turned = [TOKENS[0], *reversed(TOKENS[1:-1]), TOKENS[-1]]
    student, teacher = build_asr(width=8), build_asr(width=12, seed=1, tokens=turned)
    with torch.no_grad():
        student.ctc.ctc_lo.bias.copy_(teacher.ctc.ctc_lo.bias)
    frames = term("ctc_frame_kl")
    text = refusal(student, teacher, frames)
    assert "the student's 'ctc.ctc_lo.bias' is its teacher's row by row" in text
    assert "init_student --token_list" in text
    half = build_asr(width=8)
    with torch.no_grad():
        half.ctc.ctc_lo.bias.copy_(teacher.ctc.ctc_lo.bias.bfloat16())
    assert "row by row" in refusal(half, teacher, frames)  # rounded on the way
    rows = torch.tensor([turned.index(token) for token in TOKENS])
    with torch.no_grad():
        student.ctc.ctc_lo.bias.copy_(teacher.ctc.ctc_lo.bias[rows])
    espnet_kd.attach(student, {"losses": [frames]}, teacher)  # by name: as it should be
    equal = build_asr(width=8)
    with torch.no_grad():
        for model in (equal, teacher):
            model.ctc.ctc_lo.bias.zero_()
    espnet_kd.attach(equal, {"losses": [frames]}, teacher)  # in any order the same


@pytest.mark.parametrize(
    ("terms", "options", "match"),
    [
        ([term("spectrum_l1")], {"n_mels": 12}, "differ in .*n_mels: 10 and 12"),
        ([term("spectrum_l1")], {"fmax": 3000}, r"their spectrum do not compare"),
        ([term("duration_mse")], {"hop_length": 100}, r"hop_length: 80 and 100"),
        ([hidden("tts.decoder")], {"fs": 16000}, "sampling rate: 8000 and 16000"),
    ],
)
def test_other_mel_settings(terms, options, match):
    teacher = build("tts", 12)
    for name, value in options.items():
        part = teacher.feats_extract
        owner = part if hasattr(part, name) else part.logmel
        if owner is part:
            setattr(part, name, value)
        if hasattr(part, "logmel") and name in part.logmel.mel_options:
            part.logmel.mel_options[name] = value
    assert re.search(match, refusal(build("tts", 8), teacher, *terms))


def test_another_normalisation():
    from espnet2.layers.utterance_mvn import UtteranceMVN

    teacher = build("tts", 12)
    teacher.normalize = UtteranceMVN()
    match = "normalize: none and UtteranceMVN"
    assert re.search(match, refusal(build("tts", 8), teacher, term("spectrum_l1")))
    # Layers are learned in each model's own units.
    terms = {"losses": [hidden("tts.decoder")]}
    espnet_kd.attach(build("tts", 8), terms, teacher, example=batch_of("tts"))


def test_another_spectrum_or_number_of_speakers():
    other = {"n_fft": 128, "hop_length": 32}
    teacher = build("enh", 12, encoder_conf=other, decoder_conf=other)
    terms = [term("mask_mse"), term("spectrum_l1")]
    assert re.search("encoder.n_fft: 64 and 128", refusal(build("enh", 8), teacher, *terms))
    teacher = build("enh", 12, speakers=3)
    match = "number of speakers: 2 and 3"
    assert re.search(match, refusal(build("enh", 8), teacher, term("waveform_si_snr")))
    assert enh(8)["separator_conf"]["num_spk"] == 2


@pytest.mark.parametrize("loss", ["spectrum_l1", "mask_mse"])
def test_features_of_a_learned_encoder_are_its_own(loss):
    conv = {"channel": 16, "kernel_size": 16, "stride": 8}
    learned = {"encoder": "conv", "encoder_conf": conv}
    learned |= {"decoder": "conv", "decoder_conf": conv}
    models = [build("enh", width, **learned) for width in (8, 12)]
    match = f"waveform_si_snr in place of {loss}, or 'encoder: stft'"
    assert re.search(match, refusal(*models, term(loss)))
    espnet_kd.attach(models[0], {"losses": [term("waveform_si_snr")]}, models[1])
    _, stats, _ = models[0].train()(**batch_of("enh"))
    assert stats["loss_kd_waveform_si_snr"].item() > 0


def test_other_speakers():
    teacher = build("spk", 12, spk_num=7)
    match = "number of classes: 4 and 7"
    assert re.search(match, refusal(build("spk", 8), teacher, term("class_kl")))


def test_options_that_are_for_recognition():
    conf = {"teachers": [{"ema": 0.9, "view": "same"}]}
    match = "'view: same' is for recognition; a language model and its teacher"
    assert re.search(match, refusal(build("lm", 8), None, TOKEN, **conf))


def test_taps_need_an_example_of_the_training():
    terms = {"losses": [hidden("projector")]}
    with pytest.raises(KDError, match=r"taps of a speaker model need .*example=batch"):
        espnet_kd.attach(build("spk", 8), terms, build("spk", 12))


def test_a_time_warp_moves_the_students_frames_alone():
    warped = {"specaug": "specaug", "specaug_conf": WARP}
    student, teacher = build("spk", 8, **warped), build("spk", 12)
    assert re.search(
        "time warp moves the student's", refusal(student, teacher, hidden("encoder"))
    )
    terms = {"losses": [hidden("projector")]}  # an utterance has no frames
    espnet_kd.attach(student, terms, teacher, example=batch_of("spk"))


@pytest.mark.parametrize("task", ["lm", "enh"])
def test_weights_of_zero_leave_loss_and_random_numbers_alone(task):
    loss = {"lm": "token_kl", "enh": "waveform_si_snr"}[task]
    tap = {"lm": "lm.encoder", "enh": "separator.rnn"}[task]
    found = []
    for distils in (False, True):
        student, batch = build(task, 8).train(), batch_of(task)
        if distils:
            terms = [term(loss), hidden(tap)]
            conf = {"losses": [t | {"weight": 0} for t in terms]}
            espnet_kd.attach(student, conf, build(task, 12), example=clone(batch))
        keys = list(student.state_dict())
        torch.manual_seed(3)
        value, stats, _ = student(**batch)
        value.sum().backward()
        grads = [p.grad.clone() for p in student.parameters() if p.grad is not None]
        found.append((value.detach(), torch.get_rng_state(), keys, grads))
    (stock, random, keys, grads), (value, moved, own, other) = found
    assert torch.equal(value, stock)
    assert torch.equal(random, moved)
    assert own == keys
    assert all(map(torch.equal, grads, other))
    assert stats[f"loss_kd_{loss}"].item() > 0


def test_the_average_of_a_language_model_teaches_it():
    student = build("lm", 8)
    conf = {"teachers": [{"ema": 0.9}], "losses": [TOKEN]}
    attachment = espnet_kd.attach(student, conf)
    _, stats, _ = student.train()(**batch_of("lm"))
    assert stats["loss_kd_token_kl"].item() > 0  # of dropout, which the average has not
    assert attachment.teacher.model is not student
