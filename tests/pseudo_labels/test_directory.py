"""The data directory of what a teacher transcribed: tables, reasons, report."""

import json

import pytest

from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table
from espnet_kd.pseudo_labels.directory import audio_of, write_labels
from espnet_kd.pseudo_labels.hypotheses import Decoded, Hypothesis
from espnet_kd.pseudo_labels.select import Limits

FOUND = [
    Decoded("u1", 10, (Hypothesis("A B", 0.9), Hypothesis("A C", 0.8))),
    Decoded("u2", 10, (Hypothesis("X", 0.2),)),
]
SETTINGS = {"exp": "exp/t", "file": None, "search": {}}


@pytest.fixture
def data(tmp_path):
    """A data directory of two utterances."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "wav.scp").write_text("u1 a.wav\nu2 b.wav\n")
    (folder / "utt2spk").write_text("u1 s\nu2 s\n")
    (folder / "utt2dur").write_text("u1 1.5\nu2 2\n")
    return folder


def test_every_kept_hypothesis_has_its_row_in_every_table(data, tmp_path):
    out = tmp_path / "out"
    limits = Limits(min_confidence=0.5)
    report = write_labels(data, out, FOUND, limits, None, SETTINGS)
    assert read_table(out / "text") == {"u1": "A B", "nb2-u1": "A C"}
    assert read_table(out / "wav.scp") == {"u1": "a.wav", "nb2-u1": "a.wav"}
    assert read_table(out / "utt2dur") == {"u1": "1.5", "nb2-u1": "1.5"}
    assert (out / "spk2utt").read_text() == "s nb2-u1 u1\n"
    assert read_table(out / "dropped") == {"u2": "confidence 0.200 < 0.5"}
    assert report == json.loads((out / "report.json").read_text())
    assert report == {
        "hypotheses": 3,
        "kept": 2,
        "dropped": {"confidence": 1},
        "limits": {"min_confidence": 0.5, "min_ratio": 0.0},
        "teacher": SETTINGS,
    }


def test_with_references_the_report_has_error_rates(data, tmp_path):
    (tmp_path / "ref").write_text("u1 a b\nu2 y\n")
    report = write_labels(
        data, tmp_path / "out", FOUND, Limits(max_wer=10.0), tmp_path / "ref", SETTINGS
    )
    # One of three words; of what is kept none.
    assert (report["wer"], report["wer_kept"]) == (33.333, 0.0)
    assert report["limits"]["max_wer"] == 10.0


def test_when_nothing_is_left_no_text_of_before_is_either(data, tmp_path):
    out = tmp_path / "out"
    write_labels(data, out, FOUND, Limits(), None, SETTINGS)
    with pytest.raises(KDError, match=r"nothing is left of .* \(3 confidence\); loosen"):
        write_labels(data, out, FOUND, Limits(min_confidence=1.0), None, SETTINGS)
    assert not (out / "text").exists()
    assert len(read_table(out / "dropped")) == 3


def test_the_table_of_audio_a_model_takes(data):
    assert audio_of(data, takes_features=False) == (data / "wav.scp", "sound")
    with pytest.raises(KDError, match=r"has no feats\.scp, and this teacher takes feat"):
        audio_of(data, takes_features=True)
    (data / "feats.scp").write_text("u1 x\n")
    (data / "segments").write_text("u1 x 0 1\n")
    assert audio_of(data, takes_features=True) == (data / "feats.scp", "kaldi_ark")
    with pytest.raises(KDError, match="has segments of longer recordings; let the recipe"):
        audio_of(data, takes_features=False)
    (data / "wav.scp").unlink()
    with pytest.raises(KDError, match=r"has no wav\.scp, and this teacher takes audio"):
        audio_of(data, takes_features=False)
