"""--kd_conf: files and overrides."""

import argparse

import pytest

from espnet_kd.errors import KDError
from espnet_kd.tasks.arguments import KDConfAction, override, read_kd_conf

FILE = "losses:\n- {type: token_kl, weight: 1.0}\ntask_weight: 0.5\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "kd.yaml").write_text(FILE)
    return str(tmp_path / "kd.yaml")


def parse(*arguments, default=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--kd_conf", action=KDConfAction, default=default)
    return parser.parse_args([f"--kd_conf={a}" for a in arguments]).kd_conf


def test_a_file_then_overrides_in_order(path):
    conf = parse(path, "losses.0.weight=0.25", "schedule.warmup_steps=9", "task_weight=1")
    assert conf == {
        "losses": [{"type": "token_kl", "weight": 0.25}],
        "task_weight": 1,
        "schedule": {"warmup_steps": 9},
    }


def test_an_override_takes_any_yaml_value():
    conf = override({}, "teachers=[{exp: exp/a, file: b.pth}]")
    assert conf == {"teachers": [{"exp": "exp/a", "file": "b.pth"}]}


def test_overrides_leave_a_training_yamls_own_mapping_alone():
    default = {"losses": [{"weight": 1}]}
    assert parse("losses.0.weight=2", default=default) == {"losses": [{"weight": 2}]}
    assert default == {"losses": [{"weight": 1}]}


def test_the_mapping_may_stand_under_its_name(tmp_path):
    (tmp_path / "kd.yaml").write_text("kd_conf:\n  task_weight: 2\n")
    assert read_kd_conf(str(tmp_path / "kd.yaml")) == {"task_weight": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a\n", "holds no mapping but list"), ("a: [", "cannot be read")],
)
def test_files_that_hold_no_mapping(tmp_path, text, message):
    (tmp_path / "kd.yaml").write_text(text)
    with pytest.raises(KDError, match=message):
        read_kd_conf(str(tmp_path / "kd.yaml"))


def test_yaml_that_would_build_objects_is_refused(tmp_path):
    (tmp_path / "kd.yaml").write_text("a: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(KDError, match="cannot be read"):
        read_kd_conf(str(tmp_path / "kd.yaml"))


@pytest.mark.parametrize("path", ["losses.3.weight=1", "losses.x=1", "task_weight.a=1"])
def test_overrides_of_nothing_are_named(path):
    conf = {"losses": [{"weight": 1}], "task_weight": 1.0}
    with pytest.raises(KDError, match="items are counted from 0"):
        override(conf, path)


def test_the_command_line_says_what_is_wrong(capsys):
    with pytest.raises(SystemExit):
        parse("no_such_file.yaml")
    assert "no such file; give a YAML file, or key=value" in capsys.readouterr().err
