"""Pairs of layers, means over layers, and rules that choose them."""

import pytest
import torch

from espnet_kd.alignment.layers import uniform_layers
from espnet_kd.errors import ArgumentsError, KDError
from espnet_kd.losses.feature import HiddenMSE
from espnet_kd.losses.relation import HiddenCKA
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.objective.observed import observed

LENS = torch.tensor([2])


def said(kind, **taps):
    """Outputs of one utterance of two frames: a tap's vectors, (2, D) each."""
    hidden = {
        name.replace("__", ":").replace("_", "."): Hidden(torch.tensor([rows]), LENS)
        for name, rows in taps.items()
    }
    return kind(LENS, hidden=hidden)


def mse(**options):
    return HiddenMSE(reduction="token", **options)


def test_the_mean_of_a_list_is_compared_by_hand():
    student = said(ModelOutputs, s=[[1.0, 1.0], [0.0, 0.0]])
    teacher = said(
        TeacherTargets, t_3=[[2.0, 0.0], [4.0, 2.0]], t_5=[[0.0, 4.0], [0.0, 2.0]]
    )
    # The mean is (1, 2) and (2, 2): squares of (0, 1) and (2, 2), halved: 0.5 and 4.
    loss = mse(student="s", teacher=["t.3", "t.5"])
    loss.build(student, teacher)
    assert loss(student, teacher).item() == pytest.approx((0.5 + 4) / 2)
    assert loss.needs().of_teacher.listed("taps") == ("t.3", "t.5")


def test_of_a_mean_of_the_student_the_layers_that_ran_are_taken():
    student = said(ModelOutputs, a=[[3.0], [3.0]], b=[[1.0], [1.0]])
    teacher = said(TeacherTargets, t=[[2.0], [2.0]])
    loss = mse(student=["a", "b"], teacher="t")
    assert loss(student, teacher).item() == 0
    del student.hidden["b"]
    assert loss(student, teacher).item() == 1


def rule(name="uniform", student=3, teacher=5):
    loss = mse(layers=name)
    loss.pair_layers(student, lambda owner: teacher)
    return loss


def test_a_rule_pairs_every_layer_of_the_student():
    loss = rule()
    assert loss.needs().of_student.listed("taps") == tuple(
        f"encoder.encoders.{n}" for n in (0, 1, 2)
    )
    assert loss.needs().of_teacher.listed("taps") == tuple(
        f"encoder.encoders.{n}" for n in (0, 2, 4)
    )
    (line,) = loss.describe()
    assert line.endswith("with the teacher's: 0 with 0, 1 with 2, 2 with 4")


def test_a_rule_of_a_named_teacher_asks_for_its_depth_and_taps_it():
    asked = []
    loss = mse(layers="big:uniform")
    loss.pair_layers(2, lambda owner: asked.append(owner) or 7)
    assert asked == ["big"]
    taps = loss.needs().of_teacher.listed("taps")
    assert taps == ("big:encoder.encoders.0", "big:encoder.encoders.6")
    assert "0 with big:0, 1 with big:6" in loss.describe()[0]


def pairs():
    """Two layers of the student, of width 1, and their teacher's, of widths 1 and 2."""
    student = said(
        ModelOutputs, encoder_encoders_0=[[1.0], [1.0]], encoder_encoders_1=[[5.0], [7.0]]
    )
    teacher = said(
        TeacherTargets,
        encoder_encoders_0=[[2.0], [4.0]],
        encoder_encoders_4=[[1.0, 2.0], [3.0, 4.0]],
    )
    return student, teacher


def test_the_value_is_the_mean_over_pairs_each_with_its_projection():
    student, teacher = pairs()
    loss = rule(student=2)
    loss.build(student, teacher)
    assert list(loss.projections) == ["1"]
    with torch.no_grad():
        loss.projections["1"].weight.zero_()
        loss.projections["1"].bias.copy_(torch.tensor([1.0, 2.0]))
    # (1 + 9) / 2 of the first pair; of the second (0 + (4 + 4) / 2) / 2.
    assert loss(student, teacher).item() == pytest.approx((5 + 2) / 2)


def test_a_pair_whose_layer_was_dropped_adds_nothing():
    student, teacher = pairs()
    loss = rule(student=2)
    loss.build(student, teacher)
    del student.hidden["encoder.encoders.1"]
    value = loss(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(5 / 2)
    assert loss.projections["1"].weight.grad.abs().sum() == 0


def test_observed_pairs_are_mapped_at_best_where_they_would_be_projected():
    student, teacher = pairs()
    loss = observed(rule(student=2), "pairs", student, teacher)
    # The second pair's teacher is an affine function of the student: 5 -> 1, 2; 7 -> 3, 4.
    assert loss(student, teacher).item() == pytest.approx(5 / 2, abs=1e-6)
    assert not list(loss.parameters())


def test_relations_can_be_paired_as_well():
    student, teacher = pairs()
    loss = HiddenCKA(layers="uniform")
    loss.pair_layers(2, lambda owner: 5)
    loss.build(student, teacher)
    # The first pair's student is constant: nothing in common. The second is a line each.
    assert loss(student, teacher).item() == pytest.approx((1 + 0) / 2, abs=1e-6)


def test_layers_spread_over_deeper_and_flatter_models():
    assert uniform_layers(3, 12) == [0, 6, 11]
    assert uniform_layers(4, 2) == [0, 0, 1, 1]
    assert uniform_layers(1, 9) == [0]
    assert uniform_layers(0, 9) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"student": "a"}, r"teacher: is missing; name a tap, or pair all layers by"),
        (
            {"layers": "uniform", "student": "a"},
            "student: names a layer, and 'layers' pairs",
        ),
        ({"layers": "first"}, "layers: must be 'uniform', or 'NAME:uniform'.*got 'first'"),
        ({"student": "a", "teacher": []}, "teacher: is an empty list"),
        ({"student": "a", "teacher": ["b", "b"]}, "teacher: names a tap twice"),
        ({"student": "a", "teacher": ["b", "x:b"]}, "mean of layers of one model, and"),
        (
            {"student": "x:a", "teacher": "b"},
            "student: 'x:a' has a teacher's name in front",
        ),
        ({"student": "a", "teacher": ["b", "c d"]}, "teacher: 'c d' is not a tap"),
    ],
)
def test_what_cannot_be_paired_is_said(options, text):
    with pytest.raises(ArgumentsError, match=text):
        HiddenMSE(**options)


def test_a_mean_of_two_widths_is_refused():
    student, teacher = pairs()
    loss = mse(student="encoder.encoders.0", teacher=list(teacher.hidden))
    with pytest.raises(KDError, match=r"mean of the teacher's layers.*\(1, 2, 1\), .*2\)"):
        loss.build(student, teacher)


def test_a_model_without_layers_cannot_be_paired():
    with pytest.raises(KDError, match="the teacher has none that are known; name"):
        rule(teacher=0)
    with pytest.raises(KDError, match="the student has none that are known; name"):
        rule(student=0)
