"""Training codebooks: components dealt by hand, clusters found, too little refused."""

import pytest
import torch

from espnet_kd.errors import KDError
from espnet_kd.teachers.quantisation import dealt, train_codebooks

OF = {"tap": "encoder", "teacher": "exp/t", "teacher_hash": "h"}


def test_components_are_dealt_by_products():
    """16 | 8; then 4 to the second (8 < 16), which is full, and 2 to the first."""
    assert dealt([16.0, 8.0, 4.0, 2.0], 2) == [[0, 3], [1, 2]]
    # A codebook that is full gets no more, whatever its product: 100 | 1, 1; then 1.
    assert dealt([100.0, 1.0, 1.0, 1.0], 2) == [[0, 3], [1, 2]]
    assert dealt([1.0, 0.0, 0.0], 2) == [[0], [1, 2]]


def blobs(count, seed=0):
    """Frames in four units: two of two places each, far apart, with a little noise."""
    gen = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, 2), generator=gen) * 2.0 - 1
    spread = torch.tensor([10.0, 6.0])
    values = torch.cat([signs * spread, torch.zeros(count, 2)], 1)
    return values + 0.1 * torch.randn(count, 4, generator=gen), signs


def test_places_that_lie_apart_are_found():
    frames, signs = blobs(400)
    held_out, _ = blobs(50, seed=1)
    own = train_codebooks(frames, held_out, count=2, centroids=2, **OF)
    codes = own.encode(frames)
    for unit in range(2):
        same = (codes[:, unit] == codes[0, unit]).eq(signs[:, unit] == signs[0, unit])
        assert same.all()
    # What is left is noise: 4 units of 0.01 beside 100 + 36.
    assert own.error == pytest.approx(0.04 / 136, rel=0.3)
    assert own.error == pytest.approx(own.error_on(held_out))


def test_the_rotation_is_orthonormal_and_a_width_that_does_not_divide_is_filled():
    gen = torch.Generator().manual_seed(0)
    frames = torch.randn(300, 5, generator=gen) @ torch.randn(5, 5, generator=gen)
    own = train_codebooks(frames[:250], frames[250:], count=2, centroids=16, **OF)
    assert own.rotation.shape == (5, 6)
    kept = own.rotation[:, own.rotation.norm(dim=0) > 0]
    torch.testing.assert_close(kept.T @ kept, torch.eye(5), atol=1e-5, rtol=0)
    assert 0 < own.error < 0.5


def test_more_bytes_leave_less_and_a_seed_says_all():
    gen = torch.Generator().manual_seed(0)
    frames = torch.randn(600, 8, generator=gen)
    errors = [
        train_codebooks(frames[:500], frames[500:], count=n, centroids=16, **OF).error
        for n in (1, 2, 4)
    ]
    assert errors[0] > errors[1] > errors[2]
    twice = [
        train_codebooks(frames[:500], frames[500:], count=2, centroids=16, **OF).digest
        for _ in range(2)
    ]
    assert twice[0] == twice[1]


@pytest.mark.parametrize(
    ("frames", "count", "text"),
    [
        (torch.randn(3, 4), 2, "3 frames are too few for 4 centroids"),
        (torch.randn(9, 4), 5, "5 codebooks are more than the 4 units of 'encoder'"),
        (torch.ones(9, 4), 2, "'encoder' gives the same for every frame"),
        (torch.full((9, 4), float("nan")), 2, "'encoder' gives nan or inf"),
    ],
)
def test_what_cannot_be_quantised_is_said(frames, count, text):
    with pytest.raises(KDError, match=text):
        train_codebooks(frames, torch.ones(1, 4), count=count, centroids=4, **OF)
