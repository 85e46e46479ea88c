#!/usr/bin/env python3
"""Read the options of asr_kd.sh; print them as assignments that the shell evaluates.

    eval "$(read_options.py asr_kd.sh ARGUMENT ...)"

Every option that recipe_options.py lists is assigned. What is wrong is told on stderr, a
sentence a line, and the status is 2. For --help, a command that prints it is printed.
"""

from __future__ import annotations

import re
import shlex
import sys
import textwrap
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from corpora import SETS
from recipe_options import GROUPS, OF_TASK, OPTIONS, Option

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


def main(cmd: list[str] | None = None) -> None:
    """Print what the shell evaluates, or end with what is wrong."""
    script, *arguments = sys.argv[1:] if cmd is None else cmd
    call = parse(arguments)
    if call.asks_for_help:
        text = help_text(Path(script).read_text(encoding="utf-8"), call.settings)
        print(f"printf '%s\\n' {shlex.quote(text)}; exit 0")
        return
    problems = [*call.problems, *problems_of(call.settings)]
    if problems:
        print("\n".join(f"{Path(script).name}: {p}" for p in problems), file=sys.stderr)
        sys.exit(2)
    print(assignments(call.settings))


def parse(arguments: list[str]) -> Call:
    """Read ``--name value`` pairs; of two values of one option the later holds."""
    given: dict[str, str] = {}
    call = Call({name: option.default for name, option in OPTIONS.items()})
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
        elif name not in OPTIONS:
            call.problems.append(unknown(word))
            # Its value is no option either, and one complaint is enough.
            if rest and not rest[0].startswith("-"):
                rest.pop(0)
        elif not rest:
            call.problems.append(f"{word} needs a value after it")
        else:
            given[name] = rest.pop(0)
    task = given.get("task", call.settings["task"])
    call.settings |= OF_TASK.get(task, {}) | given
    return call


def unknown(word: str) -> str:
    """Say that an option does not exist, and which was probably meant."""
    close = get_close_matches(word, [f"--{name}" for name in OPTIONS], n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"unknown option {word}; {hint}--help lists all"


def problems_of(settings: dict[str, str]) -> list[str]:
    """What is wrong with each value; if nothing is, with what they say together."""
    found = {name: OPTIONS[name].kind.problem(value) for name, value in settings.items()}
    problems = [f"--{name}: {problem}" for name, problem in found.items() if problem]
    return problems or [*filter(None, (rule(settings) for rule in RULES))]


def stages_that_run(settings: dict[str, str]) -> str:
    """Refuse a run that ends before it begins."""
    first, last = settings["stage"], settings["stop_stage"]
    if int(first) <= int(last):
        return ""
    return f"--stop_stage {last} is before --stage {first}: no stage is left to run"


def corpus_of_stage_1(settings: dict[str, str]) -> str:
    """Refuse a corpus that stage 1 is asked for and does not know."""
    first, last = int(settings["stage"]), int(settings["stop_stage"])
    corpus = settings["corpus"]
    own = settings["prepared"] or settings["kaldi_data"]
    if own or not first <= 1 <= last or corpus in SETS:
        return ""
    close = get_close_matches(corpus, SETS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return (
        f"--corpus {corpus} is none that stage 1 prepares ({', '.join(sorted(SETS))}); "
        f"{hint}Give data of your own by --kaldi_data or --prepared"
    )


def something_to_learn(settings: dict[str, str]) -> str:
    """Refuse a distilled student that would have nothing from its teacher."""
    other = settings["unlabelled_set"] or settings["init_student"] == "true"
    if settings["kd_config"] != "none" or other:
        return ""
    return (
        "--kd_config none needs --unlabelled_set or --init_student true: there is nothing "
        "else to have from a teacher"
    )


def unperturbed(settings: dict[str, str]) -> str:
    """Refuse speeds for data that is ready."""
    if not settings["prepared"] or not settings["speed_perturb_factors"]:
        return ""
    return "--prepared data is not perturbed here: clear --speed_perturb_factors"


def one_origin(settings: dict[str, str]) -> str:
    """Refuse data of two origins."""
    if not settings["prepared"] or not settings["kaldi_data"]:
        return ""
    return "--prepared and --kaldi_data both name the data: keep one of them"


def lattices_are_live(settings: dict[str, str]) -> str:
    """Refuse targets on disk of a transducer, whose lattice would not fit."""
    if settings["task"] != "asr_transducer" or settings["cache_targets"] != "true":
        return ""
    return (
        "--cache_targets true holds no transducer's lattice: leave it out with --task "
        "asr_transducer, whose teacher teaches live"
    )


def ready_features(settings: dict[str, str]) -> str:
    """Refuse audio where features are to be ready."""
    folder = Path(settings["prepared"]) / settings["train_set"]
    has_features = (folder / "feats.scp").exists() or not (folder / "wav.scp").exists()
    if not settings["prepared"] or settings["feats_type"] == "raw" or has_features:
        return ""
    return (
        f"{folder} has audio (wav.scp) and no features (feats.scp): give the folder by "
        "--kaldi_data, and stages 2 to 4 make them"
    )


RULES = (
    stages_that_run,
    corpus_of_stage_1,
    something_to_learn,
    unperturbed,
    one_origin,
    lattices_are_live,
    ready_features,
)


def assignments(settings: dict[str, str]) -> str:
    """The settings as lines ``name=value``, quoted so that the shell runs none of them."""
    return "\n".join(f"{name}={shlex.quote(value)}" for name, value in settings.items())


def help_text(script: str, settings: dict[str, str]) -> str:
    """What ``--help`` prints: the script's own words, its stages, every option.

    Args:
        script: Text of asr_kd.sh, whose first comment and ``stage`` lines are quoted.
        settings: The values in force, which a recipe's run.sh may have changed.
    """
    opening = script.partition("\nset ")[0].splitlines()[1:]
    stages = (f"  {m['number']:>2} {m['title']}" for m in STAGE.finditer(script))
    lines = [*(line[2:] for line in opening), "", "Stages:", *stages, ""]
    lines.append("Options, each with its value in this recipe where it has one:")
    for title, group in GROUPS.items():
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
