"""Hidden losses by hand, and the projection that no checkpoint sees."""

import pytest
import torch

from espnet_kd.errors import ArgumentsError, KDError
from espnet_kd.losses import Projection, hidden_l1_cosine, hidden_mse
from espnet_kd.losses.feature import HiddenL1Cosine, HiddenMSE
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets

ONE = torch.tensor([1])


def outputs(kind, values, lengths, tap="layer"):
    lengths = torch.tensor(lengths)
    return kind(lengths, hidden={tap: Hidden(values, lengths)})


def test_mse_by_hand():
    # ((1-0)^2 + (2-4)^2) / 2 = 2.5
    value = hidden_mse(torch.tensor([[[1.0, 2]]]), torch.tensor([[[0.0, 4]]]), ONE)
    assert value.item() == pytest.approx(2.5)


def test_l1_cosine_by_hand():
    # L1: (|3-0| + |0-4|) / 2 = 3.5; the vectors are orthogonal: 1 - cos = 1
    student, teacher = torch.tensor([[[3.0, 0]]]), torch.tensor([[[0.0, 4]]])
    value = hidden_l1_cosine(student, teacher, ONE, cosine_weight=2.0)
    assert value.item() == pytest.approx(3.5 + 2.0)


def test_opposite_vectors_have_cosine_distance_two():
    value = hidden_l1_cosine(torch.tensor([[[1.0, 0]]]), torch.tensor([[[-1.0, 0]]]), ONE)
    assert value.item() == pytest.approx(1.0 + 2.0)


def test_zero_vectors_give_a_finite_gradient():
    student = torch.zeros(1, 1, 2, requires_grad=True)
    hidden_l1_cosine(student, torch.ones(1, 1, 2), ONE).backward()
    assert student.grad.isfinite().all()


def test_different_widths_get_a_projection_that_is_never_saved():
    loss = HiddenMSE(student="layer", teacher="layer")
    loss.build(
        outputs(ModelOutputs, torch.zeros(1, 2, 3), [2]),
        outputs(TeacherTargets, torch.zeros(1, 2, 5), [2]),
    )
    assert tuple(loss.projections["0"].weight.shape) == (5, 3)
    assert loss.state_dict() == {}
    loss.load_state_dict({})  # and loading does not miss it
    assert len(list(loss.parameters())) == 2


def test_equal_widths_need_none():
    loss = HiddenMSE(student="layer", teacher="layer")
    values = torch.randn(1, 2, 3)
    student = outputs(ModelOutputs, values, [2])
    teacher = outputs(TeacherTargets, values, [2])
    loss.build(student, teacher)
    assert not len(loss.projections)
    assert loss(student, teacher).item() == 0.0


def test_projection_maps_by_its_weights():
    loss = HiddenMSE(student="layer", teacher="layer", reduction="token")
    loss.projections["0"] = projection = Projection(1, 2)
    with torch.no_grad():
        projection.weight.copy_(torch.tensor([[1.0], [2.0]]))
        projection.bias.zero_()
    # student 3 -> (3, 6); teacher (0, 6): (9 + 0) / 2
    student = outputs(ModelOutputs, torch.tensor([[[3.0]]]), [1])
    teacher = outputs(TeacherTargets, torch.tensor([[[0.0, 6.0]]]), [1])
    assert loss(student, teacher).item() == pytest.approx(4.5)


def test_two_frame_rates_are_bridged_by_averaging():
    # teacher frames 1, 3 average to the student's 2
    student = outputs(ModelOutputs, torch.tensor([[[2.0], [5.0]]]), [2])
    teacher = outputs(TeacherTargets, torch.tensor([[[1.0], [3], [4], [6]]]), [4])
    assert HiddenMSE(student="layer", teacher="layer")(student, teacher).item() == 0.0


def test_a_dropped_layer_gives_zero_and_trains_nothing():
    loss = HiddenMSE(student="layer", teacher="layer")
    loss.projections["0"] = Projection(1, 1)
    student = ModelOutputs(ONE)
    value = loss(student, outputs(TeacherTargets, torch.zeros(1, 1, 1), [1]))
    value.backward()
    assert value.item() == 0
    assert loss.projections["0"].weight.grad.item() == 0


def test_taps_that_are_no_sequence_are_refused():
    loss = HiddenMSE(student="layer", teacher="layer")
    flat = outputs(ModelOutputs, torch.zeros(2, 3), [1])
    with pytest.raises(KDError, match=r"student's tap 'layer' gives shape \(2, 3\)"):
        loss.build(flat, outputs(TeacherTargets, torch.zeros(1, 2, 3), [1]))


def test_constructor_reports_every_bad_argument():
    with pytest.raises(ArgumentsError) as error:
        HiddenL1Cosine(student="a b", teacher="c@x", cosine_weight=-1)
    paths = [problem.path for problem in error.value.problems]
    assert paths == ["student", "teacher", "cosine_weight"]
