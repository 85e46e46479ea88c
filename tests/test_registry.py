"""The registry: open, strict, helpful."""

import sys

import pytest

from espnet_kd.errors import KDError
from espnet_kd.losses import LOSSES
from espnet_kd.registry import Registry, import_plugins


class Something:
    """A component."""


def test_register_and_get():
    registry = Registry("thing")
    assert registry.register("some_thing")(Something) is Something
    assert registry.get("some_thing") is Something
    assert registry.names() == ("some_thing",)
    assert "some_thing" in registry


@pytest.mark.parametrize("name", ["Upper", "9lives", "with-dash", "", "ümlaut"])
def test_ill_formed_names_are_refused(name):
    with pytest.raises(KDError, match="lower case letters, digits"):
        Registry("thing").register(name)


def test_a_taken_name_is_refused_naming_both():
    registry = Registry("thing")
    registry.register("one")(Something)
    with pytest.raises(KDError, match=r"'one' of .*KDError is already taken by .*Somethi"):
        registry.register("one")(KDError)


def test_unknown_names_suggest_the_closest():
    with pytest.raises(KDError, match=r"did you mean 'token_kl'.*ctc_frame_kl"):
        LOSSES.get("tokn_kl")


def test_plugins_register_and_failures_are_loud(tmp_path, monkeypatch):
    (tmp_path / "good_plugin_kd.py").write_text("LOADED = True\n")
    (tmp_path / "bad_plugin_kd.py").write_text("raise ValueError('broken inside')\n")
    monkeypatch.syspath_prepend(tmp_path)
    problems = import_plugins(["good_plugin_kd", "bad_plugin_kd", "no_such_plugin_kd"])
    assert "good_plugin_kd" in sys.modules
    assert [p.path for p in problems] == ["plugins[1]", "plugins[2]"]
    assert "ValueError: broken inside" in problems[0].text
    assert "no_such_plugin_kd" in problems[1].text
