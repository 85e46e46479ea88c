"""Whatever a page names is there: files, links, commands, options, settings, messages."""

import argparse
import importlib
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from pages import (
    FENCE,
    PAGES,
    VARIES,
    blocks,
    commands,
    files_of,
    headings,
    inline_code,
    links,
    messages,
    spaced,
)
from source import MODULES, PACKAGE, REPO

from espnet_kd.config.parse import KEYS, parse_config
from espnet_kd.config.shipped import shipped_confs
from espnet_kd.losses import LOSSES
from espnet_kd.tasks.arguments import KDConfAction

WORDS = 900
MESSAGES = 20
TROUBLESHOOTING = PACKAGE / "TROUBLESHOOTING.md"
BIN = "espnet_kd.bin."
# Words of a command line that stand for others.
STAND_INS = {"...", "DIR", "FILE", "NAME"}
# Options of other programs: ESPnet's asr.sh, pip.
FOREIGN = {"--asr_args", "--asr_config", "--asr_tag", "--python", "--exclude-editable"}
OWN_FOLDERS = ("conf/kd", "conf/pins", "egs", "espnet_kd", "tests")
PAGE_NAMES = [str(path.relative_to(REPO)) for path in PAGES]
each_page = pytest.mark.parametrize("path", PAGES, ids=PAGE_NAMES)


