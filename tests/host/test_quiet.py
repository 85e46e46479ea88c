"""Imports are quiet, and errors are not."""

import subprocess
import sys

from conftest import REPO

from espnet_kd.host import quiet

NOISE = """
import logging, os, sys, warnings
print("[nltk_data] Error loading cmudict")
warnings.warn("deprecated", FutureWarning)
logging.getLogger("loud").warning("Failed to import Flash Attention")
os.write(2, b"straight to the terminal")
handler = logging.StreamHandler()
"""
USE = """
from espnet_kd.host.quiet import quiet_import
print("before")
loud = quiet_import("loud")
print("later")
loud.handler.emit(loud.logging.makeLogRecord({"msg": "a warning of its log"}))
"""


def run(tmp_path, more=""):
    """Import a module of that noise and more, in a process with a terminal of its own."""
    (tmp_path / "loud.py").write_text(NOISE + more)
    return subprocess.run(
        [sys.executable, "-c", USE],
        env={"PYTHONPATH": f"{REPO}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_nothing_is_said_and_everything_can_be_said_after(tmp_path):
    answer = run(tmp_path)
    assert answer.stdout == "before\nlater\n"
    assert answer.stderr == "a warning of its log\n"


def test_what_is_imported_already_leaves_the_terminal_alone(monkeypatch):
    monkeypatch.setattr(quiet, "_silence", None)
    assert quiet.quiet_import("subprocess") is subprocess


def test_an_import_that_fails_shows_all_that_it_said(tmp_path):
    answer = run(tmp_path, "raise RuntimeError('no such device')\n")
    assert answer.returncode == 1
    assert answer.stdout == "before\n"
    for text in ("[nltk_data] Error", "straight to the terminal", "no such device"):
        assert text in answer.stderr
