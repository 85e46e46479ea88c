"""Lengths to masks, and reductions, against values worked out by hand."""

import pytest
import torch

from espnet_kd.masking import check_pair, length_mask, reduce_positions


def test_mask_by_hand():
    mask = length_mask(torch.tensor([2, 0, 3]), 3)
    expected = [[True, True, False], [False] * 3, [True] * 3]
    assert mask.tolist() == expected


def test_reductions_by_hand():
    values = torch.tensor([1.0, 2.0, 3.0])
    # 6 / 4 utterances; 6 / 3 positions
    keep = torch.tensor([[True, False], [True, True], [False, False], [False, False]])
    assert reduce_positions(values, keep, "batch").item() == 1.5
    assert reduce_positions(values, keep, "token").item() == 2.0


@pytest.mark.parametrize("reduction", ["batch", "token"])
def test_nothing_gives_zero_on_the_graph(reduction):
    source = torch.tensor([float("nan")], requires_grad=True)
    loss = reduce_positions(source[:0], torch.zeros(2, 3, dtype=torch.bool), reduction)
    loss.backward()
    assert loss.item() == 0
    assert source.grad.tolist() == [0.0]


@pytest.mark.parametrize(
    ("teacher", "lengths", "message"),
    [
        (torch.zeros(2, 3, 5), [1, 1], r"\(2, 3, 4\).*\(2, 3, 5\)"),
        (torch.zeros(2, 3, 4), [1], r"lengths must be \(2,\), got \(1,\)"),
        (torch.zeros(2, 3, 4), [4, 1], "lengths reach 4, but logits have only 3"),
    ],
)
def test_bad_pairs_are_named(teacher, lengths, message):
    with pytest.raises(ValueError, match=message):
        check_pair(torch.zeros(2, 3, 4), teacher, torch.tensor(lengths), "logits")
