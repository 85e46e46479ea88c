"""--kd_conf on the command line, and what a process makes of it once."""

import argparse
import pickle

import pytest

from espnet_kd.config.read import NamedConf
from espnet_kd.errors import ConfigError
from espnet_kd.tasks.arguments import KDConfAction, kd_config

FILE = "teachers: [{exp: a}]\nlosses:\n- {type: token_kl, weight: 1.0}\n"


@pytest.fixture
def path(tmp_path):
    (tmp_path / "kd.yaml").write_text(FILE)
    return str(tmp_path / "kd.yaml")


def parse(*arguments, default=None, config=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", default=config)
    parser.add_argument("--kd_conf", action=KDConfAction, default=default)
    return parser.parse_args([f"--kd_conf={a}" for a in arguments])


def test_a_file_then_overrides_in_order(path):
    args = parse(path, "losses.0.weight=0.25", "schedule.warmup_steps=9", "task_weight=1")
    assert args.kd_conf == {
        "teachers": [{"exp": "a"}],
        "losses": [{"type": "token_kl", "weight": 0.25}],
        "task_weight": 1,
        "schedule": {"warmup_steps": 9},
    }


def test_overrides_leave_a_training_yamls_own_mapping_alone():
    default = {"losses": [{"weight": 1}]}
    changed = parse("losses.0.weight=2", default=default).kd_conf
    assert changed == {"losses": [{"weight": 2}]}
    assert default == {"losses": [{"weight": 1}]}


def test_it_is_parsed_once_a_process(path):
    args = parse(path)
    config = kd_config(args)
    assert config.teachers[0].exp == "a"
    assert kd_config(args) is config
    elsewhere = pickle.loads(pickle.dumps(args))
    assert elsewhere.kd_conf.config is None
    assert kd_config(elsewhere) == config


def test_a_plain_mapping_is_parsed_once_as_well():
    args = argparse.Namespace(kd_conf={"losses": [{"type": "cr_ctc", "weight": 1}]})
    assert kd_config(args) is kd_config(args)
    assert type(args.kd_conf) is NamedConf


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        (["{path}"], {}, "{path}"),
        (["{path}", "task_weight=x"], {}, "{path} (changed by task_weight=x)"),
        (["task_weight=x"], {}, "--kd_conf (changed by task_weight=x)"),
        ([], {"default": {"loses": []}}, "--kd_conf"),
        ([], {"default": {"loses": []}, "config": "t.yaml"}, "the kd_conf of t.yaml"),
        (
            ["task_weight=x"],
            {"default": {"loses": []}, "config": "t.yaml"},
            "the kd_conf of t.yaml (changed by task_weight=x)",
        ),
    ],
)
def test_messages_name_where_it_is_from(path, arguments, options, name):
    with open(path, "a") as file:
        file.write("loses: 1\n")
    args = parse(*(a.format(path=path) for a in arguments), **options)
    with pytest.raises(ConfigError) as error:
        kd_config(args)
    head = str(error.value).splitlines()[0]
    assert head.partition(" in ")[2] == name.format(path=path)


def test_a_training_yaml_whose_kd_conf_is_no_mapping_is_told():
    args = parse(default="kd.yaml", config="t.yaml")
    with pytest.raises(ConfigError, match=r"(?s)in the kd_conf of t\.yaml.*'kd\.yaml'"):
        kd_config(args)


def test_the_command_line_says_what_is_wrong(capsys):
    with pytest.raises(SystemExit):
        parse("no_such_file.yaml")
    assert "no such file; give a YAML file, or key=value" in capsys.readouterr().err
