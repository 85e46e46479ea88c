"""The index of a cache leads into its own archives, and nowhere else."""

import pytest

from espnet_kd.cache.header import INDEX
from espnet_kd.cache.places import read_index
from espnet_kd.errors import KDError


def test_an_index_is_read(cache):
    found = read_index(cache / INDEX)
    assert list(found) == ["a", "b"]
    assert all(place.startswith("targets.1.ark:") for place in found.values())


@pytest.mark.parametrize(
    "place",
    [
        *("touch here |", "| touch here", "../targets.1.ark:5", "/etc/passwd:0"),
        *("targets.1.ark", "targets.1.ark:-1", "targets.1.ark:5[0:1]", "other.ark:5"),
    ],
)
def test_a_place_elsewhere_is_refused(cache, place):
    (cache / INDEX).write_text(f"a {place}\n")
    with pytest.raises(KDError, match=r"targets\.scp: 'a' is at '.*', which is no place"):
        read_index(cache / INDEX)


def test_an_archive_that_is_no_file_is_refused(cache):
    (cache / "targets.1.ark").unlink()
    (cache / "targets.1.ark").symlink_to("/dev/zero")
    with pytest.raises(KDError, match=r"targets\.1\.ark is no file"):
        read_index(cache / INDEX)
