"""The benchmarks still run; what they say is for a quiet machine."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import REPO, asr_options, build_asr, clone, write_exp

SMALL = ["--vocabulary", "60", "--batch", "2", "--frames", "60", "--repeats", "1"]


def run(program, *options):
    """A benchmark's answer, on one thread."""
    return subprocess.run(
        [sys.executable, str(REPO / "tests" / "benchmarks" / f"{program}.py"), *options],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"},
    )


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
    answer = run(program, *SMALL, *options)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert said in answer.stdout


@pytest.mark.slow
def test_what_a_student_saves():
    options = ["--utterances", "1", "--seconds", "2", "--vocabulary", "100"]
    answer = run("student_cost", *options)
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
    answer = run("layer_halving", "--exp", exps[0], "--exp", exps[1], *data)
    assert answer.stdout.count("| ") > 10, answer.stderr[-2000:]
    assert answer.stderr.strip().endswith(f"random beats {exps[1]}")
