"""A language model as teacher: what ESPnet says of a text, and nothing that is heard."""

import argparse

import pytest
import torch
from conftest import TOKENS, clone, write_exp

import espnet_kd
from espnet_kd.config.schema import TeacherConfig
from espnet_kd.errors import ConfigError
from espnet_kd.host.compat import build_model, language_model_task
from espnet_kd.model.request import Labels, Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.build import load_teacher
from espnet_kd.teachers.ensemble import Ensemble
from espnet_kd.teachers.language_model import LanguageModelTeacher
from espnet_kd.teachers.live import LiveTeacher

TOKEN_KL = [{"type": "token_kl", "weight": 1.0}]
KINDS = {
    "seq_rnn": {"unit": 8, "nlayers": 1},
    "transformer": {"embed_unit": 8, "att_unit": 8, "head": 2, "unit": 8, "layer": 1},
}


def settings_of(kind: str, tokens=TOKENS) -> dict:
    args = language_model_task().get_parser().parse_args(["--output_dir", "unused"])
    return vars(args) | {"lm": kind, "lm_conf": KINDS[kind], "token_list": list(tokens)}


def build(kind: str = "transformer", seed: int = 3, tokens=TOKENS) -> torch.nn.Module:
    torch.manual_seed(seed)
    return build_model(language_model_task(), settings_of(kind, tokens)).eval()


def prefix_of(batch) -> Labels:
    text, lens = batch["text"], batch["text_lengths"]
    eos = len(TOKENS) - 1
    start = torch.full_like(text[:, :1], eos)
    return Labels(torch.cat([start, text.masked_fill(text < 0, eos)], 1), lens + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_it_says_what_espnet_scores(kind, batch):
    """ESPnet's own negative log-likelihood of each label, from our posteriors."""
    model, labels = build(kind), prefix_of(batch)
    expected, lens = model.nll(batch["text"].clamp(min=0), batch["text_lengths"])
    guest = LanguageModelTeacher(model, TOKENS)
    said = guest(Question(batch, Request(decoder=True), labels))
    assert said.ys_in_lens.tolist() == lens.tolist()
    for row, length in enumerate(lens.tolist()):
        spoken = [*batch["text"][row, : length - 1].tolist(), len(TOKENS) - 1]
        found = said.decoder_logits[row].log_softmax(-1)[range(length), spoken]
        torch.testing.assert_close(-found, expected[row, :length])


def test_it_teaches_the_decoder(student, batch):
    guest = LanguageModelTeacher(build(), TOKENS)
    espnet_kd.attach(student, {"losses": TOKEN_KL}, guest)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert stats["loss_kd_token_kl"] > 0
    assert not any("lm" in name for name in student.state_dict())
    assert all(p.grad is None for p in guest.model.parameters())


def test_it_reads_the_students_own_words_as_well(student, batch):
    """The same as along a transcript of just these words."""
    model, labels = build(), prefix_of(batch)
    guest = LanguageModelTeacher(model, TOKENS)
    own = Labels(labels.ys_in_pad[:, :1], torch.ones(3, dtype=torch.long),
                 hyp_in_pad=labels.ys_in_pad, hyp_in_lens=labels.ys_in_lens)  # fmt: skip
    said = guest(Question(batch, Request(hypothesis=True), own))
    plain = guest(Question(batch, Request(decoder=True), labels))
    assert torch.equal(said.hyp_logits, plain.decoder_logits)
    espnet_kd.attach(student, {"losses": [TOKEN_KL[0] | {"prefix": "student"}]}, guest)
    assert student.train()(**clone(batch))[1]["loss_kd_token_kl"] > 0


def test_beside_an_acoustic_teacher_the_decoders_are_mixed(teacher, batch):
    guests = [LiveTeacher(teacher), LanguageModelTeacher(build(), TOKENS)]
    labels, request = prefix_of(batch), Request(ctc=True, decoder=True)
    heard = guests[0](Question(batch, request, labels))
    read = guests[1](Question(batch, Request(decoder=True), labels))
    both = Ensemble(guests, (3.0, 1.0))(Question(batch, request, labels))
    probs = [said.decoder_logits.softmax(-1) for said in (heard, read)]
    expected = 0.75 * probs[0] + 0.25 * probs[1]
    torch.testing.assert_close(both.decoder_logits.exp(), expected)
    torch.testing.assert_close(both.ctc_logits, heard.ctc_logits.log_softmax(-1))
    assert both.encoder_out_lens.tolist() == heard.encoder_out_lens.tolist()


def test_tokens_in_another_order_are_found_again(student, batch):
    """An embedding and an output layer with their rows moved are the same model."""
    order = [0, 3, 1, 2, *range(4, len(TOKENS))]
    model, twin = build(), build(tokens=[TOKENS[i] for i in order])
    twin.load_state_dict(
        {
            name: value[order] if len(value) == len(TOKENS) else value
            for name, value in model.state_dict().items()
        }
    )
    said = []
    for guest, tokens in ((model, TOKENS), (twin, [TOKENS[i] for i in order])):
        guest = LanguageModelTeacher(guest, tokens)
        guest.match_vocabulary(student, {"text"})
        said.append(guest(Question(batch, Request(decoder=True), prefix_of(batch))))
    torch.testing.assert_close(said[1].decoder_logits, said[0].decoder_logits)
    assert torch.equal(said[1].ys_in_pad, said[0].ys_in_pad)


def test_what_must_be_heard_is_refused(student):
    guest = LanguageModelTeacher(build(), TOKENS, name="exp/lm")
    losses = [{"type": "ctc_frame_kl", "weight": 1.0}]
    with pytest.raises(ConfigError, match="language model exp/lm gives decoder posteriors"):
        espnet_kd.attach(student, {"losses": losses}, guest)


def test_it_is_loaded_by_name(student, batch, tmp_path):
    model = build()
    write_exp(tmp_path, model, settings_of("transformer"))
    guest = load_teacher(TeacherConfig(lm=str(tmp_path)), argparse.Namespace)
    assert isinstance(guest, LanguageModelTeacher)
    conf = {"losses": TOKEN_KL, "teachers": [{"lm": str(tmp_path)}]}
    espnet_kd.attach(student.eval(), conf)
    value = student(**clone(batch))[1]["loss_kd_token_kl"]
    espnet_kd.detach(student)
    espnet_kd.attach(student, {"losses": TOKEN_KL}, LanguageModelTeacher(model, TOKENS))
    torch.testing.assert_close(student(**clone(batch))[1]["loss_kd_token_kl"], value)
