"""Arrays on disk: whole, and never unpickled."""

import zipfile

import numpy as np
import pytest
from pickles import Trap

from espnet_kd.errors import KDError
from espnet_kd.host import arrays
from espnet_kd.host.arrays import read_arrays, write_arrays

REMEDY = "write it again by hand"


def test_what_was_written_is_read(tmp_path):
    path = tmp_path / "deep" / "a.npz"
    write_arrays(path, {"x": np.arange(6).reshape(2, 3), "words": np.array(["a", "öß"])})
    found = read_arrays(path, ("x", "words"), REMEDY)
    assert found["x"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["words"].tolist() == ["a", "öß"]


def test_a_pickle_is_not_run(tmp_path):
    path, mark = tmp_path / "a.npz", tmp_path / "mark"
    np.savez(path, x=np.array([Trap(mark)], object))
    with pytest.raises(KDError, match=r"a\.npz cannot be read \(ValueError.*by hand"):
        read_arrays(path, ("x",), REMEDY)
    assert not mark.exists()


def test_what_cannot_be_read_is_said(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    with pytest.raises(KDError, match=f"is missing, or no file; {REMEDY}"):
        read_arrays(path, ("x",), REMEDY)
    path.write_bytes(b"no zip")
    with pytest.raises(KDError, match=r"cannot be read \(BadZipFile"):
        read_arrays(path, ("x",), REMEDY)
    write_arrays(path, {"x": np.zeros(3)})
    with pytest.raises(KDError, match=r"no item named 'y\.npy'"):
        read_arrays(path, ("x", "y"), REMEDY)
    monkeypatch.setattr(arrays, "LARGEST", 10)
    with pytest.raises(KDError, match=r"x\.npy has 0\.0 GB"):
        read_arrays(path, ("x",), REMEDY)


def test_a_file_that_says_less_than_it_promises_is_refused(tmp_path):
    """A header of a huge shape before three numbers."""
    path = tmp_path / "a.npz"
    write_arrays(path, {"x": np.zeros(3)})
    with zipfile.ZipFile(path) as archive:
        data = archive.read("x.npy").replace(b"(3,), }", b"(3000000000000,), }")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", data)
    with pytest.raises(KDError, match=f"cannot be read .*{REMEDY}"):
        read_arrays(path, ("x",), REMEDY)
