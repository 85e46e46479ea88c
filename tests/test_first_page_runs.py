"""The first page's lines for one's own recipe, run as they stand.

The main job, ``tests/run.sh`` and the line for asr.sh are run by tests/recipe and CI.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import REPO, build_asr
from pages import blocks
from training import ENCODERS, arguments, module

import espnet_kd

PAGE = (REPO / "README.md").read_text(encoding="utf-8")
# What the page's files are named for: a student of 6 layers and a teacher of 12.
DEPTHS = {"student": 6, "teacher": 12}


def conf_of(role: str) -> dict:
    return ENCODERS[role] | {"num_blocks": DEPTHS[role]}


@pytest.fixture(scope="module")
def place(tmp_path_factory, features) -> Path:
    """A recipe's folder: a trained teacher, and the student's config."""
    folder = tmp_path_factory.mktemp("recipe")
    for name in ("exp", "conf"):
        (folder / name).mkdir()
    more = {"max_epoch": 1, "encoder_conf": conf_of("teacher")}
    command = arguments(features, folder / "exp/asr_teacher", role="teacher", **more)
    module("espnet2.bin.asr_train", *command)
    return folder


@pytest.fixture(scope="module")
def own(place, features) -> list[str]:
    """What stands for ``<your arguments>``; the student's config is in its file."""
    more = {"max_epoch": 1, "encoder_conf": conf_of("student")}
    first, config, *rest = arguments(features, place / "exp/asr_student", **more)
    assert first == "--config"
    Path(config).rename(place / "conf/student.yaml")
    return rest


def script_of(block: str, **stand_ins: list[str]) -> str:
    for words, arguments_ in stand_ins.items():
        block = block.replace(f"<{words.replace('_', ' ')}>", shlex.join(arguments_))
    assert not re.search(r"<[a-z ]+>", block)
    return block


def run(block: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a block of the page, with this Python and as if the package were installed."""
    (folder / "bin").mkdir(exist_ok=True)
    python = folder / "bin" / "python"
    if not python.exists():
        python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def shell(start: str) -> str:
    (found,) = (block for block in blocks(PAGE, "sh") if block.startswith(start))
    return found


@pytest.mark.slow
def test_a_student_starts_from_its_teacher_and_learns_by_recommended(place, own):
    block = shell("python -m espnet_kd.bin.init_student")
    answer = run(script_of(block, your_arguments=own), place)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "values come from the teacher" in (place / "exp/student_init.md").read_text()
    for name in ("kd", "kd_ctc_frame_kl", "kd_token_kl", "kd_middle", "task"):
        assert f"loss_{name}=" in answer.stderr, name
    saved = torch.load(place / "exp/asr_student/1epoch.pth", weights_only=True)
    stock = torch.load(place / "exp/student_init.pth", weights_only=True)
    assert saved.keys() == stock.keys()


@pytest.mark.slow
def test_check_says_what_the_same_training_will_do(place, own):
    training = shell("python -m espnet_kd.bin.init_student")
    same = training.replace("\\\n", " ").splitlines()[1].partition("espnet2.bin.asr_train ")
    same = shlex.split(script_of(same[2], your_arguments=own))
    same[same.index("--output_dir") + 1] = "exp/asr_other"
    block = script_of(shell("python -m espnet_kd check"), the_same_arguments=same)
    answer = run(block, place)
    assert answer.returncode in (0, 1), answer.stdout + answer.stderr[-3000:]  # 1: unwise
    for text in ("exp/asr_teacher", "ctc_frame_kl", "token_kl", "middle"):
        assert text in answer.stdout, text
    assert not (place / "exp/asr_other").exists()


def test_the_lines_in_python_run(batch):
    (snippet,) = blocks(PAGE, "python")
    student, teacher = build_asr(1, width=8), build_asr(2, width=12)
    before = set(vars(student)), [*student.state_dict()]
    found = {}

    def train():
        loss, stats, _ = student(**batch)
        found.update(loss=loss, stats=stats)

    code = snippet.replace("...  # train as ever", "train()")
    assert code != snippet
    exec(compile(code, "README.md", "exec"), {**locals(), "espnet_kd": espnet_kd})
    assert found["loss"].requires_grad
    assert "loss_kd_token_kl" in found["stats"]
    assert (set(vars(student)), [*student.state_dict()]) == before
    _, stats, _ = student(**batch)
    assert "loss_kd" not in stats


@pytest.mark.slow
def test_the_configurations_are_listed(place):
    (command,) = {code for code in re.findall(r"`(python -m espnet_kd confs)`", PAGE)}
    answer = run(command, place)
    assert answer.returncode == 0, answer.stderr
    assert "recommended" in answer.stdout
