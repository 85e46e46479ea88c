"""Data through ESPnet's iterator: in order, chosen by key, cut to the first."""

import kaldiio
import pytest
import torch
from conftest import asr_options, write_features

from espnet_kd.errors import KDError
from espnet_kd.host.compat import task_class
from espnet_kd.host.data import first_speech, stream


@pytest.fixture
def data(tmp_path):
    """Features of three utterances and their transcripts."""
    speech = write_features(tmp_path, {"c": 30, "a": 40, "b": 50})
    (tmp_path / "text").write_text("c ab\na h\nb cde\n")
    return [speech, f"{tmp_path}/text,text,text"]


def test_batches_come_in_the_files_order_with_tokens(data):
    """Of the letters a to h the first is token 2."""
    found = list(stream(task_class("asr"), asr_options(), data, batch_size=2))
    assert [utts for utts, _ in found] == [["c", "a"], ["b"]]
    batch = found[0][1]
    assert batch["speech_lengths"].tolist() == [30, 40]
    assert batch["text_lengths"].tolist() == [2, 1]
    assert batch["text"][0].tolist() == [2, 3]
    assert batch["text"][1, 0].item() == 9


def test_only_wanted_utterances_are_read(data):
    options = {"batch_size": 1, "keys": ["a", "b"]}
    found = stream(task_class("asr"), asr_options(), data, **options)
    assert [utts for utts, _ in found] == [["a"], ["b"]]


def test_the_first_utterances_are_what_is_on_disk(data, tmp_path):
    found = first_speech(task_class("asr"), asr_options(), data[0], 2)
    stored = kaldiio.load_scp(f"{tmp_path}/f.scp")
    assert len(found) == 2
    for speech, utt in zip(found, "ca", strict=True):
        assert torch.equal(speech[0], torch.tensor(stored[utt]))
    assert len(first_speech(task_class("asr"), asr_options(), data[0], 99)) == 3


def test_empty_data_are_refused(tmp_path):
    (tmp_path / "f.scp").write_text("")
    path = f"{tmp_path}/f.scp,speech,kaldi_ark"
    with pytest.raises(KDError, match=r"f\.scp holds no utterance"):
        first_speech(task_class("asr"), asr_options(), path, 1)


def test_an_utterance_without_data_is_named(data):
    options = {"batch_size": 1, "keys": ["a", "z"]}
    batches = stream(task_class("asr"), asr_options(), data, **options)
    with pytest.raises(KDError, match=r"'z' is not in .*f\.scp and .*text, or stands"):
        list(batches)
