"""Hypotheses on disk: what was decoded survives a kill; other work is refused."""

import pytest

from espnet_kd.errors import KDError
from espnet_kd.pseudo_labels.hypotheses import Decoded, Hypothesis, HypothesisLog

MADE_FROM = {"teacher": "t", "search": {"beam_size": 5}}
ONE = Decoded("utt-1", 100, (Hypothesis("GR\u00dcN UND", 0.5), Hypothesis("", 0.1)))
TWO = Decoded("utt-2", 7, ())


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "deep" / "heard.1of1.jsonl"
    log = HypothesisLog(path, MADE_FROM)
    log.add(ONE)
    log.add(TWO)
    return path


def test_what_was_decoded_is_read_again(log):
    assert HypothesisLog(log, MADE_FROM).found == {"utt-1": ONE, "utt-2": TWO}


def test_an_utterance_whose_line_is_cut_is_decoded_again(log):
    """Bytes of umlauts included; what follows is appended as if nothing had been."""
    whole = log.read_bytes()
    first = whole.index(b"\n") + 1
    second = whole.index(b"\n", first) + 1
    for size in range(len(whole)):
        log.write_bytes(whole[:size])
        found = HypothesisLog(log, MADE_FROM).found
        assert list(found) == ["utt-1"] * (size >= second) + ["utt-2"] * (
            size == len(whole)
        )
        again = HypothesisLog(log, MADE_FROM)
        for decoded in (ONE, TWO):
            if decoded.utt not in again.found:
                again.add(decoded)
        assert log.read_bytes() == whole


def test_another_teacher_or_search_is_refused(log):
    with pytest.raises(KDError, match=r"begun with another teacher; remove it"):
        HypothesisLog(log, MADE_FROM | {"teacher": "u"})
    with pytest.raises(KDError, match=r"another search and teacher"):
        HypothesisLog(log, {"teacher": "u", "search": {}})


def test_damage_is_named(log):
    log.write_bytes(log.read_bytes().replace(b'"utt"', b'"utt'))
    with pytest.raises(KDError, match=r"1of1.jsonl is damaged; remove it"):
        HypothesisLog(log, MADE_FROM)


def test_a_full_disk_is_named(log, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    filled = HypothesisLog(log, MADE_FROM)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KDError, match=r"No space left on device. Free some space.*is kept"):
        filled.add(Decoded("utt-3", 1, ()))
