"""Kaldi tables: read, sorted, inverted, cut down, refused."""

import pytest

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import copy_subset, read_table, write_speakers, write_table


def test_lines_are_read_with_blanks_and_empty_values(tmp_path):
    (tmp_path / "text").write_text("u2  two  words \n\nu1\nu3 x\n")
    assert read_table(tmp_path / "text") == {"u2": "two  words", "u1": "", "u3": "x"}


def test_what_is_written_is_sorted_and_read_again(tmp_path):
    table = {"b": "2", "a": "", "B": "1"}
    write_table(tmp_path / "t", table)
    assert (tmp_path / "t").read_text() == "B 1\na\nb 2\n"
    assert read_table(tmp_path / "t") == table


def test_speakers_are_written_both_ways(tmp_path):
    write_speakers(tmp_path, {"u3": "s1", "u1": "s2", "u2": "s1"})
    assert (tmp_path / "utt2spk").read_text() == "u1 s2\nu2 s1\nu3 s1\n"
    assert (tmp_path / "spk2utt").read_text() == "s1 u2 u3\ns2 u1\n"


def test_a_subset_has_its_part_of_every_table(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    for name, lines in (("text", "u1 x\nu2 y\n"), ("utt2spk", "u1 s\nu2 r\n")):
        source.mkdir(exist_ok=True)
        (source / name).write_text(lines)
    (source / "by_speaker").write_text("s 1\n")
    copy_subset(source, target, {"u2"})
    assert {p.name: p.read_text() for p in target.iterdir()} == {
        "text": "u2 y\n",
        "utt2spk": "u2 r\n",
        "spk2utt": "r u2\n",
    }


def test_what_is_missing_or_double_is_named(tmp_path):
    with pytest.raises(KDError, match=r"text is missing; run the stage that makes it"):
        read_table(tmp_path / "text")
    (tmp_path / "text").write_text("u1 x\nu1 y\n")
    with pytest.raises(KDError, match=r"text: 'u1' comes twice"):
        read_table(tmp_path / "text")
