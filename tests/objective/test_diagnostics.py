"""Diagnostics by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import clone

import espnet_kd
from espnet_kd.model.outputs import ModelOutputs, TeacherTargets
from espnet_kd.objective.diagnostics import diagnose


def ctc(kind, rows, lengths):
    """A model that is certain of these tokens."""
    logits = F.one_hot(torch.tensor(rows), 4).float() * 9
    return kind(torch.tensor(lengths), ctc_logits=logits)


def test_ctc_by_hand():
    teacher = [[0, 1, 0, 0, 2, 0, 3], [1, 0, 0, 0, 0, 0, 0]]
    student = [[0, 0, 1, 0, 2, 0, 0], [0, 0, 0, 0, 0, 0, 1]]
    lengths = [7, 6]
    stats = diagnose(
        ctc(ModelOutputs, student, lengths), ctc(TeacherTargets, teacher, lengths)
    )
    assert stats["kd_blank_student"].item() == pytest.approx(11 / 13)
    assert stats["kd_blank_teacher"].item() == pytest.approx(9 / 13)
    # Apart at frames 1, 2, 6 of the first and 0 of the second.
    assert stats["kd_agree_ctc"].item() == pytest.approx(9 / 13)
    # Of the four spikes 2 is met; 1 comes a frame late; 3 never; 1 only in the padding.
    assert stats["kd_spike_hit"].item() == pytest.approx(1 / 4)
    assert stats["kd_spike_offset"].item() == pytest.approx((1 + 0) / 2)


def test_a_spike_too_far_away_is_none():
    teacher, student = [[1] + [0] * 6], [[0] * 6 + [1]]
    stats = diagnose(ctc(ModelOutputs, student, [7]), ctc(TeacherTargets, teacher, [7]))
    assert math.isnan(stats["kd_spike_offset"].item())
    assert stats["kd_spike_hit"].item() == 0


def test_nothing_to_count_is_nan():
    silent = [[0, 0]]
    stats = diagnose(ctc(ModelOutputs, silent, [2]), ctc(TeacherTargets, silent, [2]))
    assert math.isnan(stats["kd_spike_hit"].item())
    assert stats["kd_agree_ctc"].item() == 1


def test_another_frame_rate_is_bridged():
    teacher, student = [[0, 1, 0, 0, 0, 2]], [[1, 0, 2]]
    stats = diagnose(ctc(ModelOutputs, student, [3]), ctc(TeacherTargets, teacher, [6]))
    assert stats["kd_agree_ctc"].item() == 1
    assert stats["kd_spike_hit"].item() == 1


def test_decoder_by_hand():
    ys_in = torch.tensor([[9, 1, 2, 3], [9, 4, 9, 9]])  # 9 starts, ends and pads
    lengths = torch.tensor([4, 2])

    def decoder(kind, rows):
        logits = F.one_hot(torch.tensor(rows), 10).float()
        return kind(
            lengths,
            decoder_logits=logits,
            ys_in_pad=ys_in,
            ys_in_lens=lengths,
            eos_id=9,
        )

    # The labels to be said are 1 2 3 9 and 4 9.
    teacher = decoder(TeacherTargets, [[1, 2, 5, 9], [4, 1, 7, 7]])
    student = decoder(ModelOutputs, [[1, 5, 5, 9], [4, 1, 8, 8]])
    stats = diagnose(student, teacher)
    assert stats["kd_agree_att"].item() == pytest.approx(5 / 6)
    assert stats["kd_teacher_acc"].item() == pytest.approx(4 / 6)


def of_probs(kind, probs, lengths, ys_in):
    """A decoder with these posteriors; token 0 starts and ends."""
    logits = torch.tensor(probs).log() + 3  # a softmax does not see the 3
    ys_in_lens = torch.tensor(lengths)
    ys_in_pad = torch.tensor(ys_in)
    prefix = {"ys_in_pad": ys_in_pad, "ys_in_lens": ys_in_lens, "eos_id": 0}
    return kind(ys_in_lens, decoder_logits=logits, **prefix)


def test_doubt_and_early_ends_by_hand():
    """Transcripts 1 2 and 1; the second utterance's last position is padding."""
    ys_in, lengths = [[0, 1, 2], [0, 1, 0]], [3, 2]
    nan = [math.nan] * 3
    student = [
        [[0.5, 0.25, 0.25], [0.2, 0.4, 0.4], [0.9, 0.05, 0.05]],
        [[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], nan],
    ]
    teacher = [
        [[0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]],
        [[0.2, 0.6, 0.2], [0.6, 0.2, 0.2], nan],
    ]
    stats = diagnose(
        of_probs(ModelOutputs, student, lengths, ys_in),
        of_probs(TeacherTargets, teacher, lengths, ys_in),
    )
    doubt = (math.log(0.25) + math.log(0.4) + math.log(0.8)) / 3
    assert stats["kd_label_student"].item() == pytest.approx(doubt)
    sure = (math.log(0.8) + math.log(0.8) + math.log(0.6)) / 3
    assert stats["kd_label_teacher"].item() == pytest.approx(sure)
    # Not ending at either label: 0.5 x 0.8 and 0.9; 0.9 x 0.9 and 0.8.
    assert stats["kd_early_end_student"].item() == pytest.approx((0.6 + 0.1) / 2)
    assert stats["kd_early_end_teacher"].item() == pytest.approx((0.19 + 0.2) / 2)


