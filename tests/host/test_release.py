"""Which ESPnet this package takes hold of, and what it says of any other."""

import importlib.util
import logging
import os
import subprocess
import sys

import pytest
from conftest import REPO

from espnet_kd.bin.command import named_errors
from espnet_kd.errors import KDError
from espnet_kd.host import release
from espnet_kd.host.compat import TASKS, task_class
from espnet_kd.host.release import (
    absence_of,
    check_hook_points,
    explained_absence,
    torchaudio_requirement,
    warn_of_untested_release,
)


@pytest.fixture
def fresh():
    """The warning is given once a process; here once a test."""
    warn_of_untested_release.cache_clear()
    yield
    warn_of_untested_release.cache_clear()


@pytest.mark.parametrize("name", TASKS)
def test_this_espnet_has_all_that_is_taken_hold_of(name):
    check_hook_points(task_class(name))


def test_what_is_missing_is_named_in_a_sentence(monkeypatch):
    class Trainer:
        @classmethod
        def run(cls, model, trainer_options): ...
        @classmethod
        def resume(cls, **everything): ...
        @classmethod
        def train_one_epoch(cls, model, iterator): ...

    class OldTask:
        trainer = Trainer

    for name, parameters in release.TASK_POINTS.items():
        if name != "build_collate_fn":
            scope = {}
            exec(f"def {name}(cls, {', '.join(parameters)}): ...", scope)
            setattr(OldTask, name, classmethod(scope[name]))
    monkeypatch.setattr(release, "espnet_release", lambda: "201912")
    with pytest.raises(KDError) as error:
        check_hook_points(OldTask)
    assert str(error.value) == (
        "ESPnet 201912 has no OldTask.build_collate_fn, Trainer.plot_attention, "
        "Trainer.train_one_epoch(options), where distillation takes hold; install a "
        "release of ESPnet that has, such as 202511 or 202611"
    )


def test_the_variant_of_such_a_task_is_not_made(monkeypatch):
    from espnet_kd.tasks import variants

    monkeypatch.delitem(vars(variants), "KDASRTask", raising=False)
    monkeypatch.delattr(task_class("asr").trainer, "plot_attention")
    with pytest.raises(KDError, match=r"has no Trainer\.plot_attention, where"):
        variants.__getattr__("KDASRTask")


@pytest.mark.parametrize(
    ("found", "head"), [("202507", "ESPnet 202507 was"), (None, "ESPnet of an unknown rel")]
)
def test_a_release_that_was_not_tested_has_one_warning(
    found, head, fresh, monkeypatch, caplog
):
    monkeypatch.setattr(release, "espnet_release", lambda: found)
    with caplog.at_level(logging.WARNING):
        warn_of_untested_release()
        warn_of_untested_release()
    (record,) = caplog.records
    assert record.getMessage().startswith(head)
    assert "202511, 202611 were" in record.getMessage()


@pytest.mark.parametrize("found", release.TESTED)
def test_a_release_that_was_tested_has_none(found, fresh, monkeypatch, caplog):
    monkeypatch.setattr(release, "espnet_release", lambda: found)
    warn_of_untested_release()
    assert not caplog.records


@pytest.mark.parametrize(
    ("torch", "requirement"),
    [
        ("2.10.1", "torchaudio==2.10.*"),
        ("2.11.0+cpu", "torchaudio==2.11.*"),
        ("2.14.1", "torchaudio==2.11.*"),
        ("main", "torchaudio"),
    ],
)
def test_the_torchaudio_of_a_torch(torch, requirement, monkeypatch):
    monkeypatch.setattr(release, "version", lambda name: torch)
    assert torchaudio_requirement() == requirement


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        ("espnet2", "ESPnet is not installed, which this package adds distillation to; "),
        ("espnet2.bin.asr_train", "ESPnet is not installed"),
        ("torch", "torch is not installed, which ESPnet needs; install it: pip install t"),
        ("torchaudio", "torchaudio is not installed, which ESPnet's speech tasks import"),
    ],
)
def test_what_is_not_installed_is_said_by_commands(module, sentence, monkeypatch):
    monkeypatch.setattr(release, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as end, named_errors("measure"):
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)
    assert str(end.value).startswith(f"measure: {sentence}")


def test_any_other_absence_stays_what_it_is():
    with pytest.raises(ModuleNotFoundError, match="s3prl"), explained_absence():
        raise ModuleNotFoundError("No module named 's3prl'", name="s3prl")
    # Installed, and a part of it is not there: that is no matter of installing.
    assert absence_of("espnet2.bin.asr_trian") == ""


HIDE = """
import sys
sys.modules |= dict.fromkeys({hidden!r})
from espnet_kd.__main__ import main
main([*{command!r}, "-m", "espnet2.bin.asr_train", "--kd_conf", "ctc"])
"""


@pytest.mark.parametrize(
    ("hidden", "sentence"),
    [
        (["espnet2", "torch", "torchaudio"], "ESPnet is not installed"),
        pytest.param(["torchaudio"], "torchaudio is not installed", marks=pytest.mark.slow),
    ],
)
def test_a_training_without_it_ends_in_one_sentence(hidden, sentence):
    answer = without(hidden)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(f"espnet_kd: {sentence}")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("hidden", "sentence"),
    [
        (["espnet2", "torch", "torchaudio"], "torch is not installed"),
        pytest.param(["espnet2"], "ESPnet is not installed", marks=pytest.mark.slow),
    ],
)
def test_so_does_the_check_of_one(hidden, sentence):
    answer = without(hidden, "check")
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"check: {sentence}")
    assert answer.stderr.count("\n") == 1


def without(hidden, *command):
    """What a training says, or the command that is given it, where packages are hidden."""
    assert importlib.util.find_spec("espnet2"), "the tests themselves have it"
    return subprocess.run(
        [sys.executable, "-c", HIDE.format(hidden=hidden, command=command)],
        env=os.environ | {"PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
