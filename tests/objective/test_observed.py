"""Terms of weight 0: what they say by hand, and that they leave no trace."""

import pytest
import torch
from conftest import clone

import espnet_kd
from espnet_kd.errors import KDError
from espnet_kd.losses import DistillationLoss, Needs
from espnet_kd.losses.feature import HiddenCosine, HiddenMSE
from espnet_kd.model.outputs import Hidden, ModelOutputs, TeacherTargets
from espnet_kd.objective.observed import FittedLoss, fitted, observed

TAPS = {"student": "encoder.encoders.1", "teacher": "encoder.encoders.2"}


def column(*values: float) -> torch.Tensor:
    """One utterance of vectors of width 1."""
    return torch.tensor(values)[None, :, None]


def sides(student: torch.Tensor, teacher: torch.Tensor, length: int):
    """Outputs of both models whose tap 'layer' gives these values."""
    lens = torch.tensor([length])
    pairs = ((ModelOutputs, student), (TeacherTargets, teacher))
    return [kind(lens, hidden={"layer": Hidden(v, lens)}) for kind, v in pairs]


def test_an_affine_teacher_is_met():
    student = column(0.0, 1.0, 2.0)
    teacher = torch.cat([3 * student + 1, 5 - student], -1)
    found = fitted(student, teacher, torch.tensor([3]))
    torch.testing.assert_close(found, teacher.double(), atol=1e-6, rtol=0)


def test_what_no_line_explains_is_left():
    # The best line through (0, 0), (1, 1), (2, 0) is flat, at their mean.
    found = fitted(column(0.0, 1.0, 2.0), column(0.0, 1.0, 0.0), torch.tensor([3]))
    assert found.flatten().tolist() == pytest.approx([1 / 3] * 3)


def test_it_is_the_least_squares_of_all_utterances_together():
    gen = torch.Generator().manual_seed(0)
    student = torch.randn(3, 20, 4, generator=gen)
    teacher = torch.randn(3, 20, 6, generator=gen)
    lengths = torch.tensor([20, 7, 0])
    rows = torch.cat([student[0], student[1, :7]]).double()
    target = torch.cat([teacher[0], teacher[1, :7]]).double()
    affine = torch.cat([rows, torch.ones(27, 1).double()], 1)
    expected = affine @ torch.linalg.lstsq(affine, target).solution
    found = fitted(student, teacher, lengths)
    assert found.shape == (3, 20, 6)
    found = torch.cat([found[0], found[1, :7]])
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_padding_is_never_read():
    student, teacher = column(0.0, 1.0, 2.0, 9.0), column(0.0, 2.0, 4.0, 9.0)
    student[0, 3] = teacher[0, 3] = float("nan")
    found = fitted(student, teacher, torch.tensor([3]))
    assert found.flatten().tolist() == pytest.approx([0, 2, 4, 0], abs=1e-6)


def test_silent_units_and_single_frames_and_none_at_all():
    silent = torch.zeros(1, 3, 2)
    found = fitted(silent, column(1.0, 2.0, 6.0), torch.tensor([3]))
    assert found.flatten().tolist() == [3, 3, 3]
    assert fitted(column(5.0), column(7.0), torch.tensor([1])).flatten().tolist() == [7]
    assert fitted(column(5.0), column(7.0), torch.tensor([0])).flatten().tolist() == [0]


def test_a_student_that_is_no_number_is_seen_and_stops_nothing():
    found = fitted(column(float("nan"), 1.0), column(1.0, 2.0), torch.tensor([2]))
    assert found.isnan().all()


def test_the_loss_of_the_mapped_student_by_hand():
    student = column(0.0, 1.0, 2.0)
    teacher = torch.cat([column(0.0, 1.0, 0.0), student], -1)
    outputs = sides(student, teacher, 3)
    loss = observed(HiddenMSE(student="layer", teacher="layer"), "mse", *outputs)
    # First unit: off by 1/3, 2/3, 1/3, squares 6/9 in sum; second: met. Mean of two.
    assert loss(*outputs).item() == pytest.approx(1 / 3)
    assert isinstance(loss, FittedLoss)
    needs = Needs(student_taps=("layer",), teacher_taps=("layer",))
    assert repr(loss.needs()) == repr(needs)
    assert not list(loss.parameters())


def test_another_frame_rate_is_bridged():
    # The teacher's six frames are 0.5, 2.5, 4.5 at the student's three.
    teacher = torch.cat([column(0.0, 1.0, 2.0, 3.0, 4.0, 5.0)] * 2, -1)
    student, said = sides(column(0.0, 1.0, 2.0), teacher, 3)
    said.hidden["layer"] = Hidden(teacher, torch.tensor([6]))
    loss = observed(HiddenMSE(student="layer", teacher="layer"), "mse", student, said)
    assert loss(student, said).item() == pytest.approx(0, abs=1e-9)


def test_a_layer_that_was_dropped_is_nothing():
    outputs = sides(column(1.0), torch.zeros(1, 1, 2), 1)
    loss = observed(HiddenCosine(student="layer", teacher="layer"), "c", *outputs)
    outputs[0].hidden.clear()
    assert loss(*outputs).item() == 0


def test_layers_of_one_width_are_compared_as_they_are():
    outputs = sides(column(3.0), column(1.0), 1)
    given = HiddenMSE(student="layer", teacher="layer")
    assert observed(given, "mse", *outputs) is given
    assert given(*outputs).item() == 4


def test_other_learned_parts_are_refused():
    class Learned(DistillationLoss):
        def build(self, student, teacher):
            self.scale = torch.nn.Parameter(torch.rand(1))

    with pytest.raises(
        KDError, match=r"^mine: at weight 0 its learned parts.*a weight, or"
    ):
        observed(Learned(), "mine", *sides(column(1.0), column(1.0), 1))


def run(student, teacher, batch, *losses):
    """One training pass: loss, gradients, the next random number, and the stats."""
    torch.manual_seed(3)
    student.zero_grad()
    if losses:
        conf = {"losses": list(losses)}
        example = {name: batch[name] for name in ("speech", "speech_lengths")}
        espnet_kd.attach(student.train(), conf, teacher, example=example)
    loss, stats, _ = student.train()(**clone(batch))
    loss.sum().backward()
    numbers = [loss.detach().flatten(), torch.rand(1)]
    numbers += [p.grad.flatten() for p in student.parameters() if p.grad is not None]
    names = list(dict(student.named_parameters()))
    espnet_kd.detach(student)
    return torch.cat(numbers), stats, names


def test_a_term_between_two_widths_is_in_the_stats_and_nowhere_else(
    student, teacher, batch
):
    stock, _, names = run(student, teacher, batch)
    term = {"type": "hidden_mse", "weight": 0, **TAPS}
    watched, stats, same = run(student, teacher, batch, term)
    assert torch.equal(watched, stock)
    assert same == names
    assert stats["loss_kd"].item() == 0
    assert stats["loss_kd_hidden_mse"].item() > 0


def test_the_best_map_leaves_less_than_one_at_random(student, teacher, batch):
    term = {"type": "hidden_mse", **TAPS}
    _, best, _ = run(student, teacher, batch, term | {"weight": 0})
    _, drawn, _ = run(student, teacher, batch, term | {"weight": 1})
    assert best["loss_kd_hidden_mse"] < drawn["loss_kd_hidden_mse"]
