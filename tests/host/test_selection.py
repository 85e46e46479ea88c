"""The checkpoints that ESPnet2's, ESPnet3's and Lightning's trainings select."""

import pytest
import yaml

from espnet_kd.errors import ExperimentError
from espnet_kd.host.selection import selected_weights, selection_criteria

USUAL = ["valid.acc", "valid.loss"]


def experiment(folder, settings, *names):
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    for name in names:
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("criteria", "names", "chosen"),
    [
        (
            [["valid", "acc", "max"], ["valid", "loss", "min"]],
            ["valid.loss.ave.pth", "valid.acc.best.pth", "valid.acc.ave.pth"],
            "valid.acc.ave.pth",
        ),
        (
            [["valid", "acc", "max"], ["valid", "loss", "min"]],
            ["valid.loss.ave.pth", "valid.acc.best.pth"],
            "valid.loss.ave.pth",
        ),
        (
            [["valid/loss", 10, "min"]],
            [f"valid.loss.ave_{n}best.pth" for n in (1, 2, 9, 10)],
            "valid.loss.ave_10best.pth",
        ),
        (
            [["valid/acc", 3, "max"], ["valid/loss", 10, "min"]],
            ["valid.loss.ave_2best.pth", "valid.acc.ave_1best.pth"],
            "valid.acc.ave_1best.pth",
        ),
        (
            [["valid/loss", 10, "min"]],
            ["epoch0_step1_valid.loss.ckpt", "last.ckpt", "step1.ckpt"],
            "epoch0_step1_valid.loss.ckpt",
        ),
        (
            [["valid/loss", 10, "min"]],
            ["epoch0_step1_valid.loss.ckpt", "valid.loss.ave_1best.pth"],
            "valid.loss.ave_1best.pth",
        ),
    ],
)
def test_the_first_criterion_that_left_something(tmp_path, criteria, names, chosen):
    exp = experiment(tmp_path, {"best_model_criterion": criteria}, *names)
    assert selected_weights(exp) == exp / chosen


def test_lightning_train_says_it_beside_espnet2s_default(tmp_path):
    settings = {
        "best_model_criterion": [["train", "loss", "min"], ["valid", "acc", "max"]],
        "lightning_conf": {"best_model_criterion": [["valid/cer", "min", 5]]},
    }
    names = ["valid.acc.ave_5best.pth", "valid.cer.ave_5best.pth"]
    exp = experiment(tmp_path, settings, *names)
    assert selected_weights(exp) == exp / "valid.cer.ave_5best.pth"


@pytest.mark.parametrize(
    "settings",
    [
        None,
        3,
        [],
        {},
        {"best_model_criterion": None},
        {"best_model_criterion": 5},
        {"best_model_criterion": "valid/loss"},
        {"best_model_criterion": [7, None, {"valid": "loss"}, [], ["valid"], [1, 2, 3]]},
        {"lightning_conf": [1], "best_model_criterion": [[["valid"], "loss"]]},
    ],
)
def test_what_is_no_criterion_is_passed_over(tmp_path, settings):
    exp = experiment(tmp_path, settings, "valid.acc.best.pth")
    assert selection_criteria(exp / "config.yaml") == USUAL
    assert selected_weights(exp).name == "valid.acc.best.pth"


@pytest.mark.parametrize("text", ["a: [", "x: 2020-99-99", "[" * 10000, "\x00", "é"])
def test_a_config_that_cannot_be_read_selects_as_usual(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text, encoding="latin-1")
    assert selection_criteria(tmp_path / "config.yaml") == USUAL


def test_names_do_not_lead_out_of_the_directory(tmp_path):
    exp = tmp_path / "exp"
    exp.mkdir()
    (tmp_path / "x.best.pth").write_bytes(b"")
    experiment(exp, {"best_model_criterion": [["../x", 1, "min"], ["..", "x", "min"]]})
    with pytest.raises(ExperimentError, match=r"It has: no \.pth and no \.ckpt file"):
        selected_weights(exp)


def test_a_link_to_nothing_is_no_checkpoint(tmp_path):
    exp = experiment(tmp_path, {}, "valid.loss.best.pth")
    (exp / "valid.acc.best.pth").symlink_to("gone.pth")
    assert selected_weights(exp).name == "valid.loss.best.pth"


def test_none_of_them_there_is_said_with_what_is(tmp_path):
    settings = {"best_model_criterion": [["valid/loss", 10, "min"]]}
    exp = experiment(tmp_path, settings, "2epoch.pth", "1epoch.pth")
    with pytest.raises(
        ExperimentError, match=r"by 'file'\. It has: 1epoch\.pth, 2epoch\.pth"
    ):
        selected_weights(exp)


def test_of_several_of_lightnings_none_is_guessed(tmp_path):
    settings = {"best_model_criterion": [["valid/loss", 10, "min"]]}
    names = [f"epoch{n}_step{n + 1}_valid.loss.ckpt" for n in (0, 1)]
    exp = experiment(tmp_path, settings, *names)
    with pytest.raises(ExperimentError, match=r"It has: epoch0_step1.*, epoch1_step2"):
        selected_weights(exp)
