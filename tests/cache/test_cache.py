"""The cache: what is written is read again, and nothing else is."""

import json
import random

import kaldiio
import numpy as np
import pytest
import torch

from espnet_kd.cache.codec import Entry, Rows, decode, encode
from espnet_kd.cache.entries import batch_of, entries_of, targets_of
from espnet_kd.cache.header import HEADER, INDEX, Header, read_header, write_header
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.errors import AlignmentError, KDError
from espnet_kd.model.outputs import Hidden, NBest, TeacherTargets
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.cached import CachedTeacher

V = 6
HEADER_OF = Header(
    teacher="exp/t",
    teacher_hash="t",
    token_list=tuple("_abcde"),
    blank_id=0,
    parts=("ctc", "decoder", "nbest"),
    taps=("encoder",),
    widths=(3,),
    nbest=2,
    tolerance=0.0,
    max_k=V,
    dtype="float32",
)


def targets(seed=0, lengths=(5, 3)):
    """What a teacher might say about two utterances."""
    gen = torch.Generator().manual_seed(seed)
    lens = torch.tensor(lengths)
    logits = torch.randn(2, 5, V, generator=gen)
    logits[0, 1:4] = logits[0, 1]  # frames alike
    return TeacherTargets(
        lens,
        ctc_logits=logits,
        decoder_logits=torch.randn(2, 3, V, generator=gen),
        ys_in_pad=torch.tensor([[5, 1, 2], [5, 3, 5]]),
        ys_in_lens=torch.tensor([3, 2]),
        hidden={"encoder": Hidden(torch.randn(2, 5, 3, generator=gen), lens)},
        nbest=NBest(
            torch.tensor([[[1, 2], [1, 0]], [[3, 0], [0, 0]]]),
            torch.tensor([[2, 1], [1, -1]]),
            torch.tensor([[-1.0, -2.0], [-3.0, float("-inf")]]),
        ),
    )


def write(directory, utts=("a", "b"), shard=1, header=HEADER_OF):
    part = Shard(directory, shard, header)
    for entry in entries_of(targets(), utts, header):
        if entry.utt not in part.done:
            part.add(entry)
    return part


@pytest.fixture
def cache(tmp_path):
    write(tmp_path / "c")
    merge(tmp_path / "c", ["a", "b"])
    return tmp_path / "c"


def test_what_was_written_is_read(cache):
    said = targets()
    batch = batch_of(Cache([cache]).read(["b", "a"]))
    read = targets_of(batch, HEADER_OF)
    for row, origin in enumerate((1, 0)):
        frames = int(said.encoder_out_lens[origin])
        assert read.encoder_out_lens[row] == frames
        pairs = [
            (
                read.ctc_logits[row, :frames],
                said.ctc_logits[origin, :frames].log_softmax(-1),
            ),
            (
                read.hidden["encoder"].values[row, :frames],
                said.hidden["encoder"].values[origin, :frames].half().float(),
            ),
        ]
        length = int(said.ys_in_lens[origin])
        decoder = said.decoder_logits[origin, :length].log_softmax(-1)
        pairs.append((read.decoder_logits[row, :length], decoder))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert read.nbest.lengths.tolist() == [[1, -1], [2, 1]]
    assert read.nbest.tokens[1].tolist() == [[1, 2], [1, 0]]
    assert read.nbest.log_probs[1].tolist() == [-1, -2]


def test_frames_alike_are_stored_once():
    entry = entries_of(targets(), ["a", "b"], HEADER_OF)[0]
    assert entry.ctc.runs.tolist() == [1, 3, 1]


def test_every_flipped_bit_is_noticed():
    data = encode(entries_of(targets(), ["a", "b"], HEADER_OF)[0])
    rng = random.Random(0)
    for _ in range(200):
        broken = data.copy()
        broken[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(KDError, match="'a' are damaged"):
            decode(broken, "a")


@pytest.mark.parametrize("length", [0, 3, 50])
def test_half_an_entry_is_noticed(length):
    data = encode(Entry("a", 1))
    with pytest.raises(KDError, match="damaged"):
        decode(data[: min(length, len(data) - 1)], "a")


def test_an_entry_of_another_utterance_is_noticed():
    with pytest.raises(KDError, match="targets of 'a' in the place of 'b'"):
        decode(encode(Entry("a", 1)), "b")


def test_bytes_flipped_on_disk_are_named(cache):
    """Anywhere in the cache: refused when opened or read, or the very same targets."""
    rng = random.Random(1)
    files = [cache / "targets.1.ark", cache / INDEX, cache / HEADER]
    whole = batch_of(Cache([cache]).read(["a", "b"]))
    noticed = 0
    for turn in range(200):
        path = files[turn % 3] if turn % 4 else files[0]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bytes(bad))
        try:
            again = batch_of(Cache([cache]).read(["a", "b"]))
            assert all(torch.equal(again[name], value) for name, value in whole.items())
        except KDError:
            noticed += 1
        path.write_bytes(good)
    assert noticed > 180


