"""The local job runner keeps run.pl's promises."""

import os
import signal
import subprocess
import sys
import time

from conftest import RECIPE

RUN = [sys.executable, str(RECIPE / "utils" / "run.py")]


def run(*arguments):
    return subprocess.run([*RUN, *arguments], capture_output=True, text=True)


def test_a_log_begins_with_the_command_and_ends_with_the_code(tmp_path):
    answer = run(str(tmp_path / "log" / "a.log"), "echo", "hello world")
    assert answer.returncode == 0
    lines = (tmp_path / "log" / "a.log").read_text().splitlines()
    assert lines[0] == "# echo 'hello world'"
    assert "hello world" in lines
    assert lines[-1].startswith("# Ended (code 0)")


def test_every_job_gets_its_number(tmp_path):
    answer = run("JOB=1:3", f"{tmp_path}/JOB.log", "echo", "part.JOB.scp")
    assert answer.returncode == 0
    for job in (1, 2, 3):
        assert f"part.{job}.scp" in (tmp_path / f"{job}.log").read_text()


def test_resource_options_are_accepted(tmp_path):
    options = ["--gpu", "1", "--mem", "4G", "--max-jobs-run", "1", "--name", "x"]
    assert run(*options, "JOB=1:2", f"{tmp_path}/JOB.log", "true").returncode == 0


def test_failures_are_named(tmp_path):
    script = "if [ JOB = 2 ]; then exit 3; fi"
    answer = run("JOB=1:3", f"{tmp_path}/JOB.log", "bash", "-c", script)
    assert answer.returncode == 1
    assert f"1 of 3 failed: {tmp_path}/2.log" in answer.stderr
    assert "# Ended (code 3)" in (tmp_path / "2.log").read_text()


def test_a_program_that_is_not_there(tmp_path):
    assert run(f"{tmp_path}/a.log", "no_such_program_kd").returncode == 1
    assert "cannot start no_such_program_kd" in (tmp_path / "a.log").read_text()


def test_usage(tmp_path):
    answer = run("only-a-log")
    assert answer.returncode != 0
    assert "run.py [--gpu N]" in answer.stderr


def test_ending_it_ends_its_jobs(tmp_path):
    mark = tmp_path / "pid"
    script = f"echo $$ > {mark}; exec sleep 60"
    process = subprocess.Popen([*RUN, f"{tmp_path}/a.log", "bash", "-c", script])
    deadline = time.monotonic() + 20
    while not (mark.exists() and mark.read_text().strip()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.wait()
    pid = int(mark.read_text())
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError(f"job {pid} outlived run.py")
