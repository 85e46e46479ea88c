"""Data that a command line names: nothing of them is run, and all of it ends."""

import os
import pickle

import kaldiio
import numpy as np
import pytest

from espnet_kd.errors import KDError
from espnet_kd.host.data_source import check_source


@pytest.fixture
def source(tmp_path):
    """Features of two utterances."""
    with kaldiio.WriteHelper(f"ark,scp:{tmp_path}/f.ark,{tmp_path}/f.scp") as writer:
        for utt in ("u1", "u2"):
            writer(utt, np.ones((3, 2), np.float32))
    return tmp_path


def test_healthy_data_are_taken_apart(source):
    text = f"{source}/f.scp,speech,kaldi_ark"
    assert check_source(text, None) == (f"{source}/f.scp", "speech", "kaldi_ark")
    with pytest.raises(KDError, match=r"'f\.scp,speech' are not PATH,NAME,TYPE"):
        check_source("f.scp,speech", None)


@pytest.mark.parametrize("value", ["touch here |", "| touch here"])
def test_a_command_in_a_table_is_not_run(source, value):
    (source / "f.scp").write_text(f"u1 {source}/f.ark:3\nu2 {value}\n")
    with pytest.raises(KDError, match=r"f\.scp: 'u2' is a command .* not run here"):
        check_source(f"{source}/f.scp,speech,kaldi_ark", None)
    check_source(f"{source}/f.scp,speech,kaldi_ark", ["u1"])


def test_a_pickle_in_an_archive_is_refused(source):
    (source / "trap.ark").write_bytes(b"u1 PKL" + pickle.dumps(1))
    (source / "f.scp").write_text(f"u1 {source}/trap.ark:3[0:1]\n")
    with pytest.raises(KDError, match=r"f\.scp: 'u1' is a pickle in .*trap\.ark"):
        check_source(f"{source}/f.scp,speech,kaldi_ark", None)


@pytest.mark.parametrize("kind", ["sound", "kaldi_ark"])
def test_what_never_ends_is_not_opened(source, kind):
    os.mkfifo(source / "pipe")
    (source / "wav.scp").write_text(f"u1 {source}/pipe\n")
    with pytest.raises(KDError, match=r"'u1' is .*pipe, which is no file"):
        check_source(f"{source}/wav.scp,speech,{kind}", None)


def test_a_text_of_hours_is_refused(source):
    (source / "text").write_text(f"u1 {'x ' * 20_000}\n")
    with pytest.raises(KDError, match="'u1' has a text of 39,999 characters; cut"):
        check_source(f"{source}/text,text,text", None)
