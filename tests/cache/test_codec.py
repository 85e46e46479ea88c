"""Entries as bytes: the format by hand, and nothing damaged is believed."""

import random
import struct
import zlib

import numpy as np
import pytest
from targets import HEADER_OF, targets

from espnet_kd.cache.codec import Entry, Rows, decode, encode
from espnet_kd.cache.entries import entries_of
from espnet_kd.errors import KDError


def full() -> Entry:
    """An entry that has every part."""
    rows = Rows(
        np.array([2, 1], np.uint16),
        np.array([1, 2], np.uint16),
        np.array([0, 0, 3], np.uint16),
        np.array([-0.5, -1, -2], np.float16),
        np.array([-3, -4], np.float16),
        np.array([[0.5, 0.25]], np.float32),
    )
    return Entry(
        "utt-ü",
        3,
        rows={"ctc": rows, "decoder": rows},
        labels=np.array([1, 70000], np.uint32),
        hidden={"encoder.encoders.5": np.arange(6, dtype=np.float16).reshape(3, 2)},
        nbest=[([1, 2], -0.25), ([], -7.0)],
    )


def test_the_bytes_by_hand():
    """A name's length, a type, a number of axes; the name, the shape, the values."""
    body = b"KDT1"
    body += struct.pack("<HBB", 3, 0, 1) + b"utt" + struct.pack("<I", 2) + b"ab"
    body += struct.pack("<HBB", 6, 2, 1) + b"frames" + struct.pack("<II", 1, 7)
    expected = body + struct.pack("<I", zlib.crc32(body))
    assert encode(Entry("ab", 7)).tobytes() == expected


def test_every_part_comes_back():
    given, back = full(), decode(encode(full()), "utt-ü")
    assert (back.utt, back.frames, back.nbest) == ("utt-ü", 3, [([1, 2], -0.25), ([], -7)])
    assert back.labels.tolist() == [1, 70000]
    assert list(back.hidden) == ["encoder.encoders.5"]
    assert back.hidden["encoder.encoders.5"].tolist() == [[0, 1], [2, 3], [4, 5]]
    for part in ("ctc", "decoder"):
        for name, value in vars(given.rows[part]).items():
            found = getattr(back.rows[part], name)
            assert found.dtype == value.dtype
            assert found.tolist() == value.tolist()


def test_parts_that_are_not_there_are_none():
    back = decode(encode(Entry("a", 1, nbest=[])), "a")
    assert back.rows == {}
    assert back.labels is None
    assert back.hidden == {}
    assert back.nbest == []
    assert decode(encode(Entry("a", 1)), "a").nbest is None


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


def test_an_array_of_another_kind_is_noticed():
    with pytest.raises(KDError, match="damaged"):
        decode(encode(Entry("a", 1)).astype(np.float32), "a")


def test_an_entry_of_another_utterance_is_noticed():
    with pytest.raises(KDError, match="targets of 'a' in the place of 'b'"):
        decode(encode(Entry("a", 1)), "b")
