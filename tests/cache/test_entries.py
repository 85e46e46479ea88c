"""Targets as entries and entries as a batch again: what goes in comes out."""

import math
from dataclasses import replace

import pytest
import torch
from targets import HEADER_OF, V, targets

from espnet_kd.cache.codec import decode, encode
from espnet_kd.cache.entries import batch_of, check_labels, entries_of, prefix, targets_of
from espnet_kd.cache.header import Coded
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.sound import faults_of
from espnet_kd.cache.sparse import PAD
from espnet_kd.errors import KDError
from espnet_kd.model.outputs import Codes, Hidden, TeacherTargets

ONLY_CTC = replace(HEADER_OF, parts=("ctc",), taps=(), widths=())


def test_what_was_written_is_read(cache):
    said = targets()
    batch = batch_of(Cache([cache]).read(["b", "a"]))
    read = targets_of(batch, HEADER_OF)
    for row, origin in enumerate((1, 0)):
        frames = int(said.encoder_out_lens[origin])
        length = int(said.ys_in_lens[origin])
        assert read.encoder_out_lens[row] == frames
        hidden = said.hidden["encoder"].values[origin, :frames]
        pairs = [
            (read.ctc_logits[row, :frames], said.ctc_logits[origin, :frames]),
            (read.decoder_logits[row, :length], said.decoder_logits[origin, :length]),
        ]
        for found, logits in pairs:
            torch.testing.assert_close(found, logits.log_softmax(-1), atol=1e-5, rtol=1e-5)
        assert torch.equal(
            read.hidden["encoder"].values[row, :frames], hidden.half().float()
        )
    assert read.ys_pad.tolist() == [[3, PAD], [1, 2]]
    assert read.ys_lens.tolist() == [1, 2]
    assert read.nbest.lengths.tolist() == [[1, -1], [2, 1]]
    assert read.nbest.tokens[1].tolist() == [[1, 2], [1, 0]]
    assert read.nbest.log_probs[1].tolist() == [-1, -2]


def test_rows_by_hand():
    """Two frames alike and one apart: the best two tokens of each, and the rest."""
    probs = torch.tensor([[0.7, 0.1, 0.1, 0.1, 0, 0]] * 2 + [[0.2, 0.1, 0.6, 0.1, 0, 0]])
    said = TeacherTargets(torch.tensor([3]), ctc_logits=probs.log().clamp(min=-99)[None])
    (entry,) = entries_of(said, ["a"], replace(ONLY_CTC, max_k=2))
    rows = entry.rows["ctc"]
    assert rows.runs.tolist() == [2, 1]
    assert rows.counts.tolist() == [2, 2]
    assert rows.tokens.reshape(2, 2)[:, 0].tolist() == [0, 0], "blank leads each"
    assert rows.tokens[3] == 2
    assert torch.from_numpy(rows.log_probs).exp().tolist() == pytest.approx(
        [0.7, 0.1, 0.2, 0.6]
    )
    assert torch.from_numpy(rows.tails).exp().tolist() == pytest.approx([0.2, 0.2])


def test_frames_alike_are_stored_once():
    entry = entries_of(targets(), ["a", "b"], HEADER_OF)[0]
    assert entry.rows["ctc"].runs.tolist() == [1, 3, 1]


def test_long_runs_are_split():
    lengths = torch.tensor([70000])
    silent = TeacherTargets(lengths, ctc_logits=torch.zeros(1, 70000, V))
    (entry,) = entries_of(silent, ["a"], ONLY_CTC)
    assert entry.rows["ctc"].runs.tolist() == [65535, 4465]
    assert batch_of([entry])["kd_ctc_index"].shape[1] == 70000


def test_an_utterance_without_frames_is_padding():
    said = targets(lengths=(5, 0))
    batch = batch_of(entries_of(said, ["a", "b"], ONLY_CTC))
    assert batch["kd_frames"].tolist() == [5, 0]
    assert (batch["kd_ctc_index"][1] == PAD).all()
    assert targets_of(batch, ONLY_CTC).ctc_logits.shape == (2, 5, V)


def test_hidden_values_beyond_half_precision_stay_finite():
    header = replace(HEADER_OF, parts=(), taps=("encoder",))
    one = torch.tensor([1])
    hidden = {"encoder": Hidden(torch.tensor([[[1e9, -1e9, 1.5]]]), one)}
    (entry,) = entries_of(TeacherTargets(one, hidden=hidden), ["a"], header)
    assert entry.hidden["encoder"].tolist() == [[65504, -65504, 1.5]]


