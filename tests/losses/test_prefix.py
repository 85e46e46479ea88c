"""Both decoders behind the student's own words, against ESPnet's modules called by hand."""

from itertools import groupby

import pytest
import torch
from conftest import TOKENS, build_asr, clone, transducer
from targets import write_shard

import espnet_kd
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import merge
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.losses.base import Needs
from espnet_kd.losses.token import TokenKL
from espnet_kd.model.request import Request
from espnet_kd.teachers.cached import CachedTeacher
from espnet_kd.teachers.ensemble import Ensemble
from espnet_kd.teachers.live import LiveTeacher

EOS = len(TOKENS) - 1
OWN = {"type": "token_kl", "weight": 1.0, "prefix": "student", "temperature": 1.0}


def encoded(model, batch):
    """Encoder output of each utterance alone, so that nothing is padded."""
    with torch.no_grad():
        out, lens = model.encode(batch["speech"].clone(), batch["speech_lengths"])
    return [row[None, :length] for row, length in zip(out, lens, strict=True)]


def written(model, batch):
    """What the model's CTC writes down, utterance by utterance."""
    found = []
    for out in encoded(model, batch):
        best = model.ctc.log_softmax(out)[0].argmax(-1).tolist()
        found.append([token for token, _ in groupby(best) if token != 0])
    return found


def behind(model, batch, words):
    """Log-posteriors of the decoder behind each utterance's words."""
    said = []
    for out, row in zip(encoded(model, batch), words, strict=True):
        ys_in = torch.tensor([[EOS, *row]])
        lens = [torch.tensor([n]) for n in (out.shape[1], ys_in.shape[1])]
        with torch.no_grad():
            logits, _ = model.decoder(out, lens[0], ys_in, lens[1])
        said.append(logits[0].log_softmax(-1))
    return said


def by_hand(student, teacher, batch):
    words = written(student, batch)
    pairs = zip(behind(student, batch, words), behind(teacher, batch, words), strict=True)
    return sum((p.exp() * (p - q)).sum() for q, p in pairs) / len(words)


def distilled(student, teacher, batch, *losses, **conf):
    espnet_kd.attach(student.eval(), {"losses": list(losses) or [OWN], **conf}, teacher)
    try:
        return student(**clone(batch))
    finally:
        espnet_kd.detach(student)


def test_it_is_the_divergence_behind_the_students_words(student, teacher, batch):
    assert any(written(student, batch)), "an untrained student says something"
    _, stats, _ = distilled(student, teacher, batch)
    expected = by_hand(student, teacher, batch)
    assert expected > 0
    torch.testing.assert_close(
        stats["loss_kd_token_kl"].squeeze(), expected, rtol=1e-4, atol=1e-5
    )


def test_a_silent_student_is_asked_for_its_first_word(student, teacher, batch):
    with torch.no_grad():
        student.ctc.ctc_lo.bias[0] = 1e4
    assert written(student, batch) == [[], [], []]
    _, stats, _ = distilled(student, teacher, batch)
    expected = by_hand(student, teacher, batch)
    torch.testing.assert_close(
        stats["loss_kd_token_kl"].squeeze(), expected, rtol=1e-4, atol=1e-5
    )


def test_the_transcript_is_not_read(student, teacher, batch):
    values = []
    for text in (batch["text"], batch["text"].clamp(max=3)):
        _, stats, _ = distilled(student, teacher, batch | {"text": text})
        values.append(stats["loss_kd_token_kl"])
    assert torch.equal(*values)


def test_a_teacher_that_is_the_student_teaches_nothing(student, batch):
    twin = build_asr(seed=1, width=8, blocks=2)
    _, stats, _ = distilled(student, twin, batch)
    assert stats["loss_kd_token_kl"].abs() < 1e-6


@pytest.mark.parametrize("kind", ["token_kl", "token_reverse_kl", "token_jsd"])
def test_the_decoder_learns_and_the_teacher_does_not(kind, student, teacher, batch):
    espnet_kd.attach(student, {"losses": [OWN | {"type": kind}], "task_weight": 0}, teacher)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    assert stats[f"loss_kd_{kind}"].isfinite()
    assert student.decoder.output_layer.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in teacher.parameters())


