"""A kd_conf's file, single settings changed on top of it, and the name in messages."""

import copy
import json
import pickle

import pytest
import yaml

from espnet_kd.config.parse import parse_config
from espnet_kd.config.read import NamedConf, override, read_kd_conf
from espnet_kd.errors import ConfigError, KDError
from espnet_kd.losses import LOSSES

FILE = "losses:\n- {type: token_kl, weight: 1.0}\ntask_weight: 0.5\n"


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "kd.yaml").write_text(FILE)
    return read_kd_conf(tmp_path / "kd.yaml")


def test_changes_are_applied_in_order_to_a_copy(conf):
    changed = conf.changed("losses.0.weight=0.25").changed("task_weight=1")
    assert changed == {
        "losses": [{"type": "token_kl", "weight": 0.25}],
        "task_weight": 1,
    }
    assert conf == yaml.safe_load(FILE)


def test_its_name_is_the_file_and_what_was_changed(conf, tmp_path):
    assert conf.source == f"{tmp_path}/kd.yaml"
    changed = conf.changed("losses.0.weight=x").changed("task_weight=1")
    assert changed.source == (
        f"{tmp_path}/kd.yaml (changed by losses.0.weight=x, task_weight=1)"
    )


def test_messages_open_with_the_name(conf, tmp_path):
    with pytest.raises(ConfigError) as error:
        parse_config(conf.changed("losses.0.weight=x"), LOSSES)
    head, *lines = str(error.value).splitlines()
    assert head == f"2 problems in {tmp_path}/kd.yaml (changed by losses.0.weight=x)"
    assert lines[0].startswith("  losses[0].weight: must be a finite number")
    assert lines[1].startswith("  teachers: name at least one teacher")


def test_the_validated_configuration_knows_the_name(conf, tmp_path):
    config = parse_config(conf.changed("teachers.0.exp=exp/a"), LOSSES)
    assert config.source == f"{tmp_path}/kd.yaml (changed by teachers.0.exp=exp/a)"


def test_to_everybody_else_it_is_a_plain_mapping(conf):
    from espnet2.utils.yaml_no_alias_safe_dump import yaml_no_alias_safe_dump

    plain = yaml.safe_load(FILE)
    for dumped in (
        yaml.safe_dump({"kd_conf": conf}),
        yaml.dump({"kd_conf": conf}),
        yaml_no_alias_safe_dump({"kd_conf": conf}, indent=4, sort_keys=False),
        json.dumps({"kd_conf": conf}),
    ):
        found = yaml.safe_load(dumped)["kd_conf"]
        assert type(found) is dict
        assert found == plain


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda conf: pickle.loads(pickle.dumps(conf))]
)
def test_copies_and_other_processes_get_the_name_but_nothing_validated(conf, duplicate):
    conf = conf.changed("teachers.0.exp=exp/a")
    conf.config = parse_config(conf, LOSSES)
    found = duplicate(conf)
    assert type(found) is NamedConf
    assert found == conf
    assert found.source == conf.source
    assert found.config is None


def test_an_override_takes_any_yaml_value():
    conf = override({}, "teachers=[{exp: exp/a, file: b.pth}]")
    assert conf == {"teachers": [{"exp": "exp/a", "file": "b.pth"}]}


@pytest.mark.parametrize("start", [{}, {"teachers": None}, {"teachers": []}])
def test_a_teacher_is_named_where_none_was(start):
    found = override(start, "teachers.0.exp=exp/a")
    assert override(found, "teachers.0.file=b.pth") == {
        "teachers": [{"exp": "exp/a", "file": "b.pth"}]
    }


def test_a_list_grows_by_one_at_a_time():
    conf = {"losses": [{"type": "token_kl", "weight": 1}]}
    override(conf, "losses.1.type=ctc_frame_kl")
    override(conf, "losses.1.weight=0.5")
    override(conf, "targets.0=cache")
    assert conf["losses"][1] == {"type": "ctc_frame_kl", "weight": 0.5}
    assert conf["targets"] == ["cache"]


@pytest.mark.parametrize(
    "path",
    [
        "losses.3.weight=1",
        "losses.2=1",
        "losses.x=1",
        "task_weight.a=1",
        "task_weight.0=1",
    ],
)
def test_overrides_of_nothing_are_named(path):
    conf = {"losses": [{"weight": 1}], "task_weight": 1.0}
    with pytest.raises(KDError, match="items are counted from 0"):
        override(conf, path)


def test_an_override_that_is_no_yaml_is_named():
    with pytest.raises(KDError, match=r"'\[1' is no YAML value"):
        override({}, "targets=[1")


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
