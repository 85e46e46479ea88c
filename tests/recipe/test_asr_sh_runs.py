"""ESPnet's own asr.sh, byte for byte: its mini_an4, with a distilled student, to the score.

The recipes are in ESPnet's source distribution, which pip fetches (35 MB). What a machine
lacks of ESPnet's tools has a stand-in: sph2pipe, which reads the corpus.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from conftest import REPO
from recipe.asr_sh_facts import FACTS, times_said
from recipe_runs import NEEDS_SCLITE, SCLITE

WITH_RECIPES = "202611"  # the first source distribution that holds egs2
SPH2PIPE = """#!{python}
import io, sys
import soundfile

samples, rate = soundfile.read(sys.argv[-1], dtype="int16")
wav = io.BytesIO()
soundfile.write(wav, samples, rate, format="WAV")
sys.stdout.buffer.write(wav.getvalue())
"""
OPTIONS = """--nj 1 --inference_nj 1 --ngpu 0 --lang en --train_set train_nodev
--valid_set train_dev --test_sets test --lm_train_text data/train_nodev/text
--lm_config conf/train_lm_rnn_debug.yaml --inference_config conf/decode_asr_debug.yaml
--asr_config conf/train_asr_transformer_debug.yaml""".split()
OURS, STOCK = "python3 -m espnet_kd", "python3"
KD = "--kd_conf hybrid --kd_conf teachers.0.exp=exp/asr_teacher"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """ESPnet's folder of mini_an4, and what it needs beside it."""
    release = version("espnet")
    if release < WITH_RECIPES:
        pytest.skip(f"espnet {release}: source distributions since {WITH_RECIPES} have it")
    folder = tmp_path_factory.mktemp("espnet")
    fetch = f"download -q --no-deps --no-binary espnet espnet=={release} -d {folder}"
    run = subprocess.run([sys.executable, "-m", "pip", *fetch.split()])
    if run.returncode:
        pytest.skip("pip cannot fetch ESPnet's source distribution here")
    with tarfile.open(folder / f"espnet-{release}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return with_links(folder / f"espnet-{release}/egs2/mini_an4/asr1")


def with_links(recipe):
    """The links that a source distribution leaves out, and the tool."""
    for name in ("scripts", "pyscripts", "utils"):
        (recipe / name).symlink_to(recipe.parents[1] / "TEMPLATE/asr1" / name)
    tool = recipe.parents[2] / "tools/sph2pipe/sph2pipe"
    tool.parent.mkdir()
    tool.write_text(SPH2PIPE.format(python=sys.executable))
    tool.chmod(0o755)
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize("fact", FACTS)
def test_the_releases_asr_sh_is_as_we_rely_on(recipe, fact):
    assert times_said(fact, recipe / "asr.sh") >= FACTS[fact][1]


@pytest.mark.slow
@NEEDS_SCLITE
def test_it_distils_scores_and_packs(recipe):
    asr_sh(recipe, OURS, "teacher", 1, 11)
    asr_sh(recipe, OURS, "kd", 10, 14, "--skip_packing", "false", "--asr_args", KD)
    assert "loss_kd_token_kl=" in (recipe / "exp/asr_kd/train.log").read_text()
    assert (recipe / "exp/asr_kd/asr_kd_valid.acc.ave.zip").is_file()
    student, teacher = (
        torch.load(recipe / f"exp/asr_{tag}/valid.acc.ave.pth", weights_only=True)
        for tag in ("kd", "teacher")
    )
    assert student.keys() == teacher.keys()  # one config: nothing of ours is in it

    ours = scores(recipe)
    shutil.rmtree(next((recipe / "exp/asr_kd").glob("decode_*")))
    asr_sh(recipe, STOCK, "kd", 12, 13)
    assert ours == scores(recipe)
    assert len(ours) == 3  # words, characters and tokens


def asr_sh(recipe, python, tag, first, last, *more):
    """Stages of asr.sh by a ``--python``; its own words if it fails."""
    stages = ["--stage", str(first), "--stop_stage", str(last)]
    command = ["./asr.sh", *OPTIONS, *stages, "--asr_tag", tag, "--python", python, *more]
    tools = f"{Path(sys.executable).parent}:{SCLITE.parent}"
    env = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(REPO)}
    run = subprocess.run(
        command,
        cwd=recipe,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    assert run.returncode == 0, run.stdout[-3000:]


def scores(recipe):
    """What sclite counted of the student, by kind."""
    tables = sorted((recipe / "exp/asr_kd").glob("decode_*/test/score_*/result.txt"))
    return {table.parent.name: sums(table.read_text()) for table in tables}


def sums(text):
    """The rows of sums and means."""
    return [line for line in text.splitlines() if re.match(r"\s*\|\s*(Sum|Mean)", line)]
