"""Sparse posteriors by hand, and within the loss they promise."""

import math

import pytest
import torch

from espnet_kd.cache.sparse import PAD, densify, sparsify


def test_by_hand():
    """Blank first, then the best; the rest shares what is left."""
    probs = torch.tensor([[0.1, 0.6, 0.05, 0.2, 0.05]])
    sparse = sparsify(probs.log(), tolerance=0.0, max_k=3, always=0)
    assert sparse.index.tolist() == [[0, 1, 3]]
    torch.testing.assert_close(sparse.log_probs.exp(), torch.tensor([[0.1, 0.6, 0.2]]))
    torch.testing.assert_close(sparse.tail.exp(), torch.tensor([0.1]))
    # The two that are left are equal: nothing is lost.
    torch.testing.assert_close(densify(sparse, 5).exp(), probs)


def test_no_more_is_kept_than_the_tolerance_asks_for():
    probs = torch.tensor([[0.97, 0.01, 0.01, 0.01], [0.4, 0.3, 0.2, 0.1]])
    sparse = sparsify(probs.log(), tolerance=1e-3, max_k=4)
    # Of the first, three equal tokens are lost without loss; of the second, none.
    assert sparse.index.tolist() == [[0, PAD, PAD], [0, 1, 2]]


def lost(log_probs, sparse, temperature):
    """Of each row, by the definition, over all tokens."""
    p = (log_probs / temperature).log_softmax(-1)
    q = (densify(sparse, log_probs.shape[1]) / temperature).log_softmax(-1)
    return temperature**2 * (p.exp() * (p - q)).sum(-1)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("sharpness", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("temperatures", [(1.0,), (2.0,), (1.0, 2.0, 4.0)])
def test_the_loss_stays_below_the_tolerance(tolerance, sharpness, temperatures):
    gen = torch.Generator().manual_seed(0)
    log_probs = (sharpness * torch.randn(300, 50, generator=gen)).log_softmax(-1)
    sparse = sparsify(log_probs, tolerance=tolerance, temperatures=temperatures)
    for temperature in temperatures:
        assert lost(log_probs, sparse, temperature).max() <= tolerance + 1e-5
    torch.testing.assert_close(densify(sparse, 50).exp().sum(-1), torch.ones(300))
    # No more is kept than has to be: without its last token a row loses too much.
    kept = (sparse.index != PAD).sum(-1)
    row = int(kept.argmax())
    less = sparsify(
        log_probs[row : row + 1], tolerance=0.0, max_k=int(kept[row]) - 1, always=0
    )
    loses = [lost(log_probs[row : row + 1], less, tau).item() for tau in temperatures]
    assert max(loses) > tolerance


def test_softer_posteriors_keep_more_and_a_limit_keeps_what_it_says():
    log_probs = (
        4 * torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    ).double()
    counts = [
        (sparsify(log_probs, tolerance=1e-3, temperatures=(tau,)).index != PAD).sum()
        for tau in (1.0, 2.0)
    ]
    assert counts[1] > 1.2 * counts[0]
    limited = sparsify(log_probs, tolerance=1e-3, max_k=3, temperatures=(2.0,))
    assert limited.index.shape[1] == 3
    assert lost(log_probs.log_softmax(-1).float(), limited, 2.0).max() > 1e-3


def test_everything_kept_is_everything():
    log_probs = torch.randn(7, 5).log_softmax(-1)
    sparse = sparsify(log_probs, tolerance=0.0, max_k=99)
    torch.testing.assert_close(densify(sparse, 5), log_probs, atol=1e-6, rtol=1e-6)


def test_a_certain_row_has_a_tail_of_next_to_nothing():
    sparse = sparsify(torch.tensor([[100.0, 0.0, 0.0]]), tolerance=1e-3, max_k=2)
    dense = densify(sparse, 3)
    assert dense[0, 0] == 0
    assert dense[0, 1] < -20
    assert math.isclose(dense.exp().sum().item(), 1.0, rel_tol=1e-6)
