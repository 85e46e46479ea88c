"""The best path of CTC by hand."""

import torch
import torch.nn.functional as F

from espnet_kd.alignment.ctc_best import best_path, greedy_ctc


def read(rows, lengths, blank_id=0):
    logits = F.one_hot(torch.tensor(rows), 10).float()
    return greedy_ctc(logits, torch.tensor(lengths), blank_id)


def test_repeats_are_merged_and_blanks_dropped():
    rows = [[1, 1, 0, 1, 2, 0], [0, 0, 3, 3, 3, 9], [0, 0, 0, 9, 9, 9]]
    # What stands behind a length is padding.
    assert read(rows, [6, 5, 3]) == [[1, 1, 2], [3], []]


def test_blank_may_be_another_token():
    assert read([[0, 9, 0, 0]], [4], blank_id=9) == [[0, 0]]


def test_nobody_and_nothing():
    assert read([[1, 1]], [0]) == [[]]
    labels, counts = best_path(torch.zeros(0, 4, 3), torch.zeros(0, dtype=torch.long))
    assert labels.shape == (0, 0)
    assert counts.shape == (0,)
