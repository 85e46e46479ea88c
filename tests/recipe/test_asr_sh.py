"""What this package relies on of ESPnet's own asr.sh, and what the first page gives it.

asr.sh is in ESPnet's source distribution (202611 and later) and checkouts, and in no wheel.
KD_ASR_SH names one; an ESPnet installed with pip's -e from a checkout has its own.
"""

import os
import subprocess
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import REPO
from pages import commands
from recipe.asr_sh_facts import FACTS, times_said


def asr_sh():
    """Where an asr.sh is; None if there is none."""
    spec = find_spec("espnet2")
    roots = [Path(folder).parent for folder in spec.submodule_search_locations or ()]
    places = [Path(os.environ.get("KD_ASR_SH", "gone"))]
    places += [root / "egs2/TEMPLATE/asr1/asr.sh" for root in roots]
    return next((place for place in places if place.is_file()), None)


@pytest.mark.parametrize("fact", FACTS)
def test_asr_sh_is_as_we_rely_on(fact):
    path = asr_sh()
    if path is None:
        pytest.skip("no asr.sh here: KD_ASR_SH names none, ESPnet is from a wheel")
    assert times_said(fact, path) >= FACTS[fact][1]


def asr_args():
    """What the first page's line for asr.sh gives to ``--asr_args`` and ``--python``."""
    page = (REPO / "README.md").read_text(encoding="utf-8")
    (words,) = (words for words in commands(page) if "--asr_args" in words)
    given = dict(pairwise(words))
    return given["--asr_args"], given["--python"]


def as_the_shell_splits(text):
    """The words that come of ``${asr_args}``, unquoted."""
    split = 'set -eu; asr_args=$1; printf "%s\\n" ${asr_args}'
    run = ["bash", "-c", split, "asr.sh", text]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()


def test_what_the_first_page_gives_it_survives_the_shell(tmp_path, monkeypatch):
    from espnet_kd.config.parse import parse_config
    from espnet_kd.losses import LOSSES
    from espnet_kd.tasks.variants import KDASRTask

    monkeypatch.chdir(tmp_path)
    text, python = asr_args()
    assert python == "python3 -m espnet_kd"
    words = as_the_shell_splits(text)
    args = KDASRTask.get_parser().parse_args(words)
    assert args.init_param == ["exp/student_init.pth"]
    config = parse_config(args.kd_conf, LOSSES)
    assert [teacher.exp for teacher in config.teachers] == ["exp/asr_teacher"]


@pytest.mark.parametrize("given", ["teachers=[{exp:exp/t}]", "teachers.0={exp:exp/t}"])
def test_a_mapping_without_its_blank_is_met_with_the_hint(given, capsys):
    """Blanks are what asr_args cannot hold: they end a word there."""
    from espnet_kd.config.parse import parse_config
    from espnet_kd.errors import ConfigError
    from espnet_kd.losses import LOSSES
    from espnet_kd.tasks.variants import KDASRTask

    words = as_the_shell_splits(f"--kd_conf ctc --kd_conf {given}")
    args = KDASRTask.get_parser().parse_args(words)
    with pytest.raises(ConfigError, match=r"leave a blank after the colon: 'exp: exp/t'"):
        parse_config(args.kd_conf, LOSSES)


def test_a_teacher_that_is_missing_is_an_error_that_stage_10_shows(tmp_path):
    """Its logs are searched for that word; where none has it, asr.sh waits for input."""
    import argparse

    from espnet_kd.errors import TeacherError
    from espnet_kd.tasks.kd_task import KDTask

    class Stock:
        @classmethod
        def check_required_command_args(cls, args):
            """Nothing is required."""

    task = type("Task", (KDTask, Stock), {})
    losses = [{"type": "token_kl", "weight": 1}]
    conf = {"teachers": [{"exp": str(tmp_path / "gone")}], "losses": losses}
    args = argparse.Namespace(kd_conf=conf, ngpu=0, collect_stats=True)
    with pytest.raises(TeacherError, match=r"^error of the training to come: .*gone"):
        task.check_required_command_args(args)
