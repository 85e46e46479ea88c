"""Hypotheses and their weights, by hand."""

import pytest
import torch

from espnet_kd.errors import ArgumentsError
from espnet_kd.losses import ctc_nbest, token_nbest
from espnet_kd.losses.sequence import CTCNBest, greedy_nbest, nbest_weights
from espnet_kd.model.outputs import NBest


def test_one_hypothesis_has_all_the_weight():
    nbest = greedy_nbest(torch.randn(2, 3, 4), torch.tensor([3, 0]))
    assert nbest_weights(nbest).tolist() == [[1.0], [1.0]]


def test_weights_by_hand():
    scores = torch.tensor([[3.0, 1.0, 7.0], [5.0, 5.0, 5.0]]).log()
    lengths = torch.tensor([[2, 0, -1], [-1, -1, -1]])
    nbest = NBest(torch.zeros(2, 3, 2).long(), lengths, scores)
    # Of those that are there; an empty hypothesis is one.
    expected = torch.tensor([[0.75, 0.25, 0], [0, 0, 0]]).double()
    torch.testing.assert_close(nbest_weights(nbest), expected)
    assert nbest_weights(nbest, 0.0)[0].tolist() == [0.5, 0.5, 0.0]


def test_a_hypothesis_longer_than_the_frames_counts_nothing():
    logits = torch.randn(1, 2, 4, requires_grad=True)
    nbest = NBest(torch.tensor([[[1, 2, 3]]]), torch.tensor([[3]]), torch.zeros(1, 1))
    loss = ctc_nbest(logits, torch.tensor([2]), nbest)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.eq(0).all()


def test_no_hypotheses_teach_nothing():
    logits = torch.randn(2, 3, 4, requires_grad=True)
    none = NBest.of([[], []])
    ctc_nbest(logits, torch.tensor([3, 2]), none).backward()
    assert logits.grad.eq(0).all()
    assert token_nbest(None, none, eos_id=3).item() == 0


def test_a_silent_teacher_teaches_silence():
    """Greedy without a token: minus the log-probability of nothing but blank."""
    logits = torch.tensor([[[0.9, 0.1], [0.5, 0.5]]]).log().requires_grad_()
    silent = greedy_nbest(torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), torch.tensor([2]))
    loss = ctc_nbest(logits, torch.tensor([2]), silent)
    torch.testing.assert_close(loss, -torch.tensor(0.9 * 0.5).log())


def test_constructor_names_what_is_wrong():
    with pytest.raises(ArgumentsError) as error:
        CTCNBest(nbest=0, search="viterbi", scale=-1, head=0)
    text = str(error.value)
    for part in ("nbest: must", "search: got 'viterbi'", "scale: must", "head: must"):
        assert part in text


@pytest.mark.parametrize("option", ["nbest", "scale"])
def test_options_of_a_beam_are_no_options_of_a_greedy_search(option):
    with pytest.raises(ArgumentsError, match=f"{option}: is of a beam's.*greedy"):
        CTCNBest(search="greedy", **{option: 2})