@cache
def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser of a command; stock trainings learn ``--kd_conf`` as they do here."""
    parser = importlib.import_module(module).get_parser()
    if module.endswith("_train"):
        parser.add_argument("--kd_conf", action=KDConfAction)
    return parser


@cache
def every_option() -> set[str]:
    """The options of all commands, and what any script of the repository reads."""
    found = set(FOREIGN)
    modules = [f"{BIN}{path.stem}" for path in (PACKAGE / "bin").glob("*.py")]
    modules = [m for m in modules if hasattr(importlib.import_module(m), "get_parser")]
    for module in [*modules, "espnet2.bin.asr_train", "espnet2.bin.asr_inference"]:
        found |= parser_of(module)._option_string_actions.keys()
    for path in [*files_of("*.py"), *files_of("*.sh"), REPO / "setup.py"]:
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"--[a-z]\w+", text))
        if path.name.endswith("_options.py"):
            found |= {f"--{name}" for name in re.findall(r'Option\(\s*"(\w+)"', text)}
    return found


def named_modules(words: list[str]) -> list[tuple[str, list[str]]]:
    """Each module that a command runs by ``-m``, with the words behind it."""
    places = [place for place, word in enumerate(words) if word == "-m"]
    return [(words[place + 1], words[place + 2 :]) for place in places]


def is_whole(words: list[str]) -> bool:
    return not STAND_INS & set(words)


def refused_words(module: str, words: list[str]) -> list[str]:
    """What a parser refuses: of a command that leaves words out, options; else all."""
    parser = parser_of(module)
    known = parser._option_string_actions
    if not is_whole(words):
        return [word for word in words if word.startswith("--") and word not in known]
    try:
        parser.parse_args(words)
    except SystemExit:  # its reason is on stderr
        return words
    return []


def with_what_it_needs(conf: dict) -> dict:
    """A part of a ``kd_conf``, completed to one that is valid."""
    losses = [{"type": "token_kl", "weight": 1.0}]
    cached = conf.get("targets", "live") != "live"
    teachers = {} if cached else {"teachers": [{"exp": "exp/asr_teacher"}]}
    return {"losses": losses, **teachers, **conf}


def test_the_first_page_is_short():
    assert len((REPO / "README.md").read_text(encoding="utf-8").split()) <= WORDS


def test_the_first_page_leads_to_what_won():
    text = (REPO / "README.md").read_text(encoding="utf-8")
    shell = "".join(blocks(text, "sh"))
    assert "recommended" in shell
    assert "hybrid" not in shell


def test_the_page_of_files_lists_them_all():
    text = (REPO / "conf" / "kd" / "README.md").read_text(encoding="utf-8")
    assert {conf.path.name for conf in shipped_confs()} <= set(links(text))


@each_page
def test_links_resolve(path):
    text = path.read_text(encoding="utf-8")
    missing = [link for link in links(text) if not (path.parent / link).exists()]
    assert missing == []
    for target, place in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", FENCE.sub("", text)):
        there = (path.parent / target) if target else path
        assert place in headings(there.read_text(encoding="utf-8")), place


@each_page
def test_files_are_there(path):
    text = path.read_text(encoding="utf-8")
    told = [*inline_code(text), *(word for words in commands(text) for word in words)]
    missing = {code.split()[0] for code in told if not is_there(code.split()[0], path)}
    assert sorted(missing - {"asr.sh"}) == []


def is_there(name: str, page: Path) -> bool:
    """Whether a file is there, or the name is none of a file of this repository."""
    near = any(list(folder.glob(name.strip("/"))) for folder in (REPO, page.parent))
    if name.startswith(OWN_FOLDERS) and "/" in name and "=" not in name:
        return near
    is_script = re.fullmatch(r"[\w/]+\.(py|sh)", name)
    return not is_script or near or bool(files_of(Path(name).name))


@pytest.mark.parametrize("rest", [["--lorses", "kl"], ["--lorses", "..."]])
def test_an_option_that_is_none_is_noticed(rest):
    assert "--lorses" in refused_words(f"{BIN}merge_cache", rest)


@each_page
def test_commands_are_understood(path, monkeypatch):
    monkeypatch.chdir(path.parent)  # from where a recipe's page names its configurations
    for words in commands(path.read_text(encoding="utf-8")):
        for module, rest in named_modules(words):
            if module.startswith((BIN, "espnet2.bin.")):
                assert refused_words(module, rest) == [], module


@each_page
def test_modules_are_there(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?<!espnet2\.)\bbin\.([a-z]\w+)", text)
    assert {f"{BIN}{name}" for name in named} <= MODULES.keys()


@each_page
def test_options_are_there(path):
    text = path.read_text(encoding="utf-8")
    told = [*inline_code(text), *(word for words in commands(text) for word in words)]
    words = [word for code in told for word in code.split()]
    options = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
    assert sorted(options - every_option()) == []


@each_page
def test_settings_are_valid(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "my_package.my_losses", ModuleType("my_losses"))
    text = path.read_text(encoding="utf-8")
    found = [yaml.safe_load(block) for block in blocks(text, "yaml")]
    found += [conf for code in inline_code(text) if (conf := setting(code)) is not None]
    for conf in found:
        assert parse_config(with_what_it_needs(conf), LOSSES, source=str(path))


def setting(code: str) -> dict | None:
    """A setting of the top level that stands in a line, with a value that YAML reads."""
    key, colon, value = code.partition(": ")
    is_named = key in KEYS and colon and not STAND_INS & set(value.split())
    return yaml.safe_load(code) if is_named else None


@each_page
def test_what_kd_conf_is_given_is_valid(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where no file goes before a shipped name
    for words in commands(path.read_text(encoding="utf-8")):
        check_kd_conf(" ".join(words))


@pytest.mark.parametrize("conf", shipped_confs(), ids=lambda conf: conf.name)
def test_what_a_head_gives_kd_conf_is_valid(conf, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = conf.path.read_text(encoding="utf-8")
    assert given_kd_conf(text)[0] == conf.name
    check_kd_conf(text)
    if re.search(r"^ +- (\{?)exp: ", text, re.MULTILINE):
        assert "--kd_conf teachers.0.exp=exp/" in text


def given_kd_conf(text: str) -> list[str]:
    return re.findall(r"--kd_conf[ =](\S+)", text)


def check_kd_conf(text: str) -> None:
    """Read the values of every ``--kd_conf`` in turn, and hold what comes of it."""
    values = given_kd_conf(text)
    if not values:
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--kd_conf", action=KDConfAction)
    base = ["recommended"] if "=" in values[0] else []
    conf = parser.parse_args([f"--kd_conf={v}" for v in base + values]).kd_conf
    assert parse_config(conf, LOSSES)


def test_messages_are_in_the_source():
    text = TROUBLESHOOTING.read_text(encoding="utf-8")
    quoted = re.findall(r"^> `(.+?)`$", text, re.MULTILINE | re.DOTALL)
    known = messages()
    assert len(quoted) >= MESSAGES
    wrong = [
        q for q in quoted if not any(spaced(q.replace("\n> ", " ")) in m for m in known)
    ]
    assert wrong == []


def test_a_message_is_found_by_its_words_with_a_mark_for_what_varies():
    known = messages()
    assert any(f"unknown task '{VARIES}'; {VARIES}" in message for message in known)
    assert not any("unknown task 'asr'" in message for message in known)
