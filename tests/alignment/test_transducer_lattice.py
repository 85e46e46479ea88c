"""Nodes of the transducer lattice and their three classes, by hand."""

import pytest
import torch

from espnet_kd.alignment.transducer_lattice import (
    BLOCKED,
    collapse,
    next_labels,
    node_mask,
    spread,
)


def test_real_nodes():
    mask = node_mask(torch.tensor([2, 1]), torch.tensor([1, 0]), 2, 2)
    assert mask.tolist() == [[[True, True]] * 2, [[True, False], [False, False]]]


def test_next_labels():
    ys_pad = torch.tensor([[5, 6], [7, 99]])
    found = next_labels(ys_pad, torch.tensor([2, 1]), 3)
    assert found.tolist() == [[5, 6, -1], [7, -1, -1]]
    assert next_labels(ys_pad[:, :0], torch.tensor([0, 0]), 1).tolist() == [[-1], [-1]]


def one_node(probs: list[float], label: int, **options) -> list[float]:
    """Probabilities of {label, blank, rest} at a single node."""
    logits = torch.tensor(probs).double().log()[None, None, None] + 3
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    found = collapse(logits, mask, torch.tensor([[label]]), **options)
    assert found.shape == (1, 3)
    return found[0].exp().tolist()


def test_three_classes_by_hand():
    probs = [0.1, 0.2, 0.3, 0.4]
    assert one_node(probs, 2) == pytest.approx([0.3, 0.1, 0.2 + 0.4])
    assert one_node(probs, 2, blank_id=3) == pytest.approx([0.3, 0.4, 0.1 + 0.2])
    # Behind the last label there is blank and the rest.
    assert one_node(probs, -1) == pytest.approx([0, 0.1, 0.9])
    # Two tokens leave no rest.
    assert one_node([0.25, 0.75], 1) == pytest.approx([0.75, 0.25, 0])


def test_a_rest_of_next_to_nothing_is_exact():
    logits = torch.tensor([[[[60.0, 59.0, 0.0]]]]).double()
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    found = collapse(logits, mask, torch.tensor([[1]]))
    # log p_rest = 0 - log(e^60 + e^59 + 1)
    assert found[0, 2].item() == pytest.approx(-60 - torch.tensor(-1.0).exp().log1p())


def setting(dtype=torch.float64):
    """Two utterances of 3 and 2 frames, 2 and 1 labels, and five tokens."""
    gen = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 3, 5, generator=gen, dtype=torch.float64).to(dtype)
    lens, ys_lens = torch.tensor([3, 2]), torch.tensor([2, 1])
    labels = next_labels(torch.tensor([[1, 4], [2, 2]]), ys_lens, 3)
    return logits, node_mask(lens, ys_lens, 3, 3), labels


def plain(logits, mask, labels, blank=0):
    """The same by indexing and sums of probabilities, node by node."""
    rows = []
    for b, t, u in mask.nonzero().tolist():
        probs = logits[b, t, u].softmax(-1)
        label = int(labels[b, u])
        others = [v for v in range(len(probs)) if v not in (label, blank)]
        said = probs[label] if label >= 0 else probs[0] * 0
        rows.append(torch.stack([said, probs[blank], probs[others].sum()]))
    return torch.stack(rows)


def test_values_and_gradient_of_all_real_nodes():
    logits, mask, labels = setting()
    logits.requires_grad_()
    found, expected = collapse(logits, mask, labels), plain(logits, mask, labels)
    torch.testing.assert_close(found.exp(), expected)
    weights = torch.rand(found.shape, generator=torch.Generator().manual_seed(1))
    weights = torch.where(found > BLOCKED, weights.double(), 0.0)
    (slope,) = torch.autograd.grad((weights * found).sum(), logits, retain_graph=True)
    total = (weights * expected.clamp(min=1e-300).log()).sum()
    torch.testing.assert_close(slope, torch.autograd.grad(total, logits)[0])


def test_a_lattice_read_in_parts_is_the_same(monkeypatch):
    logits, mask, labels = setting()
    whole = collapse(logits, mask, labels)
    for name, value in (("PART", 0.0), ("LEAST", 10)):
        monkeypatch.setattr(f"espnet_kd.alignment.transducer_lattice.{name}", value)
    logits.requires_grad_()
    parts = collapse(logits, mask, labels)
    assert torch.equal(parts, whole)
    assert torch.autograd.gradcheck(
        lambda z: collapse(z, mask, labels).clamp(min=-100), (logits,)
    )


def test_padding_reaches_neither_value_nor_gradient():
    logits, mask, labels = setting()
    logits[~mask] = float("nan")
    logits.requires_grad_()
    collapse(logits, mask, labels).clamp(min=-100).sum().backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[~mask].any()


def test_half_precision_is_widened():
    logits, mask, labels = setting(torch.float16)
    found = collapse(logits, mask, labels)
    assert found.dtype == torch.float32
    expected = collapse(logits.double(), mask, labels).float()
    torch.testing.assert_close(found, expected)


def test_no_node_at_all():
    mask = torch.zeros(1, 2, 2, dtype=torch.bool)
    labels = torch.full((1, 2), -1)
    assert collapse(torch.zeros(1, 2, 2, 3), mask, labels).shape == (0, 3)


def test_nodes_go_back_to_their_lattice():
    mask = torch.tensor([[[True, False], [True, True]]])
    found = spread(torch.tensor([[1.0], [2.0], [3.0]]), mask)
    assert found[..., 0].tolist() == [[[1.0, torch.tensor(BLOCKED).item()], [2.0, 3.0]]]
