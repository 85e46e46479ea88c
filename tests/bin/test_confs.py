"""The list of configurations that are known by name."""

import shutil

import pytest
from conftest import REPO

from espnet_kd.bin import confs
from espnet_kd.config.read import read_kd_conf
from espnet_kd.config.shipped import shipped_confs

OWN = """# Mine, for a corpus of telephone speech.
#
#   python -m espnet_kd -m espnet2.bin.asr_train <your arguments> --kd_conf phone
#
# Needs  a telephone.
# Costs  two hours
#        more.
losses: [{type: ctc_frame_kl, weight: 0.1}]
"""


@pytest.fixture
def listed(tmp_path, monkeypatch, capsys):
    """Lists from a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def run():
        confs.main([])
        return capsys.readouterr().out

    return run


def test_every_shipped_one_is_listed_with_purpose_needs_and_cost(listed):
    lines = listed().splitlines()
    assert lines[0] == "With espnet_kd:"
    first = [line for line in lines[1:] if not line.startswith(" " * 6)]
    assert all(line.startswith("  ") for line in first), "names are indented by two"
    at = {conf.name: lines.index(f"  {conf.name}") for conf in shipped_confs()}
    assert sorted(at) == sorted(p.stem for p in (REPO / "conf/kd").glob("*.yaml"))
    assert lines[at["ctc"] + 1 : at["ctc"] + 4] == [
        "      Distillation of CTC posteriors alone, at the teacher's spikes and their "
        "neighbours.",
        "      Needs a teacher with CTC over the student's token list. The student may be "
        "CTC only.",
        "      Costs the teacher's encoder in every step.",
    ]
    assert max(map(len, lines)) <= 92


def test_the_working_directorys_own_come_first(listed, tmp_path):
    (tmp_path / "phone.yaml").write_text(OWN)
    (tmp_path / "student.yaml").write_text("encoder: conformer\n")
    (tmp_path / "broken.yaml").write_text("losses: [")
    assert listed().splitlines()[:6] == [
        "In this directory:",
        "  phone",
        "      Mine, for a corpus of telephone speech.",
        "      Needs a telephone.",
        "      Costs two hours more.",
        "",
    ]


def test_a_file_that_hides_a_shipped_one_is_said_to(listed, tmp_path):
    """By the list, and in what a training's log calls the configuration."""
    shutil.copy(REPO / "conf/kd/ctc.yaml", tmp_path / "ctc.yaml")
    assert "goes before" not in listed()
    assert read_kd_conf("ctc").source == "ctc.yaml"
    (tmp_path / "ctc.yaml").write_text("losses: [{type: ctc_frame_kl, weight: 0.5}]\n")
    text = listed()
    assert "It differs from the ctc of espnet_kd, and goes before it." in text
    assert text.count("\n  ctc\n") == 1
    said = "ctc.yaml, which differs from the ctc that comes with espnet_kd"
    assert read_kd_conf("ctc").source == said
    assert read_kd_conf("ctc.yaml").source == "ctc.yaml", "who names the file means it"
