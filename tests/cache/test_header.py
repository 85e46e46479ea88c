"""A cache's header: what is written is read, and nothing else is."""

import hashlib
import json
from dataclasses import asdict, replace

import pytest
from targets import HEADER_OF

from espnet_kd.cache.header import HEADER, Coded, read_header, write_header
from espnet_kd.errors import KDError


def test_what_was_written_is_read(tmp_path):
    header = replace(HEADER_OF, utterances=2, index_hash="i")
    write_header(tmp_path / HEADER, header)
    assert read_header(tmp_path / HEADER) == header
    raw = json.loads((tmp_path / HEADER).read_text())
    assert raw["token_list"] == ["_", "a", "b", "c", "d", "e"]
    assert raw["version"] == 2


def test_temperatures_and_tokens_of_each_part(tmp_path):
    header = replace(HEADER_OF, temperatures={"decoder": (1.0, 2.0)})
    header = replace(header, ctc_token_list=("_", "x"))
    write_header(tmp_path / HEADER, header)
    back = read_header(tmp_path / HEADER)
    assert back.temperatures_of("decoder") == (1.0, 2.0)
    assert back.temperatures_of("ctc") == (1.0,)
    assert back.tokens_of("ctc") == ("_", "x")
    assert back.tokens_of("decoder") == HEADER_OF.token_list
    assert HEADER_OF.tokens_of("ctc") == HEADER_OF.token_list


CODED = Coded("encoder", 8, 256, "d", 0.3)


def test_codebooks_are_read_back_and_older_headers_have_none(tmp_path):
    header = replace(HEADER_OF, parts=("ctc", "codebooks"), codebooks=(CODED,))
    write_header(tmp_path / HEADER, header)
    assert read_header(tmp_path / HEADER) == header
    raw = asdict(HEADER_OF)
    del raw["codebooks"]
    text = json.dumps(raw, sort_keys=True).encode()
    raw["digest"] = hashlib.sha256(text).hexdigest()
    (tmp_path / HEADER).write_text(json.dumps(raw))
    assert read_header(tmp_path / HEADER) == HEADER_OF


def test_what_a_shard_has_of_it():
    header = replace(HEADER_OF, utterances=2, index_hash="i")
    assert header.vocabulary == 6
    assert header.of_a_shard == HEADER_OF


def test_a_header_that_is_not_there_is_an_unfinished_cache(tmp_path):
    with pytest.raises(KDError, match=r"no cache of targets: it has no header.json.*end"):
        read_header(tmp_path / HEADER)


def test_a_header_of_another_version_is_refused(tmp_path):
    write_header(tmp_path / HEADER, replace(HEADER_OF, version=9))
    with pytest.raises(
        KDError,
        match=r"of version 9, not 2: its posteriors may lose more.*write the cache again",
    ):
        read_header(tmp_path / HEADER)


@pytest.mark.parametrize("text", ['{"version": 1}', "[]", '{"digest": "d"}'])
def test_a_header_without_its_digest_is_damaged(tmp_path, text):
    (tmp_path / HEADER).write_text(text)
    with pytest.raises(KDError, match=r"damaged \(digest\); write the cache again"):
        read_header(tmp_path / HEADER)


def test_a_changed_header_is_damaged(tmp_path):
    write_header(tmp_path / HEADER, HEADER_OF)
    text = (tmp_path / HEADER).read_text()
    (tmp_path / HEADER).write_text(text.replace('"blank_id": 0', '"blank_id": 1'))
    with pytest.raises(KDError, match="damaged"):
        read_header(tmp_path / HEADER)


def test_what_is_no_json_cannot_be_read(tmp_path):
    (tmp_path / HEADER).write_text("{")
    with pytest.raises(KDError, match=r"header.json cannot be read.*write the cache again"):
        read_header(tmp_path / HEADER)


@pytest.mark.parametrize(
    "change",
    [
        *({"token_list": (1, 2)}, {"token_list": ()}, {"blank_id": -1}, {"blank_id": 6}),
        *({"parts": ("ctc", "x")}, {"parts": ([],)}, {"dtype": "int8"}, {"teacher": 5}),
        *({"temperatures": {"ctc": (0.0,)}}, {"temperatures": {"x": (1.0,)}}),
        *({"nbest": 0.5}, {"widths": ()}, {"tolerance": float("nan")}),
        *({"temperatures": {"ctc": ("x",)}}, {"parts": ("codebooks",)}),
        *({"codebooks": (CODED,)}, {"parts": ("codebooks",), "codebooks": ("x",)}),
        *(
            {"parts": ("codebooks",), "codebooks": (replace(CODED, **wrong),)}
            for wrong in ({"count": 0}, {"centroids": 257}, {"error": -1.0}, {"tap": 1})
        ),
    ],
)
def test_a_header_that_makes_no_sense_is_damaged(tmp_path, change):
    write_header(tmp_path / HEADER, replace(HEADER_OF, **change))
    with pytest.raises(KDError, match=r"header.json is damaged \(what it says\)"):
        read_header(tmp_path / HEADER)
