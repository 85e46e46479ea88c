"""Paths through a transducer lattice, against every path written out."""

import itertools

import pytest
import torch

from espnet_kd.alignment.transducer_lattice import BLOCKED
from espnet_kd.alignment.transducer_paths import best_path, total_log_prob

LENS, YS_LENS = torch.tensor([4, 2, 3]), torch.tensor([2, 3, 0])


def lattice(seed: int = 0) -> torch.Tensor:
    """Log-probabilities of label and blank, (3, 4, 4, 2); BLOCKED at padding."""
    gen = torch.Generator().manual_seed(seed)
    classes = torch.rand(3, 4, 4, 2, generator=gen, dtype=torch.float64).log()
    for row, (frames, labels) in enumerate(zip(LENS, YS_LENS, strict=True)):
        classes[row, frames:] = BLOCKED
        classes[row, :, labels + 1 :] = BLOCKED
        classes[row, :, labels, 0] = BLOCKED  # no label behind the last
    return classes


def paths(frames: int, labels: int):
    """Every order of T - 1 blanks and U labels, as the nodes it visits."""
    steps = frames - 1 + labels
    for places in itertools.combinations(range(steps), labels):
        nodes = [(0, 0)]
        for step in range(steps):
            t, u = nodes[-1]
            nodes.append((t, u + 1) if step in places else (t + 1, u))
        yield nodes


def score(classes: torch.Tensor, nodes: list[tuple[int, int]]) -> torch.Tensor:
    """Log-probability of a path, its last blank included."""
    kinds = [0 if after[1] > u else 1 for (_, u), after in itertools.pairwise(nodes)]
    taken = [classes[t, u, kind] for (t, u), kind in zip(nodes, [*kinds, 1], strict=True)]
    return torch.stack(taken).sum()


def test_two_frames_and_one_label_by_hand():
    label = torch.tensor([[0.5, 0.0], [0.25, 0.0]])
    blank = torch.tensor([[0.5, 0.8], [0.75, 0.1]])
    classes = torch.stack([label, blank], -1).double().log()[None]
    lens = (torch.tensor([2]), torch.tensor([1]))
    # label, blank, blank: .5 .8 .1; blank, label, blank: .5 .25 .1
    total = total_log_prob(classes, *lens).exp().item()
    assert total == pytest.approx(0.04 + 0.0125)
    frames, labels, lengths = best_path(classes, *lens)
    assert list(zip(frames[0].tolist(), labels[0].tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 1),
    ]
    assert lengths.tolist() == [3]


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_over_every_path(seed):
    classes = lattice(seed).requires_grad_()
    total = total_log_prob(classes, LENS, YS_LENS)
    expected = torch.stack(
        [
            torch.stack([score(classes[b], p) for p in paths(int(t), int(u))]).logsumexp(0)
            for b, (t, u) in enumerate(zip(LENS, YS_LENS, strict=True))
        ]
    )
    torch.testing.assert_close(total, expected)
    slopes = [torch.autograd.grad(x.sum(), classes)[0] for x in (total, expected)]
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("seed", range(3))
def test_the_best_of_every_path(seed):
    classes = lattice(seed)
    frames, labels, lengths = best_path(classes, LENS, YS_LENS)
    assert lengths.tolist() == (LENS + YS_LENS).tolist()
    for b, (t, u) in enumerate(zip(LENS.tolist(), YS_LENS.tolist(), strict=True)):
        best = max(paths(t, u), key=lambda nodes, b=b: score(classes[b], nodes).item())
        found = zip(frames[b].tolist(), labels[b].tolist(), strict=True)
        assert list(found)[: t + u] == best
        assert not frames[b, t + u :].any()


def test_an_utterance_without_frames_has_no_path():
    classes = lattice()
    none = torch.zeros(3, dtype=torch.long)
    assert total_log_prob(classes, none, YS_LENS).tolist() == [0, 0, 0]
    frames, labels, lengths = best_path(classes, none, YS_LENS)
    assert lengths.tolist() == [0, 0, 0]
    assert frames.shape == labels.shape == (3, 0)


def test_the_total_has_the_dtype_of_the_classes():
    classes = lattice()
    single = total_log_prob(classes.float(), LENS, YS_LENS)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single, total_log_prob(classes, LENS, YS_LENS).float())
