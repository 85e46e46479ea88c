"""Features of chunks are those of the whole utterance."""

import pytest
import torch
from streams import AUDIO, block_exp, driver_of


@pytest.fixture(scope="module")
def fronts(tmp_path_factory):
    """Front ends of two window and hop lengths, with the models that they are of."""
    root = tmp_path_factory.mktemp("exps")
    found = []
    for window, hop in ((512, 128), (400, 160)):
        conf = AUDIO["frontend_conf"] | {"win_length": window, "hop_length": hop}
        exp = block_exp(root / str(hop), **(AUDIO | {"frontend_conf": conf}))
        found.append(driver_of(exp))
    return found


def in_chunks(front_end, audio, chunk):
    """The features of all chunks, the last of which is what is left."""
    front_end.start()
    pieces = []
    whole = len(audio) // chunk
    for place in range(whole + 1):
        given = audio[place * chunk : (place + 1) * chunk]
        feats = front_end(given, place == whole)
        pieces += [] if feats is None else [feats]
    return torch.cat(pieces, 1)


@pytest.mark.parametrize("chunk", [100, 400, 450, 513, 4096])
@pytest.mark.parametrize("seconds", [0.2, 0.9])
def test_chunks_of_any_length_lose_no_frame(fronts, chunk, seconds):
    """ESPnet pads the end with zeros up to a window: the last frames may differ."""
    audio = torch.randn(round(seconds * 16000), generator=torch.Generator().manual_seed(0))
    for driver in fronts:
        found = in_chunks(driver.encode.front_end, audio, chunk)
        lengths = torch.tensor([len(audio)])
        with torch.no_grad():
            expected, _ = driver.model._extract_feats(audio[None], lengths)
        count = expected.shape[1]
        assert count <= found.shape[1] <= count + 2
        torch.testing.assert_close(found[:, : count - 2], expected[:, : count - 2])


def test_features_are_normalised_and_left_as_they_were(tmp_path):
    """By (x - mean) / deviation of all utterances: here (x - 2) / 3."""
    import numpy as np
    from conftest import INPUT_SIZE

    count, mean, square = 10, np.full(INPUT_SIZE, 2.0), np.full(INPUT_SIZE, 13.0)
    stats = tmp_path / "stats.npz"
    np.savez(stats, count=count, sum=count * mean, sum_square=count * square)
    conf = {"normalize": "global_mvn", "normalize_conf": {"stats_file": str(stats)}}
    front_end = driver_of(block_exp(tmp_path / "m", **conf)).encode.front_end
    chunk = torch.full((5, INPUT_SIZE), 8.0)
    torch.testing.assert_close(front_end(chunk, False), torch.full((1, 5, INPUT_SIZE), 2.0))
    assert bool((chunk == 8.0).all())
    assert front_end(chunk[:0], True).shape == (1, 0, INPUT_SIZE)