def test_both_prefixes_beside_each_other(student, teacher, batch):
    plain = {"type": "token_kl", "weight": 0.5, "name": "plain"}
    alone = [distilled(student, teacher, batch, term)[1] for term in (OWN, plain)]
    _, stats, _ = distilled(student, teacher, batch, OWN, plain)
    for term, name in zip(alone, ("loss_kd_token_kl", "loss_kd_plain"), strict=True):
        torch.testing.assert_close(stats[name], term[name])
    assert not torch.allclose(stats["loss_kd_token_kl"], stats["loss_kd_plain"])


def test_a_teacher_of_another_token_order_says_the_same(student, teacher, batch):
    order = [0, *range(EOS - 1, 0, -1), EOS]
    other = build_asr(seed=2, width=12, blocks=3, tokens=[TOKENS[i] for i in order])
    state = teacher.state_dict()
    by_token = ("ctc.ctc_lo.weight", "ctc.ctc_lo.bias", "decoder.embed.0.weight",
                "decoder.output_layer.weight", "decoder.output_layer.bias")  # fmt: skip
    other.load_state_dict({n: v[order] if n in by_token else v for n, v in state.items()})
    values = [
        distilled(student, guest, batch)[1]["loss_kd_token_kl"]
        for guest in (teacher, other)
    ]
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-5)


def test_several_teachers_are_mixed_behind_it(student, teacher, batch):
    second = build_asr(seed=5, width=8)
    both = Ensemble([LiveTeacher(teacher), LiveTeacher(second)], (3.0, 1.0))
    _, stats, _ = distilled(student, both, batch)
    words = written(student, batch)
    said = [behind(model, batch, words) for model in (student, teacher, second)]
    total = 0.0
    for q, one, other in zip(*said, strict=True):
        p = 0.75 * one.exp() + 0.25 * other.exp()
        total += (p * (p.log() - q)).sum()
    torch.testing.assert_close(
        stats["loss_kd_token_kl"].squeeze(), total / 3, rtol=1e-4, atol=1e-5
    )


def test_a_cache_cannot_follow_it(tmp_path):
    write_shard(tmp_path)
    merge(tmp_path, ["a", "b"])
    cached = CachedTeacher(Cache([tmp_path]))
    with pytest.raises(KDError, match=r"in no cache; use 'targets: live', or"):
        cached.check(Request(hypothesis=(1.0,)))
    with pytest.raises(KDError, match=r"follows the student's own words.*be live, or use"):
        Ensemble([cached, cached], (1.0, 1.0)).check(Request(hypothesis=(1.0,)))


def test_a_student_without_ctc_has_no_words(teacher):
    student = build_asr(ctc_weight=0.0)
    with pytest.raises(ConfigError, match=r"best path 'prefix: student' follows; train it"):
        espnet_kd.attach(student, {"losses": [OWN]}, teacher)


def test_a_transducer_has_no_decoder_to_follow_them():
    with pytest.raises(ConfigError, match="has no attention decoder"):
        espnet_kd.attach(transducer(), {"losses": [OWN]}, transducer(seed=2))


def test_its_confidence_is_of_the_same_words(student, teacher, batch):
    """Without CTC in the teacher there is nothing else that it could be of."""
    mute = build_asr(seed=2, width=12, blocks=3, ctc_weight=0.0)
    _, stats, _ = distilled(student, mute, batch, OWN, OWN | {"confidence": 1, "name": "c"})
    assert 0 < stats["loss_kd_c"] < stats["loss_kd_token_kl"]


def test_what_each_prefix_reads():
    assert TokenKL().needs() == Needs(decoder=(1.0,))
    own = Needs(best_path=True, hypothesis=(2.0,))
    assert TokenKL(prefix="student", temperature=2.0).needs() == own
    assert "decoder" not in own.of_teacher
