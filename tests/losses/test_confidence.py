"""A teacher's confidence, by hand, and what it does to a term."""

import pytest
import torch
from conftest import clone

import espnet_kd
from espnet_kd.errors import ConfigError
from espnet_kd.losses.confidence import confidence
from espnet_kd.model.outputs import TeacherTargets


def log(*rows):
    return torch.tensor(rows).log()


def test_of_a_decoder_it_is_the_mean_of_its_best_probabilities():
    logits = log([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5], [0.1, 0.9]])
    targets = TeacherTargets(
        torch.tensor([3, 3]), decoder_logits=logits, ys_in_lens=torch.tensor([2, 1])
    )
    expected = torch.tensor([(0.9 * 0.6) ** 0.5, 0.8])
    torch.testing.assert_close(confidence(targets), expected)


def test_of_a_decoder_behind_the_students_words_it_is_the_same():
    logits = log([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    targets = TeacherTargets(
        torch.tensor([3]), hyp_logits=logits, hyp_in_lens=torch.tensor([2])
    )
    torch.testing.assert_close(confidence(targets), torch.tensor([(0.9 * 0.6) ** 0.5]))


def test_of_ctc_only_spikes_count():
    sure, unsure = [0.99, 0.01, 0.0], [0.2, 0.7, 0.1]
    logits = log([sure, unsure, sure], [sure, sure, [0.1, 0.1, 0.8]])
    targets = TeacherTargets(torch.tensor([3, 2]), ctc_logits=logits)
    # The second has no spike in its two frames: all of them count.
    torch.testing.assert_close(confidence(targets), torch.tensor([0.7, 0.99]))


def test_an_utterance_counts_by_it(student, teacher, batch):
    term = {"type": "token_kl", "weight": 1.0}
    terms = [term, term | {"confidence": 2.0, "name": "sure"}]
    espnet_kd.attach(student.eval(), {"losses": terms}, teacher)
    _, stats, _ = student(**clone(batch))
    parts = []
    for row in range(3):
        one = {k: v[row : row + 1] for k, v in batch.items()}
        one["speech"] = one["speech"][:, : batch["speech_lengths"][row]]
        one["text"] = one["text"][:, : batch["text_lengths"][row]]
        _, alone, _ = student(**clone(one))
        parts.append((alone["loss_kd_token_kl"].item(), alone["loss_kd_sure"].item()))
    assert all(sure < plain for plain, sure in parts)
    # Roughly: ESPnet's subsampling reads a frame of the padding.
    mean = sum(sure for _, sure in parts) / 3
    assert stats["loss_kd_sure"].item() == pytest.approx(mean, rel=1e-2)


@pytest.mark.parametrize("kind", ["similarity", "cr_ctc"])
def test_losses_without_utterances_refuse_it(student, teacher, kind):
    taps = {"student": "encoder", "teacher": "encoder"} if kind == "similarity" else {}
    term = {"type": kind, "weight": 1.0, "confidence": 1.0, **taps}
    with pytest.raises(ConfigError, match=r"losses\[0\]\.confidence: .*remove it"):
        espnet_kd.attach(student, {"losses": [term]}, teacher)


def test_a_hidden_loss_asks_the_teachers_ctc(student, teacher, batch):
    term = {"type": "hidden_mse", "weight": 1.0, "confidence": 1.0}
    term |= {"student": "encoder", "teacher": "encoder"}
    example = {k: batch[k] for k in ("speech", "speech_lengths")}
    espnet_kd.attach(student, {"losses": [term]}, teacher, example=example)
    _, stats, _ = student(**clone(batch))
    assert stats["loss_kd_hidden_mse"].isfinite()
