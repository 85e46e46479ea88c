"""--kd_conf for a task without distillation: a sentence, never a usage."""

import argparse
import importlib.util
from pathlib import Path

import pytest

from espnet_kd.host.known_tasks import REFUSED, TASKS, TRAININGS
from espnet_kd.tasks.unknown import explained_kd_conf


def refused(capsys, *arguments, message=None):
    parser = argparse.ArgumentParser(prog="new_train.py")
    parser.add_argument("--lr", type=float)
    with explained_kd_conf(), pytest.raises(SystemExit) as stop:
        parser.parse_args(arguments) if message is None else parser.error(message)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [("--kd_conf", "x.yaml"), ("--kd_conf=x.yaml",), ("--lr", "1", "-v", "--kd_conf", "x")],
)
def test_an_option_is_answered_by_who_knows_it(capsys, arguments):
    known = ", ".join(f"espnet2.bin.{task}_train" for task in TASKS)
    assert refused(capsys, *arguments) == (
        "espnet_kd: new_train.py has no distillation, so that its kd_conf would be "
        f"ignored; these have it: {known}. Train one of them, or leave the kd_conf out\n"
    )


def test_every_training_of_espnet_distils_or_has_its_reason():
    found = importlib.util.find_spec("espnet2")
    folder = Path(found.submodule_search_locations[0]) / "bin"
    trainings = {path.stem for path in folder.glob("*_train*.py")} - {"lightning_train"}
    assert len(trainings) > 20
    distil = {name.rpartition(".")[2] for name in TRAININGS}
    assert trainings - distil - REFUSED.keys() == set()
    assert not distil & REFUSED.keys()


def test_a_reason_and_what_works_are_named(capsys):
    parser = argparse.ArgumentParser(prog="gan_tts_train.py")
    with explained_kd_conf(), pytest.raises(SystemExit):
        parser.parse_args(["--kd_conf", "x.yaml"])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "take turns, and a teacher has nothing to say in the discriminator's" in said
    assert (
        "distil an acoustic model by tts_train); these have it: espnet2.bin.asr_t" in said
    )


def test_so_is_a_key_of_a_training_configuration(capsys):
    message = "unrecognized arguments: kd_conf (from conf/train.yaml)"
    assert refused(capsys, message=message).startswith("espnet_kd: new_train.py has no")


@pytest.mark.parametrize(
    "arguments", [("--kd_config", "x"), ("--file", "conf/kd_conf.yaml"), ("--lr", "a")]
)
def test_everything_else_is_left_to_the_parser(capsys, arguments):
    error = refused(capsys, *arguments)
    assert error.startswith("usage: new_train.py")
    assert "espnet_kd" not in error


def test_afterwards_argparse_is_as_it_was():
    stock = argparse.ArgumentParser.error
    with explained_kd_conf():
        assert argparse.ArgumentParser.error is not stock
    assert argparse.ArgumentParser.error is stock
