"""Whole trainings of ESPnet's tasks beside recognition, by its own trainers."""

import math

import pytest
import yaml
from kind_runs import command, distil, kd_conf, stats_of, write_corpus, write_teacher
from training import equal, module, weights

from espnet_kd.config.read import read_kd_conf
from espnet_kd.errors import ConfigError, TeacherError
from espnet_kd.host.compat import task_class
from espnet_kd.host.known_tasks import TASKS


def tapped(kind, tap):
    return {"type": kind, "student": tap, "teacher": tap}


# The configuration that is shipped for a task, and what else it learns by here.
SHIPPED = {
    "lm": "language_model_student",
    "tts": "synthesis",
    "svs": "singing",
    "enh": "enhancement",
    "spk": "speaker",
}
FURTHER = {
    "lm": [tapped("hidden_mse", "lm.encoder")],
    "enh": [
        {"type": "spectrum_l1"},
        {"type": "mask_mse"},
        tapped("hidden_mse", "separator.rnn"),
    ],
    "slu": [
        {"type": "ctc_frame_kl", "frames": "all"},
        {"type": "token_kl"},
        tapped("hidden_mse", "encoder"),
    ],
    "mt": [{"type": "token_kl"}, tapped("hidden_mse", "encoder")],
}
LEARNING = sorted(SHIPPED.keys() | FURTHER.keys())


def terms_of(task):
    shipped = read_kd_conf(SHIPPED[task])["losses"] if task in SHIPPED else []
    return [*shipped, *FURTHER.get(task, [])]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("kinds") / "corpus")


def distilled(corpus, root, task, name, weight=1.0, **more):
    conf = kd_conf(root / f"{name}.yaml", root / "teacher", terms_of(task), weight)
    distil(task, command(corpus, task, root / name, **more), conf)


def test_a_language_model_learns_by_its_stock_command(corpus, tmp_path):
    write_teacher(corpus, "lm", tmp_path / "teacher")
    distilled(corpus, tmp_path, "lm", "student")
    stats = stats_of(tmp_path / "student")
    assert stats["loss_kd_token_kl"] > 0
    assert stats["loss_kd_hidden_mse"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", LEARNING)
def test_a_task_trains_with_its_teacher(corpus, tmp_path, task):
    write_teacher(corpus, task, tmp_path / "teacher")
    task_class(task).main(cmd=command(corpus, task, tmp_path / "stock"))
    distilled(corpus, tmp_path, task, "kd")
    first, last = (stats_of(tmp_path / "kd", epoch) for epoch in (1, 2))
    for term in terms_of(task):
        name = f"loss_kd_{term['type']}"
        assert math.isfinite(last[name])
        assert last[name] > 0
    assert last["loss_kd"] < first["loss_kd"]
    stock, student = weights(tmp_path / "stock"), weights(tmp_path / "kd")
    assert list(stock) == list(student)
    assert not equal(stock, student)
    # All weights 0: the stock run, bit for bit.
    distilled(corpus, tmp_path, task, "watched", weight=0.0)
    assert equal(weights(tmp_path / "watched"), stock)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["slu", "lm"])
def test_the_stock_command_of_a_task_learns(corpus, tmp_path, task):
    """SLU is derived from ASR, whose variant is there before it."""
    write_teacher(corpus, task, tmp_path / "teacher")
    conf = kd_conf(tmp_path / "kd.yaml", tmp_path / "teacher", terms_of(task))
    line = command(corpus, task, tmp_path / "student")
    module("espnet_kd", "-m", f"espnet2.bin.{task}_train", *line, "--kd_conf", conf)
    assert stats_of(tmp_path / "student")["loss_kd_token_kl"] > 0


def test_targets_of_a_cache_are_of_recognition(corpus, tmp_path):
    conf = {"targets": str(tmp_path), "losses": [{"type": "token_kl", "weight": 1.0}]}
    (tmp_path / "kd.yaml").write_text(yaml.safe_dump(conf))
    with pytest.raises(ConfigError, match=r"targets: is of recognition.*'targets: live'"):
        distil("lm", command(corpus, "lm", tmp_path / "out"), str(tmp_path / "kd.yaml"))


def test_a_teacher_of_another_task_is_refused_in_a_sentence(corpus, tmp_path):
    write_teacher(corpus, "mt", tmp_path / "teacher")
    with pytest.raises(TeacherError, match="describes no model that ESPnet can build"):
        distilled(corpus, tmp_path, "lm", "student")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_its_option(task):
    from espnet_kd.tasks import variants

    parser = getattr(variants, f"KD{TASKS[task][1]}").get_parser()
    assert "--kd_conf" in parser._option_string_actions
