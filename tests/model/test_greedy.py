"""Greedy decoding of CTC posteriors."""

import torch

from espnet_kd.model.greedy import collapse, greedy_ctc


def test_collapse_joins_repeats_then_drops_blanks():
    assert collapse([0, 2, 2, 0, 2, 3, 3, 0], blank_id=0) == [2, 2, 3]


def test_frames_of_padding_say_nothing():
    paths = torch.tensor([[1, 0, 1, 2], [2, 2, 1, 1]])
    logits = torch.nn.functional.one_hot(paths, 3).float()
    assert greedy_ctc(logits, torch.tensor([4, 2])) == [[1, 1, 2], [2]]
