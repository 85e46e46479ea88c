"""Scoring by sclite, by hand, and what is said without it."""

import shutil

import pytest

from espnet_kd.errors import KDError
from espnet_kd.report import score as scoring
from espnet_kd.report.score import Score, parse_result, score, split_characters

needs_sclite = pytest.mark.skipif(
    not any(map(shutil.which, scoring.PLACES)),
    reason="sclite is not installed",
)
REFERENCE = {"u1": "the cat sat", "u2": "a dog"}


@needs_sclite
def test_word_errors_by_hand(tmp_path):
    # u1: cat -> hat, one substitution, and one insertion; u2: a deleted
    result = score(REFERENCE, {"u1": "the hat sat down", "u2": "dog"}, tmp_path)
    assert result == Score(2, 5, 3, 1, 1, 1, 2)
    assert result.error_rate == pytest.approx(60.0)
    assert (tmp_path / "ref.trn").read_text() == "the cat sat (u1-u1)\na dog (u2-u2)\n"


@needs_sclite
def test_character_errors_by_hand(tmp_path):
    # 11 + 5 characters with their spaces; c -> h
    result = score(REFERENCE, {**REFERENCE, "u1": "the hat sat"}, tmp_path, unit="cer")
    assert (result.words, result.substitutions, result.insertions) == (16, 1, 0)


@needs_sclite
def test_an_utterance_without_hypothesis_counts_as_deleted(tmp_path):
    result = score(REFERENCE, {"u1": "the cat sat"}, tmp_path)
    assert (result.deletions, result.error_rate) == (2, 40.0)


def test_without_sclite_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(scoring, "PLACES", ("no_such_sclite_kd",))
    with pytest.raises(KDError, match=r"apt-get install sctk.*--sclite"):
        scoring.find_sclite()


def test_an_answer_without_counts_points_to_the_file(tmp_path):
    with pytest.raises(KDError, match=r"no 'Sum' row; see .*result.txt"):
        parse_result("Segmentation fault", tmp_path / "result.txt")


def test_the_raw_table_is_read():
    table = """
     | Sum/Avg|   2      5 | 60.0   20.0   20.0   20.0   60.0  100.0 |
     | Sum    |   2      5 |    3      1      1      1      3      2 |
    """
    assert parse_result(table, None) == Score(2, 5, 3, 1, 1, 1, 2)


def test_characters_write_a_space_as_espnet_does():
    assert split_characters("a  b") == ["a", "<space>", "b"]


def test_nothing_said_is_no_error():
    assert Score(0, 0, 0, 0, 0, 0, 0).error_rate == 0.0
