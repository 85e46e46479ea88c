"""Configurations that come with the package, by their names."""

import pytest
import yaml
from conftest import REPO

from espnet_kd.config import shipped
from espnet_kd.config.read import read_kd_conf
from espnet_kd.config.shipped import find_conf, shipped_confs
from espnet_kd.errors import KDError

FOLDER = REPO / "conf" / "kd"


def test_every_file_is_known_with_its_purpose_and_cost():
    confs = shipped_confs()
    assert [conf.path for conf in confs] == sorted(FOLDER.glob("*.yaml"))
    for conf in confs:
        assert conf.purpose.endswith("."), conf
        assert "python -m" not in conf.purpose
        assert conf.cost, conf
    hidden = next(conf for conf in confs if conf.name == "hidden")
    assert hidden.purpose == (
        "Distillation of the encoder's output through a learned projection."
    )
    assert hidden.cost.startswith("the teacher's encoder in every step; the projection")


def test_a_name_is_read_as_its_file_and_remembered():
    conf = read_kd_conf("hidden")
    assert dict(conf) == yaml.safe_load((FOLDER / "hidden.yaml").read_text())
    assert conf.source == str(FOLDER / "hidden.yaml")


@pytest.mark.parametrize("name", ["hidden", "hidden.yaml"])
def test_a_file_of_the_working_directory_goes_first(name, tmp_path, monkeypatch):
    (tmp_path / name).write_text("task_weight: 0.25\n")
    monkeypatch.chdir(tmp_path)
    conf = read_kd_conf("hidden")
    assert dict(conf) == {"task_weight": 0.25}
    found = f"{name}, which differs from the hidden that comes with espnet_kd"
    assert conf.source == (found if name.endswith(".yaml") else name)


def test_an_unknown_name_is_told_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KDError, match=r"no such file, and no .*mean 'hidden'\?.*known: co"):
        find_conf("hiden")
    (tmp_path / "hidden").mkdir()
    assert find_conf("hidden") == FOLDER / "hidden.yaml", "a folder is no file"


def test_where_none_are_installed_there_are_no_names(tmp_path, monkeypatch):
    monkeypatch.setattr(shipped, "FOLDERS", (tmp_path / "a", tmp_path / "b"))
    assert shipped_confs() == []
    with pytest.raises(KDError, match="known: none"):
        find_conf("hidden")
