"""The benchmarks still run; what they say is for a quiet machine."""

import multiprocessing
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import REPO, asr_options, build_asr, clone, write_exp
from soak import growth, leaks, usage

pytestmark = pytest.mark.dealt
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
@pytest.mark.parametrize("task", ["enh", "tts"])
def test_it_runs_for_tasks_asked_by_their_own_pass(task):
    if task == "tts":
        pytest.importorskip("pyworld", reason="needs the extra synthesis")
    answer = run("kind_step_time", task, "--batch", "1", "--repeats", "1")
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert "ratio " in answer.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "options", "said"),
    [
        ("transducer_memory", ["--labels", "5"], "peak: "),
        ("step_time", ["--tokens", "4"], "ratio "),
        ("step_time", ["--tokens", "4", "--targets", "cache"], "ratio "),
        (
            "step_time",
            ["--tokens", "4", "--precision", "bfloat16", "--every", "2"],
            "teaching ",
        ),
        ("step_time", ["--tokens", "4", "--terms", "codebooks"], "ratio "),
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
def test_what_a_chunk_costs():
    answer = run("streaming_chunk", "--vocabulary", "50", "--layers", "2")
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.count("a chunk of 640 ms takes") == 2


def test_a_soak_tells_a_leak_from_what_the_stock_run_does():
    """Of the 10 lines after the 200th update, two make a quarter: at 350 and at 1,150."""
    updates = np.arange(1, 13) * 100.0
    flat = np.stack([updates, *([np.full(12, value) for value in (800, 90, 5, 4)])], 1)
    growing = flat.copy()
    growing[:, 1] += updates * 0.01  # 10 KB an update
    growing[:, 4] += updates // 100
    assert growth(flat, settled=200) == (0, 0)
    assert growth(growing, settled=200) == (pytest.approx(8.0), 8)
    assert leaks((8.0, 8), (0.0, 0), slack=7.0, files=40)
    assert leaks((8.0, 8), (0.0, 0), slack=9.0, files=7)
    assert not leaks((8.0, 8), (2.0, 0), slack=7.0, files=40)


def test_a_soak_counts_of_workers_what_each_holds_alone():
    """Of 64 MiB that it was forked off nothing, of 32 that it made every one."""

    def work(ready):
        made = bytearray(os.urandom(2**20)) * 32
        ready.send(len(made))
        signal.pause()

    held = bytearray(os.urandom(2**20)) * 64
    fork = multiprocessing.get_context("fork")
    ready, there = fork.Pipe(duplex=False)
    workers = [fork.Process(target=work, args=(there,)) for _ in range(2)]
    own, alone = usage()[:2]
    for worker in workers:
        worker.start()
    made = [ready.recv() for _ in workers]
    grown = usage()
    for worker in workers:
        worker.kill()
        worker.join()
    assert grown[0] == pytest.approx(own, abs=8)
    assert grown[0] > len(held) / 2**20
    assert grown[1] - alone == pytest.approx(sum(made) / 2**20, abs=16)


@pytest.mark.slow
def test_a_short_soak():
    short = ["--updates", "160", "--every", "10", "--settled", "40"]
    answer = run("soak", *short, "--targets", "cache", "--workers", "2")
    assert answer.returncode == 0, answer.stdout[-1000:] + answer.stderr[-2000:]
    lines = [line for line in answer.stdout.splitlines() if " updates " in line]
    assert len(lines) == 2 * 16
    assert answer.stdout.count("grown by") == 2


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