def test_a_killed_writer_goes_on(tmp_path):
    """Cut at any byte of archive and index, as a kill may, it ends the same."""
    whole = tmp_path / "whole"
    utts = [f"u{n}" for n in range(8)]
    said = {u: entries_of(targets(n), [u, "x"], HEADER_OF)[0] for n, u in enumerate(utts)}

    def go_on(directory):
        part = Shard(directory, 1, HEADER_OF)
        for utt in utts:
            if utt not in part.done:
                part.add(said[utt])

    go_on(whole)
    merge(whole, utts)
    rng = random.Random(2)
    for turn in range(20):
        killed = tmp_path / f"killed{turn}"
        go_on(killed)
        for name in ("targets.1.ark", "targets.1.scp"):
            path = killed / name
            path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])
        go_on(killed)
        merge(killed, utts)
        for name in ("targets.1.ark", INDEX):
            assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_a_shard_of_other_settings_is_not_gone_on_with(tmp_path):
    write(tmp_path)
    other = Header(**{**vars(HEADER_OF), "teacher_hash": "other"})
    with pytest.raises(KDError, match="begun with another teacher"):
        Shard(tmp_path, 1, other)


def test_gaps_and_doubles_and_strangers_are_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(KDError, match="1 of 3 utterances are missing, first 'c'"):
        merge(tmp_path, ["a", "b", "c"])
    with pytest.raises(KDError, match="1 utterances are not of this data, first 'b'"):
        merge(tmp_path, ["a"])
    write(tmp_path, shard=2)
    with pytest.raises(KDError, match=r"'a' is in two shards.*another number of jobs"):
        merge(tmp_path, ["a", "b"])
    assert not (tmp_path / HEADER).exists()


def test_shards_of_two_teachers_do_not_merge(tmp_path):
    write(tmp_path)
    other = Header(**{**vars(HEADER_OF), "teacher_hash": "other"})
    write(tmp_path, ("c", "d"), shard=2, header=other)
    with pytest.raises(
        KDError, match=r"targets.2.json and targets.1.json are of different"
    ):
        merge(tmp_path, ["a", "b", "c", "d"])


def test_an_unfinished_cache_is_none(tmp_path):
    write(tmp_path)
    with pytest.raises(KDError, match=r"it has no header.json.*did not come to its end"):
        Cache([tmp_path])


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    part = Shard(tmp_path, 1, HEADER_OF)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(KDError, match=r"No space left on device.*goes on from here"):
        part.add(Entry("a", 1))


def test_a_header_of_another_version_is_refused(tmp_path):
    write_header(tmp_path / HEADER, Header(**{**vars(HEADER_OF), "version": 9}))
    with pytest.raises(KDError, match="of version 9, not 1"):
        read_header(tmp_path / HEADER)
    (tmp_path / HEADER).write_text(json.dumps({"version": 1}))
    with pytest.raises(KDError, match="damaged"):
        read_header(tmp_path / HEADER)


def test_several_directories_are_one_cache(cache, tmp_path):
    other = tmp_path / "d"
    write(other, ("c", "d"))
    merge(other, ["c", "d"])
    both = Cache([cache, other])
    assert len(both) == 4
    assert [entry.utt for entry in both.read(["d", "a"])] == ["d", "a"]
    with pytest.raises(KDError, match="'a' is in two caches"):
        Cache([cache, cache])


def test_missing_utterances_are_counted(cache):
    with pytest.raises(KDError, match="no targets of 1 of 2 utterances of the train data"):
        Cache([cache]).check_coverage(["a", "sp0.9-a"], "the train data")


def test_what_a_cache_lacks_is_named(cache):
    teacher = CachedTeacher(Cache([cache]))
    teacher.check(Request(ctc=True, decoder=True, nbest=2, taps=("encoder",)))
    for request, text in (
        (Request(nbest=3), "so many hypotheses"),
        (Request(taps=("encoder.encoders.0",)), "--tap encoder.encoders.0"),
        (Request(joint=("classes",)), "no transducer lattices"),
    ):
        with pytest.raises(KDError, match=text):
            teacher.check(request)


def test_the_wrong_tokens_are_refused(cache):
    teacher = CachedTeacher(Cache([cache]))
    with pytest.raises(AlignmentError, match=r"0: student nothing, teacher '_'"):
        teacher.match_vocabulary(torch.nn.Linear(1, 1))


def test_a_batch_without_targets_is_refused(cache):
    with pytest.raises(KDError, match=r"without cached targets.*CachedCollate"):
        CachedTeacher(Cache([cache]))(Question({}, Request(ctc=True)))


def test_it_is_a_kaldi_archive(cache):
    """Any Kaldi reader finds the bytes under the utterance's name."""
    found = dict(kaldiio.load_ark(str(cache / "targets.1.ark")))
    assert list(found) == ["a", "b"]
    assert found["a"].dtype == np.uint8


def test_long_runs_are_split():
    rows = Rows(*(np.zeros(1, np.uint16),) * 3, *(np.zeros(1, np.float16),) * 2)
    assert decode(encode(Entry("a", 1, ctc=rows)), "a").ctc.runs.tolist() == [0]
    header = Header(**{**vars(HEADER_OF), "parts": ("ctc",), "taps": (), "widths": ()})
    lengths = torch.tensor([70000])
    silent = TeacherTargets(lengths, ctc_logits=torch.zeros(1, 70000, V))
    (entry,) = entries_of(silent, ["a"], header)
    assert entry.ctc.runs.tolist() == [65535, 4465]
    assert batch_of([entry])["kd_ctc_index"].shape[1] == 70000
