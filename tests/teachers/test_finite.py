"""nan and inf are found at real positions, in whatever part they are."""

import pytest
import torch

from espnet_kd.model.outputs import Hidden, TeacherTargets
from espnet_kd.teachers.finite import first_broken, not_finite

LENS = torch.tensor([3, 2])


def broken(row, place, value=float("nan")):
    values = torch.zeros(2, 3, 4)
    values[row, place, 1] = value
    return values


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_real_position_counts_and_padding_does_not(value):
    assert not_finite(broken(0, 2, value), LENS).tolist() == [True, False]
    assert not_finite(broken(1, 2, value), LENS).tolist() == [False, False]
    assert not_finite(torch.zeros(0, 0, 4), torch.zeros(0)).tolist() == []


def test_maps_of_several_heads_are_looked_through():
    maps = torch.zeros(2, 2, 3, 3)
    maps[1, 1, 0, 2] = float("nan")
    assert not_finite(maps, LENS).tolist() == [False, True]


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"ctc_logits": broken(1, 0)}, "CTC posteriors"),
        ({"decoder_logits": broken(1, 0), "ys_in_lens": LENS}, "decoder posteriors"),
        ({"joint_classes": broken(1, 0)[..., None, :]}, "joint output"),
        ({"hidden": {"encoder": Hidden(broken(1, 0), LENS)}}, "hidden 'encoder'"),
    ],
)
def test_the_part_and_its_utterances_are_named(part, name):
    assert first_broken(TeacherTargets(LENS, **part)) == (name, [1])


def test_a_class_without_probability_is_no_fault():
    classes = torch.full((2, 3, 2, 3), -1e30)
    assert first_broken(TeacherTargets(LENS, joint_classes=classes)) is None
