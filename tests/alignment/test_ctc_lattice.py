"""Occupancies of CTC alignments, against every alignment written out."""

import itertools

import pytest
import torch

from espnet_kd.alignment.ctc_lattice import label_occupancies


def collapsed(path: tuple[int, ...], blank: int) -> list[int]:
    """What a path of CTC says: repetitions joined, then blanks left out."""
    return [token for token, _ in itertools.groupby(path) if token != blank]


def owners(path: tuple[int, ...], blank: int) -> list[int | None]:
    """Place in the transcript of the label that each frame emits; None for blank."""
    found, place, before = [], -1, blank
    for token in path:
        if token != blank and token != before:
            place += 1
        found.append(place if token != blank else None)
        before = token
    return found


def enumerated(probs: torch.Tensor, labels: list[int], blank: int = 0) -> torch.Tensor:
    """Occupancies of one utterance, (T, U), by summing over all V^T paths."""
    frames, classes = probs.shape
    gamma, total = torch.zeros(frames, len(labels)).double(), 0.0
    for path in itertools.product(range(classes), repeat=frames):
        if collapsed(path, blank) == labels:
            prob = float(torch.stack([probs[t, v] for t, v in enumerate(path)]).prod())
            total += prob
            for frame, owner in enumerate(owners(path, blank)):
                if owner is not None:
                    gamma[frame, owner] += prob
    return gamma / total


def occupancies(probs: torch.Tensor, labels: list[int], **options) -> torch.Tensor:
    lens = (torch.tensor([len(probs)]), torch.tensor([labels]).reshape(1, -1))
    return label_occupancies(
        probs.log()[None], *lens, torch.tensor([len(labels)]), **options
    )[0]


def test_one_label_in_two_frames_by_hand():
    # Paths that say "1": (1, 1), (1, blank), (blank, 1) of probabilities .5 .5 .25 .75.
    probs = torch.tensor([[0.5, 0.5], [0.75, 0.25]]).double()
    # .125 + .375 + .125 = .625; frame 0 by the first two, frame 1 by the outer two.
    expected = [[0.5 / 0.625], [0.25 / 0.625]]
    torch.testing.assert_close(occupancies(probs, [1]), torch.tensor(expected).double())


@pytest.mark.parametrize("labels", [[1, 2], [1, 1], [2], [2, 1, 2], []])
def test_every_alignment_written_out(labels):
    gen = torch.Generator().manual_seed(len(labels))
    probs = torch.randn(5, 3, generator=gen).double().softmax(-1)
    torch.testing.assert_close(occupancies(probs, labels), enumerated(probs, labels))


def test_blank_may_be_any_token():
    probs = torch.randn(4, 3, generator=torch.Generator().manual_seed(7)).softmax(-1)
    expected = enumerated(probs.double(), [0, 1], blank=2)
    found = occupancies(probs.double(), [0, 1], blank_id=2)
    torch.testing.assert_close(found, expected)


def test_padding_is_never_read_and_zero():
    gen = torch.Generator().manual_seed(1)
    probs = torch.randn(2, 5, 3, generator=gen).double().softmax(-1)
    log_probs = probs.log()
    log_probs[1, 3:] = float("nan")
    ys_pad = torch.tensor([[1, 2, 1], [2, -1, 99]])
    found = label_occupancies(log_probs, torch.tensor([5, 3]), ys_pad, torch.tensor([3, 1]))
    torch.testing.assert_close(found[0], enumerated(probs[0], [1, 2, 1]))
    torch.testing.assert_close(found[1, :3, :1], enumerated(probs[1, :3], [2]))
    assert not found[1, 3:].any()
    assert not found[1, :, 1:].any()


def test_a_transcript_that_does_not_fit_has_none():
    # Two like labels take a blank between them: three frames.
    assert not occupancies(torch.full((2, 2), 0.5).double(), [1, 1]).any()
    none = torch.zeros(1, dtype=torch.long)
    empty = label_occupancies(torch.zeros(1, 0, 3), none, torch.tensor([[1]]), none + 1)
    assert empty.shape == (1, 0, 1)
    assert empty.dtype == torch.float64


def test_it_carries_no_gradient():
    logits = torch.zeros(1, 3, 2, requires_grad=True)
    one = torch.tensor([1])
    found = label_occupancies(logits.log_softmax(-1), 3 * one, one[None], one)
    assert not found.requires_grad
