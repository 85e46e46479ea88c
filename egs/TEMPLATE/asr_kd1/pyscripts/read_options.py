#!/usr/bin/env python3
"""Read the options of asr_kd.sh; print them as assignments that the shell evaluates.

    eval "$(read_options.py asr_kd.sh ARGUMENT ...)"

Every option that the table lists is assigned. What is wrong is told on stderr, a
sentence a line, and the status is 2. For --help, a command that prints it is printed.
"""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from option_table import Option, Table
from recipe_options import TABLE

STAGE = re.compile(r'^stage +(?P<number>[0-9]+) "(?P<title>[^"]+)"', re.MULTILINE)
WIDTH = 92


@dataclass
class Call:
    """A command line as it was read.

    Attributes:
        settings: Every option's value by its name.
        problems: What could not be read, a sentence each.
        asks_for_help: Whether ``-h`` or ``--help`` stands where an option does.
    """

    settings: dict[str, str]
    problems: list[str] = field(default_factory=list)
    asks_for_help: bool = False


def main(table: Table = TABLE) -> None:
    """Print what the shell evaluates, or end with what is wrong."""
    script, *arguments = sys.argv[1:]
    call = parse(arguments, table)
    if call.asks_for_help:
        text = help_text(Path(script).read_text(encoding="utf-8"), call.settings, table)
        print(f"printf '%s\\n' {shlex.quote(text)}; exit 0")
        return
    problems = [*call.problems, *problems_of(call.settings, table)]
    if problems:
        print("\n".join(f"{Path(script).name}: {p}" for p in problems), file=sys.stderr)
        sys.exit(2)
    print(assignments(call.settings))


def parse(arguments: list[str], table: Table = TABLE) -> Call:
    """Read ``--name value`` pairs; of two values of one option the later holds."""
    given: dict[str, str] = {}
    options = table.options
    call = Call({name: option.default for name, option in options.items()})
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name = word[2:].replace("-", "_")
        if word in ("-h", "--help"):
            call.asks_for_help = True
        elif not word.startswith("--"):
            call.problems.append(
                f"what is '{word}'? It is neither an option nor an option's value; a value "
                "of several words stands in quotes"
            )
        elif name not in options:
            call.problems.append(unknown(word, options))
            # Its value is no option either, and one complaint is enough.
            if rest and not rest[0].startswith("-"):
                rest.pop(0)
        elif not rest:
            call.problems.append(f"{word} needs a value after it")
        else:
            given[name] = rest.pop(0)
    task = given.get("task", call.settings["task"])
    call.settings |= dict(table.of_task.get(task, {})) | given
    return call


def unknown(word: str, options: Iterable[str]) -> str:
    """Say that an option does not exist, and which was probably meant."""
    close = get_close_matches(word, [f"--{name}" for name in options], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown option {word}; {hint}--help lists all"


def problems_of(settings: dict[str, str], table: Table = TABLE) -> list[str]:
    """What is wrong with each value; if nothing is, with what they say together."""
    options = table.options
    found = {name: options[name].kind.problem(value) for name, value in settings.items()}
    problems = [f"--{name}: {problem}" for name, problem in found.items() if problem]
    return problems or [*filter(None, (rule(settings) for rule in table.rules))]


def assignments(settings: dict[str, str]) -> str:
    """The settings as lines ``name=value``, quoted so that the shell runs none of them."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())


def help_text(script: str, settings: dict[str, str], table: Table = TABLE) -> str:
    """What ``--help`` prints: the script's own words, its stages, every option.

    Args:
        script: Text of the script, whose first comment and ``stage`` lines are quoted.
        settings: The values in force, which a recipe's run.sh may have changed.
        table: The options.
    """
    opening = script.partition("\nset ")[0].splitlines()[1:]
    stages = (f"  {m['number']:>2} {m['title']}" for m in STAGE.finditer(script))
    lines = [*(line[2:] for line in opening), "", "Stages:", *stages, ""]
    lines.append("Options, each with its value in this recipe where it has one:")
    for title, group in table.groups.items():
        lines += ["", f"  {title}"]
        for option in group:
            lines += option_help(option, settings[option.name])
    return "\n".join(lines)


def option_help(option: Option, value: str) -> list[str]:
    """An option's lines in the help: how it is given, its value, its sentences."""
    head = f"  --{option.name} {option.kind.shown}{f'  [{value}]' if value else ''}"
    indent = " " * 6
    body = textwrap.wrap(
        option.sentence,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )
    return [head, *body]


if __name__ == "__main__":
    main()
