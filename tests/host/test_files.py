"""Files are written whole or not at all; digests are of contents."""

import hashlib
import multiprocessing
import os

import pytest

from espnet_kd.errors import KDError
from espnet_kd.host.files import hash_files, whole_file


def fail_in_the_middle(path):
    with whole_file(path) as file:
        file.write("half")
        raise ValueError("interrupted")


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as file:
        file.write("first")
    with pytest.raises(ValueError, match="interrupted"):
        fail_in_the_middle(path)
    assert path.read_text() == "first"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_two_processes_write_one_file(tmp_path):
    """The last one's text is there, whole, and nothing beside it."""
    path = tmp_path / "list"
    with whole_file(path) as file:
        file.write("first")
        other = multiprocessing.get_context("fork").Process(target=write, args=(path,))
        other.start()
        other.join()
        assert other.exitcode == 0
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert os.listdir(tmp_path) == ["list"]


def test_what_a_killed_writer_left_is_removed_later(tmp_path):
    old, new = tmp_path / "list.7-7.partial", tmp_path / "list.8-8.partial"
    for left in (old, new):
        left.touch()
    os.utime(old, (0, 0))
    write(tmp_path / "list")
    assert sorted(os.listdir(tmp_path)) == ["list", "list.8-8.partial"]


def write(path):
    with whole_file(path) as file:
        file.write("second")


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = r"No space left on device. Free some space"
    with pytest.raises(KDError, match=message), whole_file(tmp_path / "a") as file:
        file.write("x")
    assert not list(tmp_path.iterdir())


def test_a_digest_is_of_contents_in_order_and_apart(tmp_path):
    for name, content in (("a", b"12"), ("b", b"3"), ("c", b"1"), ("d", b"23")):
        (tmp_path / name).write_bytes(content)
    one, two, three, four = (tmp_path / name for name in "abcd")
    assert hash_files([one, two]) == hashlib.sha256(b"12\0" + b"3\0").hexdigest()
    assert hash_files([one, two]) != hash_files([two, one])
    assert hash_files([one, two]) != hash_files([three, four]), "12 3 and 1 23 differ"
