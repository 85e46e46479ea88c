"""The best CTC alignment of a transcript, against every alignment written out."""

import itertools
import math

import pytest
import torch

from espnet_kd.alignment.ctc_forced import forced_alignment


def aligned(probs, labels, blank=0):
    """First and last frames of one utterance."""
    labels = torch.tensor([labels], dtype=torch.long).reshape(1, -1)
    lengths = (torch.tensor([len(probs)]), labels, torch.tensor([labels.shape[1]]))
    first, last = forced_alignment(probs.log()[None], *lengths, blank)
    return first[0].tolist(), last[0].tolist()


def enumerated(probs, labels, blank=0):
    """The same from the most probable of all V^T paths."""
    best, score = None, -math.inf
    for path in itertools.product(range(probs.shape[1]), repeat=len(probs)):
        said = [token for token, _ in itertools.groupby(path) if token != blank]
        value = sum(math.log(probs[t, v]) for t, v in enumerate(path))
        if said == labels and value > score:
            best, score = path, value
    first, last, place = [], [], 0
    for token, run in itertools.groupby(best):
        end = place + len(list(run))
        if token != blank:
            first.append(place)
            last.append(end - 1)
        place = end
    return first, last


def test_spikes_by_hand():
    # Label 1 at frames 1 and 2, label 2 at frame 4, blanks elsewhere.
    probs = torch.full((6, 3), 0.05)
    for frame, label in enumerate([0, 1, 1, 0, 2, 0]):
        probs[frame, label] = 0.9
    assert aligned(probs, [1, 2]) == ([1, 4], [2, 4])


def test_a_label_that_the_model_does_not_expect_gets_its_least_unlikely_frame():
    # Blank everywhere; label 2 costs .1 / .9 at frame 3 and .05 / .9 elsewhere.
    probs = torch.tensor([0.9, 0.05, 0.05]).repeat(5, 1)
    probs[3] = torch.tensor([0.9, 0.0, 0.1]).clamp(min=1e-3)
    assert aligned(probs, [2]) == ([3], [3])


@pytest.mark.parametrize("labels", [[1, 2], [1, 1], [2], [2, 1, 2]])
@pytest.mark.parametrize("seed", range(4))
def test_every_alignment_written_out(labels, seed):
    gen = torch.Generator().manual_seed(seed)
    probs = torch.randn(5, 3, generator=gen).double().softmax(-1)
    assert aligned(probs, labels) == enumerated(probs, labels)


def test_blank_may_be_any_token():
    probs = torch.randn(5, 3, generator=torch.Generator().manual_seed(7)).softmax(-1)
    assert aligned(probs, [0, 1], blank=2) == enumerated(probs, [0, 1], blank=2)


def test_padding_is_never_read():
    probs = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1)).softmax(-1)
    log_probs = probs.log()
    log_probs[1, 4:] = float("nan")
    ys_pad = torch.tensor([[1, 2, 1], [2, -1, 99]])
    lengths = (torch.tensor([6, 4]), ys_pad, torch.tensor([3, 1]))
    first, last = forced_alignment(log_probs, *lengths)
    assert (first[0].tolist(), last[0].tolist()) == enumerated(probs[0], [1, 2, 1])
    alone = enumerated(probs[1, :4], [2])
    assert (first[1, :1].tolist(), last[1, :1].tolist()) == alone
    assert first[1, 1:].tolist() == last[1, 1:].tolist() == [-1, -1]


def test_a_transcript_that_does_not_fit_stands_nowhere():
    probs = torch.full((2, 3), 1 / 3)
    assert aligned(probs, [1, 1]) == ([-1, -1], [-1, -1])  # a blank has to be between
    assert aligned(probs[:0], [1]) == ([-1], [-1])
    assert aligned(probs, []) == ([], [])
