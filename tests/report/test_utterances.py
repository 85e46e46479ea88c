"""sclite's files, and the worst utterances, by hand."""

import pytest

from espnet_kd.errors import KDError
from espnet_kd.report.utterances import read_trn, worst_section


def test_trn_lines_may_hold_brackets_and_nothing(tmp_path):
    (tmp_path / "a.trn").write_text("A (B) C (s-u1)\n (s-u2)\n")
    assert read_trn(tmp_path / "a.trn") == {"s-u1": "A (B) C", "s-u2": ""}
    (tmp_path / "a.trn").write_text("words\n")
    with pytest.raises(KDError, match=r"no \.trn file"):
        read_trn(tmp_path / "a.trn")
    with pytest.raises(KDError, match="run the scoring stage first"):
        read_trn(tmp_path / "b.trn")


def test_the_worst_are_the_last_systems():
    reference = {"u1": "a b", "u2": "c", "u3": "d e f", "u4": "g"}
    first = dict(reference, u4="x")
    last = {"u1": "a", "u2": "c", "u3": "x", "u4": ""}
    rows = worst_section(reference, {"teacher": first, "student": last}, count=2).rows
    assert rows == [
        ["u3", "d e f", "d e f (0)", "x (3)"],
        ["u1", "a b", "a b (0)", "a (1)"],
    ]
    assert "student makes no error" in worst_section(reference, {"student": reference}).text
