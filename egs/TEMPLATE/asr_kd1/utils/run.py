#!/usr/bin/env python3
"""Run jobs on this machine, called as Kaldi's run.pl is.

    run.py [--gpu N] [--mem X] [--max-jobs-run M] [--name NAME] [JOB=1:nj] LOG COMMAND ...

JOB in the log's name and in the command becomes the job's number. Every log begins with
the command and ends with the time and the exit code. Options that name resources are
accepted and ignored, so that cmd.sh can change to queue.pl or slurm.pl and back. All jobs
end when this program is ended.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TextIO

RANGE = re.compile(r"(?P<name>\w+)=(?P<first>\d+)(:(?P<last>\d+))?")
RUNNING: set[subprocess.Popen[bytes]] = set()


@dataclass
class Call:
    """What the command line asks for."""

    log: str
    command: list[str]
    job_name: str = "JOB"
    jobs: list[int] = field(default_factory=lambda: [1])
    at_once: int = 0


def main() -> None:
    """Run the jobs; exit 1 and name the failed ones if there are any."""
    call = parse(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    width = call.at_once or len(call.jobs)
    with ThreadPoolExecutor(max_workers=max(width, 1)) as pool:
        codes = list(pool.map(lambda job: run_job(call, job), call.jobs))
    failed = [job for job, code in zip(call.jobs, codes, strict=True) if code]
    if failed:
        logs = " ".join(_numbered(call, call.log, job) for job in failed[:5])
        print(f"run.py: {len(failed)} of {len(codes)} failed: {logs}", file=sys.stderr)
        sys.exit(1)


def parse(arguments: list[str]) -> Call:
    """Read the command line in run.pl's form."""
    rest, at_once = list(arguments), 0
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if not rest:
            sys.exit(f"run.py: option {option} needs a value")
        value = rest.pop(0)
        if option in ("--max-jobs-run", "--max_jobs_run"):
            at_once = int(value)
    jobs, name = [1], "JOB"
    if rest and (match := RANGE.fullmatch(rest[0])):
        rest.pop(0)
        name, first = match["name"], int(match["first"])
        jobs = list(range(first, int(match["last"] or first) + 1))
    if len(rest) < 2:
        sys.exit(f"usage: {__doc__}")
    return Call(rest[0], rest[1:], name, jobs, at_once)


def run_job(call: Call, job: int) -> int:
    """Run one job into its log; gives its exit code."""
    log = Path(_numbered(call, call.log, job))
    command = [_numbered(call, word, job) for word in call.command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as out:
        print(f"# {shlex.join(command)}\n# Started at {time.ctime()}\n#", file=out)
        out.flush()
        start = time.monotonic()
        code = _wait(command, out)
        seconds = time.monotonic() - start
        print(f"# Accounting: time={seconds:.0f} threads=1", file=out)
        print(f"# Ended (code {code}) at {time.ctime()}", file=out)
    return code


def _wait(command: list[str], out: TextIO) -> int:
    try:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        print(f"run.py: cannot start {command[0]}: {error}", file=out)
        return 127
    RUNNING.add(process)
    code = process.wait()
    RUNNING.discard(process)
    return code


def _stop(number: int, _frame: FrameType | None) -> None:
    for process in list(RUNNING):
        os.killpg(process.pid, signal.SIGTERM)
    sys.exit(128 + number)


def _numbered(call: Call, text: str, job: int) -> str:
    return text.replace(call.job_name, str(job))


if __name__ == "__main__":
    main()
