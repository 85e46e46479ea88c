"""Every command's --help: sentences that stand alone, and an example that parses."""

import argparse
import importlib
import pkgutil
import re
import shlex

import pytest

import espnet_kd.bin
from espnet_kd.bin.command import PROGRAM, command_parser

# A help that begins so leans on the option's name or on the line above.
LEANING = (
    *("a", "an", "and", "as", "at", "beside", "but", "by", "default", "for", "from", "how"),
    *("if", "in", "into", "it", "its", "more", "of", "on", "or", "per", "than", "that"),
    *("the", "their", "them", "these", "this", "those", "to", "what", "when", "with"),
)
# Pronouns that have no noun in a text of one sentence; "their", "its" may have one.
NOUNLESS = re.compile(r"\b(it|them|against it|(of|on) (these|those))\b", re.IGNORECASE)


def modules():
    """Every module of ``espnet_kd.bin`` that is a command."""
    for info in pkgutil.iter_modules(espnet_kd.bin.__path__):
        module = importlib.import_module(f"espnet_kd.bin.{info.name}")
        if hasattr(module, "get_parser"):
            yield info.name, module


COMMANDS = dict(modules())


def complaint(text):
    """What is wrong with a help text, if anything."""
    if not text:
        return "is missing"
    first = re.match(r"[\w']*", text)[0]
    if first.lower() in LEANING:
        return f"begins with '{first}', which leans on what is not there"
    if not text[0].isupper():
        return "does not begin with a capital"
    if not text.endswith("."):
        return "does not end with a period"
    if found := NOUNLESS.search(text):
        return f"says '{found[0]}' and not what"
    if len(text.split()) < 3:
        return "is no sentence"
    return None


def examples(parser):
    """The command lines of a parser's epilog that call the command itself."""
    lines = parser.epilog.replace("\\\n", " ").splitlines()
    calls = [shlex.split(line) for line in lines]
    start = parser.prog.split()
    return [call[len(start) :] for call in calls if call[: len(start)] == start]


def test_a_module_that_can_run_is_a_command():
    found = [info.name for info in pkgutil.iter_modules(espnet_kd.bin.__path__)]
    assert sorted(COMMANDS) == sorted(set(found) - {"command"})


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_is_a_sentence_that_stands_alone(name):
    actions = COMMANDS[name].get_parser()._actions
    declared = [a for a in actions if not isinstance(a, argparse._HelpAction)]
    problems = {a.option_strings[0]: complaint(a.help) for a in declared}
    assert {option: text for option, text in problems.items() if text} == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_an_example_that_parses(name):
    parser = COMMANDS[name].get_parser()
    assert parser.prog == f"{PROGRAM}{name}"
    calls = examples(parser)
    assert calls
    for call in calls:
        parser.parse_args(call)
    assert parser.format_help().endswith(f"{parser.epilog}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_opens_with_a_sentence(name):
    first = COMMANDS[name].__doc__.splitlines()[0]
    assert complaint(first) is None, first


def test_one_option_means_one_thing_in_all_commands():
    """Options that several commands share have one help text, but for what is named."""
    texts = {}
    for module in COMMANDS.values():
        for action in module.get_parser()._actions:
            option = action.option_strings[-1]
            texts.setdefault(option, set()).add(action.help)
    for option in ("--file", "--inference_config", "--ngpu", "--utterances"):
        assert len(texts[option]) == 1, texts[option]
    roles = {re.sub(r"\b(models?|teacher)\b", "ROLE", text) for text in texts["--task"]}
    assert roles == {"ESPnet task of the ROLE."}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "is missing"),
        ("of them", "begins with 'of'"),
        ("percent, against it", "does not begin with a capital"),
        ("Percent, against it.", "says 'against it'"),
        ("As of asr_inference.", "begins with 'As'"),
        ("Number of jobs", "does not end with a period"),
        ("Jobs.", "is no sentence"),
    ],
)
def test_riddles_are_refused(text, expected):
    assert complaint(text).startswith(expected)


def test_defaults_are_told_where_there_are_some():
    parser = command_parser("score", "D.", "python x")
    parser.add_argument("--some", default=3, help="Number of things.")
    parser.add_argument("--none", default=None, help="Path of nothing.")
    parser.add_argument("--flag", action="store_true", help="Whether to.")
    parser.add_argument("--list", action="append", default=[], help="Many of these.")
    text = re.sub(r"\s+", " ", parser.format_help())
    assert "Number of things. Default: 3." in text
    assert text.count("Default:") == 1