def test_codes_are_a_byte_each_and_come_back_padded():
    coded = Coded("encoder", 2, 256, "d", 0.3)
    header = replace(ONLY_CTC, parts=("codebooks",), codebooks=(coded,))
    lens = torch.tensor([2, 1])
    codes = torch.tensor([[[255, 0], [7, 9]], [[1, 2], [3, 4]]])
    said = TeacherTargets(lens, codes={"encoder": Codes(codes, lens, 256)})
    entries = entries_of(said, ["a", "b"], header)
    assert [entry.codes["encoder"].nbytes for entry in entries] == [4, 2]
    assert all(not list(faults_of(entry, header)) for entry in entries)
    again = [decode(encode(entry), entry.utt) for entry in entries]
    read = targets_of(batch_of(again), header).codes["encoder"]
    assert read.values.tolist() == [[[255, 0], [7, 9]], [[1, 2], [0, 0]]]
    assert read.lengths.tolist() == [2, 1]
    assert read.centroids == 256


@pytest.mark.parametrize("part", ["ctc", "decoder", "nbest"])
def test_a_part_that_the_header_promises_must_be_there(part):
    nothing = TeacherTargets(torch.tensor([1]))
    header = replace(HEADER_OF, parts=(part,), taps=(), widths=())
    with pytest.raises(KDError, match=f"no '{part}' targets, which the cache's header"):
        entries_of(nothing, ["a"], header)


def test_several_caches_of_a_batch_have_names_of_their_own():
    assert [prefix(place) for place in range(3)] == ["kd_", "kd1_", "kd2_"]
    entries = entries_of(targets(), ["a", "b"], HEADER_OF)
    batch = batch_of(entries) | batch_of(entries[::-1], 1)
    assert {name.partition("_")[0] for name in batch} == {"kd", "kd1"}
    assert targets_of(batch, HEADER_OF).encoder_out_lens.tolist() == [5, 3]
    assert targets_of(batch, HEADER_OF, 1).encoder_out_lens.tolist() == [3, 5]


def test_targets_of_another_text_are_refused():
    said = targets()
    batch = batch_of(entries_of(said, ["a", "b"], HEADER_OF))
    read = targets_of(batch, HEADER_OF)
    assert check_labels(read, said.ys_in_pad, said.ys_in_lens, ["a", "b"]) is None
    other = said.ys_in_pad.clone()
    other[1, 1] = 4
    with pytest.raises(KDError, match=r"targets of 'b' are of another text.*write the"):
        check_labels(read, other, said.ys_in_lens, ["a", "b"])
    with pytest.raises(KDError, match="targets of 'number 0 of the batch' are of another"):
        check_labels(read, said.ys_in_pad, torch.tensor([2, 2]), None)
    # What stands in the padding is nobody's text.
    other = said.ys_in_pad.clone()
    other[1, 2] = 0
    assert check_labels(read, other, said.ys_in_lens, ["a", "b"]) is None


def test_an_entry_knows_what_its_rows_lose_as_they_are_stored():
    """One frame: half on blank, the rest 0.4 and 0.1 spread to 0.25 each."""
    probs = torch.tensor([[[0.5, 0.4, 0.1]], [[0.2, 0.4, 0.4]]])
    header = replace(
        *(ONLY_CTC,),
        token_list=("_", "a", "b"),
        tolerance=9.0,
        temperatures={"ctc": (1.0, 2.0)},
    )
    said = TeacherTargets(torch.tensor([1, 1]), ctc_logits=probs.log())
    apart, alike = (e.rows["ctc"].lost for e in entries_of(said, ["a", "b"], header))
    by_hand = 0.4 * math.log(0.4 / 0.25) + 0.1 * math.log(0.1 / 0.25)
    assert apart[0].tolist() == pytest.approx([by_hand, by_hand], abs=1e-6)
    p, q = (torch.tensor(x).sqrt() for x in ([0.5, 0.4, 0.1], [0.5, 0.25, 0.25]))
    p, q = p / p.sum(), q / q.sum()
    softer = 4 * float((p * (p / q).log()).sum())
    assert apart[1].tolist() == pytest.approx([softer, softer], abs=1e-6)
    assert abs(alike).max() < 1e-6
