"""Writing a cache: it goes on after a kill, and is whole or none."""

import random
from dataclasses import replace

import kaldiio
import numpy as np
import pytest
from targets import HEADER_OF, OTHER, targets, write_shard

from espnet_kd.cache.codec import Entry
from espnet_kd.cache.entries import entries_of
from espnet_kd.cache.header import HEADER, INDEX, read_header
from espnet_kd.cache.writer import Shard, merge
from espnet_kd.errors import KDError


def test_it_is_a_kaldi_archive(cache):
    """Any Kaldi reader finds the bytes under the utterance's name."""
    found = dict(kaldiio.load_ark(str(cache / "targets.1.ark")))
    assert list(found) == ["a", "b"]
    assert found["a"].dtype == np.uint8


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


def test_shards_become_one_index_in_order_and_a_header(tmp_path):
    write_shard(tmp_path, ("d", "a"))
    write_shard(tmp_path, ("c", "b"), number=2)
    header = merge(tmp_path, ["a", "b", "c", "d"])
    assert header == read_header(tmp_path / HEADER)
    assert header.utterances == 4
    lines = (tmp_path / INDEX).read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "a targets.1.ark",
        "b targets.2.ark",
        "c targets.2.ark",
        "d targets.1.ark",
    ]


def test_a_shard_of_other_settings_is_not_gone_on_with(tmp_path):
    write_shard(tmp_path)
    with pytest.raises(KDError, match=r"targets.1.ark was begun with another teacher"):
        Shard(tmp_path, 1, replace(HEADER_OF, max_k=3))


def test_gaps_and_doubles_and_strangers_are_refused(tmp_path):
    write_shard(tmp_path)
    with pytest.raises(KDError, match="1 of 3 utterances are missing, first 'c'"):
        merge(tmp_path, ["a", "b", "c"])
    with pytest.raises(KDError, match="1 utterances are not of this data, first 'b'"):
        merge(tmp_path, ["a"])
    write_shard(tmp_path, number=2)
    with pytest.raises(KDError, match=r"'a' is in two shards.*another number of jobs"):
        merge(tmp_path, ["a", "b"])
    assert not (tmp_path / HEADER).exists()


def test_shards_of_two_teachers_do_not_merge(tmp_path):
    write_shard(tmp_path)
    write_shard(tmp_path, ("c", "d"), number=2, header=OTHER)
    with pytest.raises(
        KDError, match=r"targets.2.json and targets.1.json are of different"
    ):
        merge(tmp_path, ["a", "b", "c", "d"])


def test_a_directory_without_shards_is_said(tmp_path):
    with pytest.raises(KDError, match=r"holds no shards \(targets.N.json\)"):
        merge(tmp_path, ["a"])


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    part = Shard(tmp_path, 1, HEADER_OF)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(KDError, match=r"No space left on device.*goes on from here"):
        part.add(Entry("a", 1))
    assert not part.done
