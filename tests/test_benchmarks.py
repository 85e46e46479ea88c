"""The benchmarks still run; what they say is for a quiet machine."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import REPO, asr_options, build_asr, clone, write_exp

SMALL = ["--vocabulary", "60", "--batch", "2", "--frames", "60", "--repeats", "1"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "options", "said"),
    [
        ("transducer_memory", ["--labels", "5"], "peak: "),
        ("step_time", ["--tokens", "4"], "ratio "),
        ("step_time", ["--tokens", "4", "--targets", "cache"], "ratio "),
    ],
)
def test_it_runs(program, options, said):
    path = REPO / "tests" / "benchmarks" / f"{program}.py"
    answer = subprocess.run(
        [sys.executable, str(path), *SMALL, *options],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO)},
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert said in answer.stdout


@pytest.mark.slow
def test_what_a_student_saves():
    path = REPO / "tests" / "benchmarks" / "student_cost.py"
    options = ["--utterances", "1", "--seconds", "2", "--vocabulary", "100"]
    answer = subprocess.run(
        [sys.executable, str(path), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.count("| 1.00x |") == 2
    assert answer.stdout.count("SQNR") == 2


@pytest.mark.slow
def test_half_of_a_trained_model_beats_random_ones(features, batch, tmp_path):
    model = build_asr(2, width=12, blocks=4)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        model(**clone(batch))[0].backward()
        optimizer.step()
    wrong = build_asr(2, width=12, blocks=4)
    wrong.ctc.ctc_lo.bias.data[1] = 100.0  # a sign that no text has
    exps = [
        str(write_exp(tmp_path / name, m, asr_options(width=12, blocks=4)))
        for name, m in (("trained", model), ("wrong", wrong))
    ]
    data = [
        word
        for part in ("feats.scp,speech,kaldi_ark", "text,text,text")
        for word in ("--data_path_and_name_and_type", f"{features}/dev/{part}")
    ]
    path = REPO / "tests" / "benchmarks" / "layer_halving.py"
    answer = subprocess.run(
        [sys.executable, str(path), "--exp", exps[0], "--exp", exps[1], *data],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO)},
    )
    assert answer.stdout.count("| ") > 10, answer.stderr[-2000:]
    assert answer.stderr.strip().endswith(f"random beats {exps[1]}")
