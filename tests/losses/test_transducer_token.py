"""transducer_token_kl: what delay is worth, by hand."""

import math

import pytest
import torch

from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.alignment.transducer_paths import best_path, emissions
from espnet_kd.losses import transducer_path_kl, transducer_token_kl
from espnet_kd.model.outputs import Path

ONE = (torch.tensor([[1, 2]]), torch.tensor([2]))  # the transcript and its length


def lattice(*frames):
    """A joint output, (1, T, 3, 3), that emits the two labels at these frames."""
    probs = torch.full((1, 5, 3, 3), 0.05, dtype=torch.float64)
    probs[..., 0] = 0.9
    for label, frame in enumerate(frames):
        probs[0, frame:, label] = 0.05
        probs[0, frame:, label, label + 1] = 0.9
    return probs.log()


def path_of(logits, frames=5):
    lens = torch.tensor([frames])
    mask = node_mask(lens, ONE[1], *logits.shape[1:3])
    classes = spread(collapse(logits, mask, next_labels(*ONE, 3)), mask)
    at, labels, lengths = best_path(classes, lens, ONE[1])
    return Path(at, labels, lengths, logits[torch.zeros_like(at), at, labels])


def test_the_node_that_emits_a_label_is_the_last_before_it():
    # Nodes (0,0) (1,0) (1,1) (2,1) (2,2) (3,2): labels leave at places 1 and 3.
    labels = torch.tensor([[0, 0, 1, 1, 2, 2], [0, 1, 0, 0, 0, 0]])
    found = emissions(labels, torch.tensor([6, 2]), 2)
    assert found.tolist()[0] == [1, 3]
    assert found.tolist()[1][0] == 0


def test_a_student_that_only_emits_later_has_nothing_to_learn():
    teacher, student = lattice(0, 1), lattice(2, 4)
    path = path_of(teacher)
    assert path.frames[0, emissions(path.labels, path.lengths, 2)[0]].tolist() == [0, 1]
    late = path_of(student)
    assert late.frames[0, emissions(late.labels, late.lengths, 2)[0]].tolist() == [2, 4]
    value = transducer_token_kl(student, path, torch.tensor([5]), *ONE)
    assert value.item() == pytest.approx(0, abs=1e-12)
    assert transducer_path_kl(student, path).item() > 1, "along one path delay is an error"


def test_two_labels_by_hand():
    """The second label: p = (0.05, 0.05, 0.9), and q = (0.05, 0.25, 0.7)."""
    teacher, student = lattice(0, 1), lattice(2, 3)
    student[0, 3:, 1] = torch.tensor([0.05, 0.25, 0.7]).double().log()
    expected = 0.05 * math.log(0.05 / 0.25) + 0.9 * math.log(0.9 / 0.7)
    given = (path_of(teacher), torch.tensor([5]), *ONE)
    value = transducer_token_kl(student.requires_grad_(), *given)
    assert value.item() == pytest.approx(expected, abs=1e-7)
    value.backward()
    # q - p where the student emits it, and nothing anywhere else.
    found = student.grad[0, 3, 1]
    torch.testing.assert_close(
        found, torch.tensor([0, 0.2, -0.2]).double(), atol=1e-7, rtol=0
    )
    assert student.grad.abs().sum().item() == pytest.approx(0.4, abs=1e-6)


def test_another_frame_rate_will_do():
    teacher, student = lattice(0, 1)[:, :2], lattice(2, 4)
    given = (path_of(teacher, 2), torch.tensor([5]), *ONE)
    assert transducer_token_kl(student, *given).item() == pytest.approx(0, abs=1e-12)


def test_shapes_that_do_not_fit_are_named():
    given = (path_of(lattice(0, 1)), torch.tensor([5]), *ONE)
    with pytest.raises(ValueError, match=r"student_logits \(1, 5, 3, 4\) and teacher_path"):
        transducer_token_kl(torch.zeros(1, 5, 3, 4), *given)
