"""The frame of every command: what it prints, how it ends, what it declares."""

import argparse
import sys

import pytest

from espnet_kd.bin.command import (
    add_choice,
    add_compression,
    add_data,
    choice_of,
    command_parser,
    named_errors,
    run_command,
)
from espnet_kd.errors import ArgumentsError, KDError, Problem
from espnet_kd.student.build import Choice


@pytest.fixture
def parser():
    """The parser of a command with one argument."""
    parser = command_parser("some", "Do something.", "\npython -m espnet_kd.bin.some 3\n")
    parser.add_argument("number", type=int, help="Number of things.")
    return parser


def test_an_answer_is_printed_and_none_is_not(parser, capsys):
    run_command(parser, lambda args: f"{args.number} things", ["3"])
    run_command(parser, lambda args: None, ["3"])
    assert capsys.readouterr().out == "3 things\n"


def test_without_arguments_the_programs_own_are_taken(parser, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "7"])
    run_command(parser, lambda args: str(args.number), None)
    assert capsys.readouterr().out == "7\n"


def test_a_known_error_ends_in_a_sentence_and_another_in_its_traceback(parser):
    def fail(args):
        raise KDError("there is nothing")

    def break_down(args):
        raise ZeroDivisionError

    with pytest.raises(SystemExit, match=r"^some: there is nothing$"):
        run_command(parser, fail, ["3"])
    with pytest.raises(ZeroDivisionError):
        run_command(parser, break_down, ["3"])
    arguments = ArgumentsError([Problem("max_wer", "is wrong")])
    message = r"^other: max_wer: is wrong$"
    with pytest.raises(SystemExit, match=message), named_errors("other"):
        raise arguments


def test_the_example_stands_below(parser, capsys):
    with pytest.raises(SystemExit, match="0"):
        parser.parse_args(["--help"])
    said = capsys.readouterr().out
    assert said.startswith("usage: python -m espnet_kd.bin.some [-h] number\n")
    assert said.endswith("example:\n  python -m espnet_kd.bin.some 3\n")


@pytest.mark.parametrize(
    ("repeated", "required", "expected"),
    [(False, False, None), (True, False, []), (True, True, ["a,b,c"])],
)
def test_data_may_be_required_or_repeated(repeated, required, expected):
    parser = argparse.ArgumentParser()
    add_data(parser, "for it", required=required, repeated=repeated)
    given = ["--data_path_and_name_and_type", "a,b,c"] if required else []
    assert parser.parse_args(given).data_path_and_name_and_type == expected
    if required:
        with pytest.raises(SystemExit):
            parser.parse_args([])


def test_a_choice_is_read_from_its_arguments():
    parser = argparse.ArgumentParser()
    add_choice(parser, "teacher")
    assert choice_of(parser.parse_args(["--exp", "e"])) == Choice(
        {"encoder": "uniform", "decoder": "uniform"}
    )
    more = ["--decoder_layers", "0,2", "--importance", "taylor", "--batches", "7"]
    more += ["--data_path_and_name_and_type", "a,speech,sound", "--seed", "3"]
    assert choice_of(parser.parse_args(["--exp", "e", *more])) == Choice(
        {"encoder": "uniform", "decoder": "0,2"}, "taylor", ("a,speech,sound",), 7, 3
    )


def test_compression_takes_what_it_took():
    parser = argparse.ArgumentParser()
    add_compression(parser)
    found = vars(parser.parse_args(["--exp", "e"]))
    assert found == {
        **{"exp": "e", "file": None, "task": "asr", "output": None, "utterances": 20},
        "data_path_and_name_and_type": None,
    }