def test_a_student_taught_flat_posteriors_shows_its_doubt():
    """Best tokens agree and the end is no likelier; only the doubt tells them apart."""
    ys_in, lengths = [[0, 1, 2, 1]], [4]
    wanted = [1, 2, 1, 0]
    sharp, flat = ([[[p if v == w else (1 - p) / 2 for v in range(3)] for w in wanted]]
                   for p in (0.96, 0.6))  # fmt: skip
    teacher = of_probs(TeacherTargets, sharp, lengths, ys_in)
    stats = diagnose(of_probs(ModelOutputs, flat, lengths, ys_in), teacher)
    assert stats["kd_agree_att"].item() == 1
    lost = 3 * (stats["kd_label_teacher"] - stats["kd_label_student"]).item()
    assert lost == pytest.approx(3 * math.log(0.96 / 0.6), rel=1e-5)


def test_a_certain_end_and_an_empty_utterance_are_finite():
    ys_in, lengths = [[0, 1], [0, 0]], [2, 0]
    sides = []
    for kind in (ModelOutputs, TeacherTargets):
        outputs = of_probs(kind, [[[1.0, 0.0], [1.0, 0.0]]] * 2, lengths, ys_in)
        outputs.decoder_logits.clamp_(min=-90)
        sides.append(outputs)
    stats = diagnose(*sides)
    assert stats["kd_early_end_student"].item() == pytest.approx(1, abs=1e-5)
    assert stats["kd_label_student"].item() == pytest.approx(-93, abs=0.1)


def test_a_decoder_without_its_prefixes_is_refused():
    lengths, logits = torch.tensor([1]), torch.zeros(1, 1, 2)
    bare = [kind(lengths, decoder_logits=logits) for kind in (ModelOutputs, TeacherTargets)]
    with pytest.raises(ValueError, match="decoder_logits come without ys_in_pad"):
        diagnose(*bare)


def test_they_are_in_the_stats_unless_switched_off(student, teacher, batch):
    conf = {"losses": [{"type": "ctc_frame_kl", "weight": 1}]}
    found = []
    for more in ({}, {"diagnostics": False}):
        espnet_kd.attach(student, conf | more, teacher)
        _, stats, _ = student(**clone(batch))
        found.append({key for key in stats if key.startswith("kd_")})
        espnet_kd.detach(student)
    assert found == [
        {
            "kd_blank_student",
            "kd_blank_teacher",
            "kd_agree_ctc",
            "kd_spike_hit",
            "kd_spike_offset",
        },
        set(),
    ]
