"""One case: a copy of the world with one hostile file, a command, a verdict."""

import faulthandler
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hostile.commands import BY_NAME, Command
from hostile.mutate import MUTATIONS
from hostile.world import UTTS

SECONDS = 60.0
MEMORY = 3 << 30  # above what the process holds before the case
SENTENCE = 6500  # characters: a configuration's problems are told all at once
CANARY = "canary"
MESSAGES = "messages"
# What the harness writes, and what the end of a process would have removed.
LEFT = (MESSAGES, "tmp/tmp")


@dataclass(frozen=True)
class Case:
    """One hostile file in front of one command.

    Attributes:
        command: Name of the command.
        file: The file that is made hostile.
        mutation: What is done to it.
        seed: Of the mutation.
    """

    command: str
    file: str
    mutation: str
    seed: int

    def __str__(self) -> str:
        """By which it can be repeated: see ``named``."""
        return f"{self.command} {self.file} {self.mutation} {self.seed}"


def named(text: str) -> Case:
    """A case by what it is called."""
    command, file, mutation, seed = text.split()
    return Case(command, file, mutation, int(seed))


class VerdictError(Exception):
    """What a command may not do; says what it was."""


def run(case: Case, healthy: Path, ground: Path) -> str:
    """Run a case in a process of its own.

    Args:
        case: The case.
        healthy: The healthy world.
        ground: An empty folder for the case, outside of which nothing may change.

    Returns:
        ``done``, or the sentence.

    Raises:
        VerdictError: If it was neither.
    """
    command, folder = BY_NAME[case.command], ground / "here"
    shutil.copytree(healthy, folder, symlinks=True)
    (ground / "tmp").mkdir()
    os.environ["HOSTILE_CANARY"] = str(ground / CANARY)
    MUTATIONS[case.mutation].apply(folder / case.file, Random(str(case)), ground / CANARY)
    before = dict(_seen(ground))
    kind, text = _in_process(command, folder, ground)
    problems = [] if kind == "hung" else [*_changed(command, before, dict(_seen(ground)))]
    shown = (ground / MESSAGES).read_text(encoding="utf-8", errors="replace")
    problems += _wrong(kind, text, shown, case)
    there = [(folder / path).exists() for path in command.results]
    if kind == "done" and not all(there):
        problems.append(f"status 0 without {command.results}")
    if kind == "said" and any(there):
        problems.append("what looks like a whole result after a refusal")
    if problems:
        raise VerdictError("; ".join(problems))
    return "done" if kind == "done" else text


def _wrong(kind: str, text: str, shown: str, case: Case) -> Iterator[str]:
    """What is wrong with how it ended."""
    if kind not in ("done", "said"):
        yield f"{kind}: {text}"
    if kind != "said":
        return
    if len(text) > SENTENCE:
        yield f"a message of {len(text)} characters: {text[:200]}"
    if BY_NAME[case.command].says and not text.strip():
        yield "status 1 without a word"
    if "Traceback" in text:
        yield f"a traceback: {text[-300:]}"
    path = Path(case.file)
    places = {path.name, path.stem, path.name.partition(".")[0]}
    places |= {str(parent) for parent in path.parents} - {"."}
    places |= {*BY_NAME[case.command].places}
    if text and not any(place in text + shown for place in (*places, *UTTS)):
        yield f"a message that does not name {case.file}: {text[:300]}"


def _seen(ground: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Every file below, with what tells that it was written."""
    for folder, _, files in os.walk(ground):
        for name in files:
            path = Path(folder) / name
            stat = path.lstat()
            found = (stat.st_size, stat.st_mtime_ns, stat.st_mode)
            yield str(path.relative_to(ground)), found


def _changed(
    command: Command, before: dict[str, object], after: dict[str, object]
) -> Iterator[str]:
    """What was written where nothing may be written, or is half written."""
    for path in before.keys() | after.keys():
        if before.get(path) == after.get(path) or path.startswith(LEFT):
            continue
        if path == CANARY:
            yield "the canary is there: something was executed"
        elif not path.startswith(tuple(f"here/{place}" for place in command.writes)):
            yield f"{path} was written or removed"


def _in_process(command: Command, folder: Path, ground: Path) -> tuple[str, str]:
    """How a command ended: ``done``, ``said``, ``raised``, ``hung`` or ``died``."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(command, folder, ground, writing)
    os.close(writing)
    answer, status = _wait(child, reading)
    os.close(reading)
    if answer:
        kind, text = json.loads(answer)
        return kind, text
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "hung", f"more than {SECONDS:.0f} s, or killed"
    return "died", f"status {status}"


def _wait(child: int, reading: int) -> tuple[bytes, int]:
    """What a process wrote before it ended or was ended."""
    answer, due = b"", time.monotonic() + SECONDS
    while time.monotonic() < due:
        if select.select([reading], [], [], 0.5)[0]:
            block = os.read(reading, 1 << 16)
            answer += block
            if not block:
                break
    else:
        os.killpg(child, signal.SIGKILL)
        answer = b""
    return answer, os.waitpid(child, 0)[1]


def _child(command: Command, folder: Path, ground: Path, writing: int) -> None:
    """Run the command and never return."""
    try:
        os.setsid()
        faulthandler.disable()  # pytest's, which would tell of a crash in its own output
        with open(ground / MESSAGES, "w", encoding="utf-8") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
        tempfile.tempdir = str(ground / "tmp")
        os.chdir(folder)
        found = _ended(command, ground)
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(writing, json.dumps(found).encode())
    finally:
        os._exit(0)


def _ended(command: Command, ground: Path) -> tuple[str, str]:
    try:
        command.call(command.line.split())
    except SystemExit as end:
        if end.code is None or end.code == 0:
            return "done", ""
        if isinstance(end.code, str):
            return "said", end.code
        sys.stderr.flush()
        return "said", (ground / MESSAGES).read_text(encoding="utf-8")[-SENTENCE:]
    except BaseException as error:
        places = traceback.extract_tb(error.__traceback__)
        own = [p for p in places if "/espnet_kd/" in p.filename or "asr_kd1" in p.filename]
        last = [f"{Path(p.filename).name}:{p.lineno}" for p in (*own[-2:], places[-1])]
        return "raised", f"{type(error).__name__} at {' '.join(last)}: {str(error)[:200]}"
    return "done", ""
