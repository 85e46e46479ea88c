"""Reading a cache by utterance: the very targets, or a word about what is wrong."""

import pickle
import random
from dataclasses import replace

import pytest
import torch
from pickles import Trap
from targets import HEADER_OF, OTHER, write_shard

from espnet_kd.cache.entries import batch_of
from espnet_kd.cache.header import HEADER, INDEX, write_header
from espnet_kd.cache.places import read_index
from espnet_kd.cache.reader import Cache, CachedCollate, open_caches
from espnet_kd.cache.writer import merge
from espnet_kd.errors import KDError


def add_cache(directory, utts, header=HEADER_OF):
    write_shard(directory, utts, header=header)
    merge(directory, list(utts))
    return directory


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


def test_an_unfinished_cache_is_none(tmp_path):
    write_shard(tmp_path)
    with pytest.raises(KDError, match=r"it has no header.json.*did not come to its end"):
        Cache([tmp_path])


def test_an_index_of_another_cache_is_refused(cache):
    with open(cache / INDEX, "a", encoding="utf-8") as index:
        index.write("c targets.1.ark:2\n")
    with pytest.raises(KDError, match=r"targets.scp is damaged or of.*run merge_cache"):
        Cache([cache])
    (cache / INDEX).unlink()
    with pytest.raises(KDError, match=r"targets.scp is damaged or of another cache"):
        Cache([cache])


def test_an_archive_that_is_gone_is_named_by_its_utterance(cache):
    (cache / "targets.1.ark").unlink()
    with pytest.raises(KDError, match=r"targets of 'b' \(.*targets.1.ark:\d+\) cannot be"):
        Cache([cache]).read(["b"])


def test_several_directories_are_one_cache(cache, tmp_path):
    other = add_cache(tmp_path / "d", ("c", "d"))
    both = Cache([cache, other])
    assert len(both) == 4
    assert [entry.utt for entry in both.read(["d", "a"])] == ["d", "a"]
    with pytest.raises(KDError, match="'a' is in two caches"):
        Cache([cache, cache])


def test_directories_of_two_teachers_are_two_caches(cache, tmp_path):
    other = add_cache(tmp_path / "d", ("a", "b"), OTHER)
    with pytest.raises(KDError, match=r"d and .*c are of different teachers or settings"):
        Cache([cache, other])
    more = add_cache(tmp_path / "e", ("c", "d"))
    found = open_caches([cache, other, more])
    assert [c.directories for c in found] == [(cache, more), (other,)]
    assert open_caches([]) == ()


def test_missing_utterances_are_counted(cache):
    text = "no targets of 1 of 2 utterances of the train data, first 'sp0.9-a'"
    with pytest.raises(KDError, match=text):
        Cache([cache]).check_coverage(["a", "sp0.9-a"], "the train data")
    with pytest.raises(KDError, match="no targets of 1 of 1 utterances of this batch"):
        Cache([cache]).read(["z"])


def test_the_collate_function_adds_the_targets_of_its_utterances(cache, tmp_path):
    other = add_cache(tmp_path / "d", ("a", "b"), OTHER)

    def collate(data):
        return [utt for utt, _ in data], {"speech": torch.tensor([x for _, x in data])}

    both = CachedCollate(collate, Cache([cache]), Cache([other]))
    utts, batch = both([("b", 2), ("a", 1)])
    assert utts == ["b", "a"]
    assert batch["speech"].tolist() == [2, 1]
    assert batch["kd_frames"].tolist() == batch["kd1_frames"].tolist() == [3, 5]


def test_data_workers_get_it_by_pickling(cache):
    again = pickle.loads(pickle.dumps(Cache([cache])))
    assert [entry.utt for entry in again.read(["b"])] == ["b"]


def test_a_pickle_in_an_archive_is_not_read(cache, tmp_path):
    """With kaldiio it would be, and run what it says."""
    place = read_index(cache / INDEX)["a"].partition(":")[2]
    data = (cache / "targets.1.ark").read_bytes()
    trap = b"PKL" + pickle.dumps(Trap(tmp_path / "mark"))
    (cache / "targets.1.ark").write_bytes(data[: int(place)] + trap)
    with pytest.raises(KDError, match=r"'a' .*cannot be read \(ValueError\)"):
        Cache([cache]).read(["a"])
    assert not (tmp_path / "mark").exists()


def test_an_entry_that_makes_no_sense_is_named(tmp_path):
    other = replace(HEADER_OF, taps=(), widths=())
    write_shard(tmp_path, header=other)
    for name in ("targets.1.json", HEADER):
        (tmp_path / name).unlink(missing_ok=True)
    write_header(tmp_path / "targets.1.json", HEADER_OF)
    merge(tmp_path, ["a", "b"])
    with pytest.raises(KDError, match=r"'a' .*make no sense \(other parts than the header"):
        Cache([tmp_path]).read(["a"])
