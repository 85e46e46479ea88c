"""What is written so far, against searches over whole utterances."""

import logging
from types import SimpleNamespace

import pytest
import torch
from conftest import INPUT_SIZE, TOKENS
from streams import block_exp, driver_of

from espnet_kd.alignment.ctc_best import greedy_ctc
from espnet_kd.streaming.search import GreedySearch, kind_of

# A model whose CTC says what its encoder gives.
SCRIPTED = SimpleNamespace(ctc=SimpleNamespace(ctc_lo=torch.nn.Identity()), blank_id=0)


def spikes(*labels):
    return torch.nn.functional.one_hot(torch.tensor(labels), 4).float()


def test_greedy_merges_across_pieces_by_hand():
    search = GreedySearch(SCRIPTED)
    assert search(spikes(0, 1), is_final=False) == [1]
    assert search(spikes(1, 1, 0, 1), is_final=False) == [1, 1]
    assert search(torch.zeros(0, 4), is_final=False) == [1, 1]
    assert search(spikes(3, 2), is_final=True) == [1, 1, 3, 2]
    search.start()
    assert search(spikes(2), is_final=True) == [2]


def test_greedy_is_the_best_path_of_the_whole():
    logits = torch.randn(1, 60, 4, generator=torch.Generator().manual_seed(0))
    search = GreedySearch(SCRIPTED)
    for place in range(0, 60, 7):
        found = search(logits[0, place : place + 7], is_final=place + 7 >= 60)
    assert [found] == greedy_ctc(logits, torch.tensor([60]))


@pytest.fixture(scope="module")
def beam(tmp_path_factory):
    exp = block_exp(tmp_path_factory.mktemp("exp") / "m", shape=(16, 8, 4))
    options = {"beam_size": 3, "disable_repetition_detection": True}
    return driver_of(exp, "beam", **options)


def test_the_beam_has_the_encoders_blocks(beam):
    search = beam.search.search
    assert (search.block_size, search.hop_size, search.look_ahead) == (16, 8, 4)


def test_pieces_say_what_espnet_says_of_the_whole(beam):
    """ESPnet cuts what it is given whole into the same blocks."""
    speech = torch.randn(300, INPUT_SIZE, generator=torch.Generator().manual_seed(3))
    found = beam("u", speech, 32)[-1].labels
    with torch.no_grad():
        encoded, _ = beam.model.encode(speech[None].clone(), torch.tensor([300]))
        beam.search.start()
        logging.disable(logging.WARNING)
        hypothesis = beam.search.search(encoded[0], is_final=True)[0]
        logging.disable(logging.NOTSET)
    expected = [t for t in hypothesis.yseq[1:-1].tolist() if t]
    assert len(found) > 5
    assert list(found) == expected


def test_words_come_with_their_blocks_and_are_no_special_tokens(beam):
    speech = torch.randn(300, INPUT_SIZE, generator=torch.Generator().manual_seed(3))
    answers = beam("u", speech, 32)
    counts = [len(answer.labels) for answer in answers]
    assert any(0 < count < counts[-1] for count in counts)
    special = {0, len(TOKENS) - 1}
    assert not special & {label for answer in answers for label in answer.labels}


def test_a_greatest_length_is_that_of_the_whole(tmp_path):
    """Half of the frames heard so far are 3 where a block has ended, and no end of all."""
    exp = block_exp(tmp_path / "m", shape=(8, 4, 2))
    options = {"ctc_weight": 1.0, "beam_size": 2}
    speech = torch.randn(300, INPUT_SIZE, generator=torch.Generator().manual_seed(3))
    free = driver_of(exp, "beam", **options)("u", speech, 16)
    halved = driver_of(exp, "beam", **options, maxlenratio=0.5)("u", speech, 16)
    assert 3 < len(free[-1].labels) < 37  # of 74 frames
    assert halved[-1].labels == free[-1].labels
    short = driver_of(exp, "beam", **options, maxlenratio=0.05)("u", speech, 16)
    assert len(short[-1].labels) <= len(free[-1].labels)


@pytest.mark.parametrize(("ratio", "chunk", "most"), [(0.0, 16, 10), (0.3, 200, 6)])
def test_what_has_reached_its_greatest_length_is_the_answer(tmp_path, ratio, chunk, most):
    """The decoder writes without an end, and nothing speaks against it.

    When the first block is searched, the encoder has written 10 frames, and no hypothesis
    has more tokens; all end there. In one chunk of 23 frames 0.3 of them are 6.
    """
    exp = block_exp(tmp_path / "m", shape=(8, 4, 2))
    weights = torch.load(exp / "valid.acc.ave.pth")
    weights["decoder.output_layer.bias"][-1] = -1e4
    torch.save(weights, exp / "valid.acc.ave.pth")
    options = {"ctc_weight": 0.0, "beam_size": 2, "disable_repetition_detection": True}
    driver = driver_of(exp, "beam", maxlenratio=ratio, **options)
    answers = driver(
        "u", torch.randn(97, INPUT_SIZE, generator=torch.Generator().manual_seed(3)), chunk
    )
    # Some of the tokens are blank, which is not shown.
    assert most - 3 <= len(answers[-1].labels) <= most


def test_espnets_warnings_of_every_block_are_left_out(beam, caplog):
    beam("u", torch.randn(300, INPUT_SIZE), 32)
    assert caplog.records == []
    logging.getLogger("x").warning("said")
    assert [record.message for record in caplog.records] == ["said"]


def test_ctc_alone_with_a_beam_of_one_is_greedy():
    assert kind_of({"ctc_weight": 1.0, "beam_size": 1}) == "ctc"
    for other in ({}, {"ctc_weight": 1.0}, {"ctc_weight": 0.4, "beam_size": 1}):
        assert kind_of(other) == "beam"
    assert kind_of({"ctc_weight": 1.0, "beam_size": 2}) == "beam"
