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
