"""The benchmarks still run; what they say is for a quiet machine."""

import os
import subprocess
import sys

import pytest
from conftest import REPO

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
