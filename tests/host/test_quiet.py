"""Imports are quiet, and errors are not."""

import subprocess
import sys
import warnings

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


def test_deprecations_of_espnets_source_are_left_out_and_others_are_not():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with quiet.without_deprecations():
            for module in ("espnet2.asr.espnet_model", "recipe"):
                warnings.warn_explicit(module, FutureWarning, "x.py", 1, module=module)
            warnings.warn_explicit("real", UserWarning, "x.py", 1, module="espnet2.x")
    assert [str(warning.message) for warning in shown] == ["recipe", "real"]


def test_an_import_that_fails_shows_all_that_it_said(tmp_path):
    answer = run(tmp_path, "raise RuntimeError('no such device')\n")
    assert answer.returncode == 1
    assert answer.stdout == "before\n"
    for text in ("[nltk_data] Error", "straight to the terminal", "no such device"):
        assert text in answer.stderr
