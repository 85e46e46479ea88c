"""Text, YAML and JSON of strangers: plain values of a sane size, or a sentence."""

import json
import os

import pytest

from espnet_kd import documents
from espnet_kd.documents import parse_json, parse_yaml, read_json, read_text, read_yaml
from espnet_kd.errors import ExperimentError, KDError

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{key}: &{key} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, key in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_plain_values_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [1, 2.5, true, null, 'x', {b: é}]\n")
    plain = {"a": [1, 2.5, True, None, "x", {"b": "é"}]}
    assert read_yaml(tmp_path / "a.yaml", "a.yaml") == plain
    (tmp_path / "a.json").write_text(json.dumps(plain))
    assert read_json(tmp_path / "a.json", "a.json") == plain


def test_an_alias_that_is_used_twice_is_two_values():
    assert parse_yaml("a: &a [1]\nb: *a", "here") == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (LAUGHS, "it means more than 1,000,000 values"),
        ("&a [*a]", "it is nested too deeply"),
        ("&a {b: [*a]}", "it is nested too deeply"),
        ("[" * 101 + "]" * 101, "it is nested too deeply"),
        ("[" * 100_000, "it is nested too deeply"),
        (
            "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60,
            "too deeply",
        ),
        ("2020-01-01", "type date; put it in quotes"),
        ("2020-99-99", r"a malformed value \(month must be"),
        ("!!timestamp x", "a malformed value"),
        ("!!int ''", "a malformed value"),
        ("!!binary aGk=", "type bytes"),
        ("!!set {a}", "type set"),
        ("9" * 5000, "a malformed value"),
        (str(2**63), "more than 64 bits"),
        ('"\\0"', "a NUL character"),
        ('"\\ud800"', "no Unicode"),
        ("!!python/object/apply:os.getpid []", "could not determine a constructor"),
        ("a: [", "while parsing"),
    ],
)
def test_what_is_no_plain_value_is_refused(text, reason):
    with pytest.raises(ExperimentError, match=f"^kd.yaml: (?s:.*){reason}"):
        parse_yaml(text, "kd.yaml", ExperimentError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "a malformed value"),
        ("[" * 100_000, "it is nested too deeply"),
        ("9" * 5000, "a malformed value"),
        ('"\\ud800"', "no Unicode"),
    ],
)
def test_json_is_held_to_the_same(text, reason):
    with pytest.raises(KDError, match=rf"^h\.json: .*{reason}"):
        parse_json(text, "h.json")


def test_what_is_no_file_of_text_is_refused(tmp_path):
    path = tmp_path / "x"
    for make, reason in (
        (lambda: None, "No such file"),
        (lambda: path.symlink_to("x"), "symbolic links"),
        (lambda: path.symlink_to("/dev/zero"), "a directory or a device"),
        (lambda: os.mkfifo(path), "a directory or a device"),
        (lambda: path.write_bytes(b"ab\xff"), r"no UTF-8 text \(byte 2\)"),
        (lambda: path.write_bytes(b"ab\0"), "holds NUL characters"),
    ):
        path.unlink(missing_ok=True)
        make()
        with pytest.raises(KDError, match=f"^head: .*{reason}"):
            read_text(path, "head")


def test_what_would_take_minutes_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "LARGEST", 2_000_000)
    (tmp_path / "x.yaml").write_text("- 1\n" * 750_000)
    with pytest.raises(KDError, match="head: 3 MB are more than such a file can need"):
        read_yaml(tmp_path / "x.yaml", "head")
