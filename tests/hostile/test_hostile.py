"""Hostile files: every command answers by a whole result or by a sentence.

KD_HOSTILE        how many cases are drawn (default: 500)
KD_HOSTILE_SEED   other files, mutations and places (default: 0)
KD_SHARE          1/2 takes every other of them, 2/2 the rest (default: 1/1)
KD_HOSTILE_CASE   one case by its name, as a failure prints it
"""

import os
import shutil
import sys
import time
from pathlib import Path

import pytest
from hostile import trial
from hostile.commands import COMMANDS, Command
from hostile.draw import cases
from hostile.mutate import MUTATIONS, mutations_of
from hostile.trial import Case, VerdictError, named, run
from shares import share_of

SEED = int(os.environ.get("KD_HOSTILE_SEED", "0"))
COUNT = int(os.environ.get("KD_HOSTILE", "500"))
ONE = os.environ.get("KD_HOSTILE_CASE", "")
FEW, SHARD = 40, 20
DRAWN = [named(ONE)] if ONE else share_of(cases(SEED, COUNT))


def check(drawn: list[Case], healthy: Path, folder: Path) -> None:
    """Fail with everything that commands did wrong."""
    wrong = []
    for case in drawn:
        ground = folder / "ground"
        ground.mkdir()
        try:
            run(case, healthy, ground)
        except VerdictError as error:
            wrong.append(f"KD_HOSTILE_CASE='{case}' {error}")
        shutil.rmtree(ground)
    assert not wrong, "\n".join(["", *wrong, "repeat by KD_HOSTILE_CASE=... pytest"])


@pytest.mark.parametrize("start", range(0, FEW, SHARD))
def test_a_few_cases_are_answered(start, healthy, tmp_path):
    drawn = cases(SEED, FEW, slow=False)
    check(drawn[start : start + SHARD], healthy, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, len(DRAWN), SHARD))
def test_every_case_is_answered(start, healthy, tmp_path):
    check(DRAWN[start : start + SHARD], healthy, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_what_is_healthy_is_done(command, healthy, tmp_path):
    shutil.copytree(healthy, tmp_path / "here")
    (tmp_path / "tmp").mkdir()
    kind, text = trial._in_process(command, tmp_path / "here", tmp_path)
    shown = (tmp_path / trial.MESSAGES).read_text()
    expected = "done" if command.says else "said"
    assert kind == expected, f"{text}\n{shown}"
    if command.says:
        assert all((tmp_path / "here" / path).exists() for path in command.results)


def test_everything_that_is_read_can_be_made_hostile():
    drawn = cases(3, 12_000)
    wanted = {(c.name, f, m) for c in COMMANDS for f in c.reads for m in mutations_of(f)}
    assert {(case.command, case.file, case.mutation) for case in drawn} == wanted
    assert {case.mutation for case in drawn} == set(MUTATIONS)


def test_a_case_is_found_by_its_name():
    for case in cases(0, 50):
        assert named(str(case)) == case


def _fail(_arguments):
    raise KeyError("x")


def _escape(_arguments):
    Path("../evil").write_text("x")


def _execute(_arguments):
    os.system('touch "$HOSTILE_CANARY"')


def _wait(_arguments):
    time.sleep(60)


def _eat(_arguments):
    bytearray(8 << 30)


def _crash(_arguments):
    os.abort()


def _mumble(_arguments):
    sys.exit("something went wrong")


def _leave(_arguments):
    Path("out").mkdir()
    Path("out/result").write_text("")
    sys.exit("data/text is bad")


def _do_nothing(_arguments):
    """As if everything were well."""


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (_fail, "raised: KeyError"),
        (_escape, "evil was written or removed"),
        (_execute, "something was executed"),
        (_wait, "hung: more than 1 s"),
        (_eat, "raised: MemoryError"),
        (_crash, "died"),
        (_mumble, "a message that does not name data/text"),
        (_leave, "looks like a whole result after a refusal"),
        (_do_nothing, r"status 0 without \('out/result',\)"),
    ],
)
def test_what_a_command_may_not_do_is_seen(call, text, healthy, tmp_path, monkeypatch):
    command = Command("bad", call, "", ("data/text",), ("out/result",))
    monkeypatch.setitem(trial.BY_NAME, "bad", command)
    monkeypatch.setattr(trial, "SECONDS", 1.0)
    with pytest.raises(VerdictError, match=text):
        run(Case("bad", "data/text", "empty", 0), healthy, tmp_path)
