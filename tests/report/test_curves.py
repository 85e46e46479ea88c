"""Training logs, read from examples written by hand."""

from espnet_kd.report.curves import (
    alignment_section,
    read_curves,
    shown_names,
    training_section,
)


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


def test_the_last_value_told_is_shown():
    valid = {
        "acc": [0.1, 0.25, None],
        "loss_kd": [None, None, 2.0],
        "kd_x": [0.5, 0.75, 1.0],
    }
    trainings = {"distilled 1": {"train": {}, "valid": valid}}
    section = training_section(trainings, "<svg>")
    assert section.head == ["model", "epochs", "acc", "loss_kd"]
    assert section.rows == [["distilled 1", "3", "0.250", "2.000"]]
    assert section.figure == "<svg>"


def test_only_distilled_trainings_are_diagnosed():
    trainings = {
        "control 1": {"train": {}, "valid": {"acc": [0.5]}},
        "distilled 1": {"train": {}, "valid": {"acc": [0.5], "kd_agree_ctc": [0.75]}},
    }
    section = alignment_section(trainings)
    assert section.head == ["model", "epochs", "kd_agree_ctc"]
    assert section.rows == [["distilled 1", "1", "0.750"]]
