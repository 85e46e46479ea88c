"""Together, the shares are everything, once."""

import pytest
from conftest import pytest_collection_modifyitems
from shares import share_of


def test_every_item_is_in_one_share():
    items = list("abcdefg")
    assert share_of(items, "1/1") == items
    assert share_of(items, "1/2") == ["a", "c", "e", "g"]
    assert share_of(items, "2/2") == ["b", "d", "f"]
    assert share_of([], "2/2") == []


class Item:
    def __init__(self, name: str, *, dealt: bool) -> None:
        self.name, self.dealt = name, dealt

    def get_closest_marker(self, name: str) -> bool | None:
        return (name == "dealt" and self.dealt) or None


class Config:
    """What a collection tells of what it leaves out."""

    def __init__(self) -> None:
        self.hook, self.left = self, []

    def pytest_deselected(self, items: list[Item]) -> None:
        self.left += [item.name for item in items]


@pytest.mark.parametrize(
    ("share", "kept"), [("1/2", "abde"), ("2/2", "acd"), ("1/1", "abcde")]
)
def test_only_marked_tests_are_dealt_out(share, kept, monkeypatch):
    monkeypatch.setenv("KD_SHARE", share)
    items = [Item(name, dealt=name in "bce") for name in "abcde"]
    config = Config()
    pytest_collection_modifyitems(config, items)
    assert "".join(item.name for item in items) == kept
    assert set(config.left) == set("abcde") - set(kept)
