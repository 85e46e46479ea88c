"""Training logs and sclite's files, read by hand-written examples."""

import pytest

from espnet_kd.errors import KDError
from espnet_kd.report.curves import read_curves, shown_names, training_section
from espnet_kd.report.utterances import read_trn, worst_section


def test_values_of_epochs_and_a_resumed_one_counts_last(tmp_path):
    lines = [
        "1epoch results: [train] acc=0.1, time=1.5 seconds, [valid] acc=0.2, loss=nan",
        "2epoch results: [train] acc=0.3, [valid] acc=1e-05, [att_plot] time=1.0 seconds",
        "2epoch results: [train] acc=0.4, [valid] acc=0.5, new=-2.0",
    ]
    (tmp_path / "train.log").write_text("\n".join(lines))
    curves = read_curves(tmp_path / "train.log")
    assert curves["train"]["acc"] == [0.1, 0.4]
    assert curves["valid"]["acc"] == [0.2, 0.5]
    assert curves["valid"]["new"] == [None, -2.0]
    assert str(curves["valid"]["loss"]) == "[nan, None]"


def test_no_log_no_curves(tmp_path):
    curves = read_curves(tmp_path / "none.log")
    assert curves == {"train": {}, "valid": {}}
    assert training_section({"teacher 1": curves}).rows == []


def test_all_kd_losses_are_shown_and_no_clock():
    told = {key: [1.0] for key in ("acc", "time", "loss_kd", "loss_kd_mine", "kd_x")}
    trainings = {"distilled 1": {"train": {}, "valid": told}}
    assert shown_names(trainings) == ["acc", "loss_kd", "loss_kd_mine"]
    assert shown_names(trainings, "kd_") == ["kd_x"]


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
