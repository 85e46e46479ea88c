"""Learning a map: two steps by hand, pieces told apart, a real pair of lists."""

import pytest
import torch
from torch import tensor

from espnet_kd.errors import KDError
from espnet_kd.teachers.co_occurrence import CoOccurrence


def logits(*frames):
    """Of probabilities, a list a frame."""
    return tensor(frames).clamp(min=1e-30).log()


def dense(learned):
    found = torch.zeros(len(learned.teacher_tokens), len(learned.student_tokens))
    found[learned.rows, learned.columns] = learned.values
    return found


def hand():
    """In two frames the teacher says x, then x or y; the student a, then b.

    a_1 = (1, 0), a_2 = (0.5, 0.5) over x and y, and q_1 = a, q_2 = b.
    """
    both = CoOccurrence(["_", "x", "y"], ["_", "a", "b"], context=0)
    teacher = logits([0.0, 1.0, 0.0], [0.0, 0.5, 0.5])
    both.add(teacher, logits([0.0, 1.0, 0.0], [0.0, 0.0, 1.0]))
    both.heard[:] = 9  # enough of each, though there are two frames
    return both


def test_the_first_step_counts_what_occurs_together():
    """M_xa = 1, M_xb = 0.5 and M_yb = 0.5, by rows: x (2/3, 1/3), y (0, 1)."""
    found = dense(hand().learn(1))
    expected = tensor([[1.0, 0, 0], [0, 2 / 3, 1 / 3], [0, 0, 1.0]])
    torch.testing.assert_close(found, expected)


def test_the_second_step_takes_what_a_neighbour_explains_better():
    """Frame 2: x explains 0.5 / 3, y 0.5, so that b is 1/4 x and 3/4 y; x is (1, 1/4)."""
    found = dense(hand().learn(2))
    expected = tensor([[1.0, 0, 0], [0, 0.8, 0.2], [0, 0, 1.0]])
    torch.testing.assert_close(found, expected)


def test_the_frames_around_count_by_their_distance():
    """The teacher's spike at frame 1; the student says a there, b beside it, c two off."""
    both = CoOccurrence(["_", "x"], ["_", "a", "b", "c"], context=1)
    blank = [1.0, 0.0]
    teacher = logits(blank, [0.0, 1.0], blank, blank)
    student = logits([0, 0, 1.0, 0], [0, 1.0, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0])
    both.add(teacher, student)
    # One token alone explains everything in reach alike: a and b half each, c nothing.
    assert dense(both.learn(1))[1].tolist() == pytest.approx([0, 0.5, 0.5, 0])


def test_blank_stays_blank_wherever_it_is():
    both = CoOccurrence(
        ["x", "_"], ["a", "b", "_"], teacher_blank=1, student_blank=2, context=0
    )
    both.add(logits([0.9, 0.1], [0.1, 0.9]), logits([0.8, 0.1, 0.1], [0.1, 0.1, 0.8]))
    found = dense(both.learn(3))
    assert found[1].tolist() == [0, 0, 1]
    assert found[0, 2] == 0


def test_what_was_not_heard_goes_by_its_spelling_or_stands_for_anything():
    both = CoOccurrence(["_", "x", "b", "z"], ["_", "a", "b"], context=0)
    teacher = logits(*[[0.0, 1.0, 0.0, 0.0]] * 3)
    both.add(teacher, logits([0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]))
    found = dense(both.learn(5))
    torch.testing.assert_close(found[1], tensor([0, 2 / 3, 1 / 3]))
    assert found[2].tolist() == [0, 0, 1]
    torch.testing.assert_close(found[3], tensor([0, 2 / 3, 1 / 3]))
    assert both.unheard == 2


def test_shuffled_names_are_found_through_noise_and_shifted_spikes():
    """The student says the same tokens by other names, each one frame later or at once."""
    gen = torch.Generator().manual_seed(0)
    size, order = 12, torch.randperm(11, generator=torch.Generator().manual_seed(1)) + 1
    names = [f"t{i}" for i in range(size)]
    both = CoOccurrence(names, [f"s{i}" for i in range(size)], context=1)
    for _ in range(60):
        tokens = torch.randint(1, size, (8,), generator=gen)
        teacher, student = (torch.randn(40, size, generator=gen) for _ in range(2))
        teacher[:, 0] += 9
        student[:, 0] += 9
        for place, token in enumerate(tokens.tolist()):
            late = int(torch.randint(0, 2, (1,), generator=gen))
            teacher[5 * place, token] += 20
            student[5 * place + late, order[token - 1]] += 20
        both.add(teacher, student)
    found = dense(both.learn(10))
    assert torch.equal(found[1:].argmax(1), order)
    assert found[1:].amax(1).min() > 0.9
    assert (found.sum(1) - 1).abs().max() < 1e-5
    table = list(both.table(both.learn(10)))
    assert len(table) == 2 + 11
    assert table[2].startswith("| `t")


def test_models_that_never_speak_together_are_refused():
    both = CoOccurrence(["_", "x"], ["_", "a"], context=0)
    both.add(logits([0.0, 1.0], [1.0, 0.0]), logits([1.0, 0.0], [0.0, 1.0]))
    with pytest.raises(KDError, match="never speak at the same time: one of them says"):
        both.learn()
