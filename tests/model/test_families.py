"""Models asked by their own forward pass: what they are, and how long what they give is."""

import copy
from types import SimpleNamespace

import pytest
import torch
from conftest import build_asr, clone
from kinds import batch_of, build

import espnet_kd
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.model.families import FAMILIES, family_of
from espnet_kd.model.forward import evaluating, run_guest
from espnet_kd.model.lengths import AXES
from espnet_kd.model.request import Request

# Task -> what its family is called, and taps with their lengths and width.
# 2400, 2000 and 1600 samples are 31, 26 and 21 frames of 80, and 76, 63 and 51 of 32.
TAPPED = {
    "lm": (
        "language model",
        [("lm.encoder.encoders.1", [5, 4, 3], 8), ("lm.embed", [5, 4, 3], 8)],
    ),
    "tts": (
        "speech synthesiser",
        [
            ("tts.encoder.encoders.0", [5, 4, 3], 8),
            ("tts.duration_predictor.conv.0", [5, 4, 3], 8),
            ("tts.decoder", [31, 26, 21], 8),
            ("tts.postnet", [31, 26, 21], 10),
        ],
    ),
    "enh": ("speech enhancer", [("separator.rnn", [76, 63, 51], 8)]),
    "spk": (
        "speaker model",
        [
            ("encoder", [31, 26, 21], 8),
            ("encoder.layer1", [31, 26, 21], 8),
            ("pooling", [1, 1, 1], 16),
            ("projector", [1, 1, 1], 8),
        ],
    ),
    "mt": (
        "translator of text",
        [("encoder", [3, 4, 5], 8), ("decoder.decoders.0", [5, 4, 3], 8)],
    ),
    "diar": ("diariser", [("encoder", [31, 26, 21], 8), ("decoder", [31, 26, 21], 2)]),
}


@pytest.mark.parametrize("task", TAPPED)
def test_a_model_is_known_by_what_it_has_and_its_taps_by_their_axes(task):
    title, taps = TAPPED[task]
    model, batch = build(task, 8), batch_of(task)
    assert family_of(model).title == title
    request = Request(taps=tuple(tap for tap, _, _ in taps))
    before, random = clone(batch), torch.get_rng_state()
    with evaluating(model):
        outputs = run_guest(model, batch, request)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(batch[name], before[name]) for name in batch)
    for tap, lengths, width in taps:
        hidden = outputs.hidden[tap]
        assert hidden.lengths.tolist() == lengths, tap
        assert hidden.values.shape[0] == 3, tap
        assert hidden.values.shape[1] >= max(lengths), tap
        assert hidden.values.shape[2] == width, tap
        assert not hidden.values.requires_grad, tap


def test_a_classifier_of_sounds(monkeypatch):
    """Its metrics are of a package that ESPnet does not require; they stand aside."""
    from espnet2.cls import espnet_model

    metrics = SimpleNamespace(
        multiclass_accuracy=lambda *_, **__: torch.zeros(()),
        multiclass_precision=lambda *_, **__: torch.zeros(()),
    )
    monkeypatch.setattr(espnet_model, "torcheval_import_error", None)
    monkeypatch.setattr(espnet_model, "EvalFunction", metrics, raising=False)
    student, teacher, batch = build("cls", 8), build("cls", 12), batch_of("cls")
    assert family_of(student).title == "classifier"
    terms = [{"type": "class_kl", "weight": 1.0}]
    terms += [{"type": "rkd", "weight": 1.0, "student": "encoder", "teacher": "encoder"}]
    espnet_kd.attach(student, {"losses": terms}, teacher, example=batch)
    _, stats, _ = student.train()(**batch)
    assert stats["loss_kd_class_kl"].item() > 0
    assert stats["loss_kd_rkd"].item() > 0
    student.classification_type = "multi-label"
    espnet_kd.detach(student)
    with pytest.raises(ConfigError, match="says of each class by itself"):
        espnet_kd.attach(student, {"losses": terms[:1]}, teacher)


def test_two_frames_a_step_of_the_decoder():
    model, batch = build("tts", 8, reduction_factor=2), batch_of("tts")
    batch["durations"] = batch["durations"] // 2
    model.feats_extract = None  # the batch has features itself
    frames = batch["durations"].sum(1) * 2
    batch["speech_lengths"] = frames
    batch["speech"] = torch.randn(3, int(frames.max()), 10)
    request = Request(taps=("tts.decoder",), spectrum=True)
    with evaluating(model):
        outputs = run_guest(model, batch, request)
    assert outputs.hidden["tts.decoder"].lengths.tolist() == (frames // 2).tolist()
    assert outputs.spectrum.lengths.tolist() == frames.tolist()
    assert outputs.spectrum.values.shape == (3, int(frames.max()), 10)


def test_recognisers_are_asked_by_parts():
    assert family_of(build_asr()) is None


def test_every_rule_names_an_axis():
    axes = {rule.axis for family in FAMILIES for rule in family.rules} - {""}
    assert axes | {family.axis for family in FAMILIES} <= set(AXES)


def test_the_longest_rule_holds():
    family = next(f for f in FAMILIES if f.title == "speaker model")
    assert family.rule_of("encoder.layer1").last
    assert not family.rule_of("encoder.encoders.3").last
    assert family.rule_of("encoders") is None  # a name, not the beginning of one
    enhancer = next(f for f in FAMILIES if f.title == "speech enhancer")
    assert enhancer.rule_of("separator.tcn.network.2.0").last
    assert enhancer.rule_of("separator.tcn.network.3") is None


def test_a_tap_that_is_laid_out_otherwise_says_so():
    model, batch = build("lm", 8, "seq_rnn"), batch_of("lm")
    with evaluating(model), pytest.raises(KDError, match=r"gives 15 rows of .*3 utterance"):
        run_guest(model, batch, Request(taps=("lm.decoder",)))


def test_sources_come_in_the_order_of_their_references():
    """A separator that gives them the other way round says the same."""
    model, batch = build("enh", 8), batch_of("enh")
    turned = copy.deepcopy(model)
    turned.separator.linear = torch.nn.ModuleList(reversed(turned.separator.linear))
    request = Request(waveforms=True, spectrum=True, masks=True)
    outputs = []
    for one in (model, turned):
        with evaluating(one):
            outputs.append(run_guest(one, batch, request))
    for field in ("waveforms", "spectrum", "masks"):
        one, other = (getattr(o, field).values for o in outputs)
        torch.testing.assert_close(one, other)
    waves = outputs[0].waveforms.values  # (B, N, S)
    assert waves.shape == (3, 2400, 2)
    assert outputs[0].masks.values.shape == (3, 76, 66)


def test_speakers_are_told_apart_by_scaled_cosines():
    model, batch = build("spk", 8), batch_of("spk")
    with evaluating(model):
        outputs = run_guest(model, batch, Request(classes=(1.0,), taps=("projector",)))
    embeddings = outputs.hidden["projector"].values[:, 0]
    expected = torch.nn.functional.cosine_similarity(
        embeddings[:, None], model.loss.weight[None], dim=-1
    )
    torch.testing.assert_close(outputs.class_logits[:, 0], 10 * expected)  # its scale
