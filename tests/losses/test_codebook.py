"""The loss of indices by hand, its bridge between rates, and heads that no file sees."""

import math

import pytest
import torch
from torch import tensor

from espnet_kd.errors import KDError
from espnet_kd.losses import codebook_ce
from espnet_kd.losses.base import Needs
from espnet_kd.losses.codebook import CodebookCE
from espnet_kd.model.outputs import Codes, Hidden, ModelOutputs, TeacherTargets

TAPS = {"student": "layer", "teacher": "deep"}


def logits(*probabilities):
    """Logits of two centroids, the first of a probability: (1, T, N, 2)."""
    first = torch.tensor(probabilities)
    return torch.stack([first, 1 - first], -1).log()[None]


def test_by_hand():
    """Two frames, two codebooks: (-log 0.8 - log 0.3) / 2 and (-log 0.5 - log 0.9) / 2."""
    student = logits([0.8, 0.7], [0.5, 0.9])
    codes = tensor([[[[0, 1]], [[1, 0]]]])  # (1, 2, 1, 2)
    value = codebook_ce(student, codes, tensor([2]))
    expected = -math.log(0.8 * 0.3 * 0.5 * 0.9) / 2
    assert value.item() == pytest.approx(expected)
    token = codebook_ce(student, codes, tensor([2]), reduction="token")
    assert token.item() == pytest.approx(expected / 2)
    weighed = codebook_ce(student, codes, tensor([2]), weights=tensor([3.0]))
    assert weighed.item() == pytest.approx(3 * expected)


def test_a_frame_that_stands_for_two_says_either():
    """Half of its cross-entropy each; where there is one alone, that one."""
    student = logits([0.8], [0.8])
    codes = tensor([[[[0], [1]], [[0], [-1]]]])  # (1, 2, 2, 1)
    value = codebook_ce(student, codes, tensor([2]))
    assert value.item() == pytest.approx(-math.log(0.8 * 0.2) / 2 - math.log(0.8))


def test_shapes_that_do_not_fit_are_named():
    student = torch.zeros(3, 2, 1, 4)
    for codes in (torch.zeros(2, 2, 1, 1), torch.zeros(3, 2, 1, 2), torch.zeros(3, 2, 1)):
        with pytest.raises(ValueError, match=r"student_logits \(3, .*teacher_codes"):
            codebook_ce(student, codes.long(), tensor([2, 2, 2]))
    for lengths in (tensor([2, 2]), tensor([3, 2, 2])):
        with pytest.raises(ValueError, match="lengths"):
            codebook_ce(student, torch.zeros(3, 2, 1, 1).long(), lengths)


def sides(student, codes, centroids=2):
    """Outputs of one utterance: the student's layer, (T, D), and the teacher's indices."""
    lens, own = tensor([len(student)]), tensor([len(codes)])
    return (
        ModelOutputs(lens, hidden={"layer": Hidden(student[None], lens)}),
        TeacherTargets(own, codes={"deep": Codes(codes[None], own, centroids)}),
    )


def built(student, codes):
    loss = CodebookCE(**TAPS)
    loss.build(*sides(student, codes))
    with torch.no_grad():
        loss.heads.bias.zero_()
    return loss


def test_the_heads_are_linear_and_in_no_state():
    student, codes = tensor([[1.0], [-1.0]]), tensor([[0], [1]])
    loss = built(student, codes)
    with torch.no_grad():
        loss.heads.weight.copy_(tensor([[1.0], [0.0]]))
    # logits (1, 0) and (-1, 0), of which the first and the second are right
    right = 1 / (1 + math.exp(-1))
    value = loss(*sides(student, codes))
    assert value.item() == pytest.approx(-2 * math.log(right))
    assert loss.state_dict() == {}
    assert [tuple(p.shape) for p in loss.parameters()] == [(2, 1), (2,)]


def test_a_teacher_of_twice_the_rate_is_read_by_spans():
    """Its frames 0 1 and 1 1 stand for the student's two, whose heads say 0.5 to each."""
    student, codes = torch.zeros(2, 1), tensor([[0], [1], [1], [1]])
    value = built(student, codes)(*sides(student, codes))
    assert value.item() == pytest.approx(2 * math.log(2))
    loss = built(student, codes)
    with torch.no_grad():
        loss.heads.bias.copy_(tensor([0.0, math.log(3)]))  # 1/4 and 3/4
    first = -(math.log(1 / 4) + math.log(3 / 4)) / 2
    assert loss(*sides(student, codes)).item() == pytest.approx(first - math.log(3 / 4))


def test_frames_that_only_padding_made_count_for_nothing():
    student, codes = torch.zeros(10, 1), torch.zeros(8, 1).long()
    assert built(student, codes)(*sides(student, codes)).item() == pytest.approx(
        8 * math.log(2)
    )


def test_a_dropped_layer_gives_zero_and_trains_nothing():
    student, codes = torch.zeros(2, 1), tensor([[0], [1]])
    loss = built(student, codes)
    value = loss(ModelOutputs(tensor([2])), sides(student, codes)[1])
    value.backward()
    assert value.item() == 0
    assert loss.heads.weight.grad.eq(0).all()


def test_it_asks_for_the_layer_by_name():
    needs = CodebookCE(**TAPS).needs()
    assert needs == Needs(student_taps=("layer",), codebooks=("deep",))
    assert "codebooks" not in needs.of_student
    assert needs.of_teacher.listed("codebooks") == ("deep",)


def test_a_teacher_without_codes_is_named():
    student, teacher = sides(torch.zeros(1, 1), tensor([[0]]))
    teacher.codes = {}
    with pytest.raises(KDError, match="the teacher's 'deep' gave no codes"):
        CodebookCE(**TAPS).build(student, teacher)
