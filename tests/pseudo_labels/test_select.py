"""What is kept and what is dropped, by hand."""

from math import inf

import pytest

from espnet_kd.errors import ArgumentsError
from espnet_kd.pseudo_labels.hypotheses import Decoded, Hypothesis
from espnet_kd.pseudo_labels.select import Limits, select


def decoded(utt, *texts, length=10, confidence=0.9):
    return Decoded(utt, length, tuple(Hypothesis(t, confidence) for t in texts))


def test_without_limits_all_but_the_empty_is_kept():
    found = select([decoded("a", "X Y"), decoded("b", " ,"), decoded("c")], Limits())
    assert found.kept == {"a": "X Y"}
    assert found.dropped == {"b": "empty", "c": "too short for the teacher"}
    assert found.reasons == {"empty": 1, "too short for the teacher": 1}


def test_the_error_rate_is_of_normalised_words():
    references = {"a": "One, two!", "b": "one two"}
    everything = [decoded("a", "ONE TWO"), decoded("b", "ONE TREE")]
    found = select(everything, Limits(max_wer=49.9), references)
    assert found.kept == {"a": "ONE TWO"}
    assert found.dropped == {"b": "wer 50.0 > 49.9"}
    assert found.pairs == [("one two", "one two"), ("one two", "one tree")]
    assert found.kept_pairs == [("one two", "one two")]
    assert len(select(everything, Limits(max_wer=50.0), references).kept) == 2


def test_an_utterance_without_reference_has_no_error_rate():
    found = select([decoded("a", "X")], Limits(max_wer=0.0), {"b": "Y"})
    assert found.kept == {"a": "X"}
    assert found.pairs == []


def test_confidence():
    everything = [decoded("a", "X", confidence=0.5), decoded("b", "X", confidence=0.49)]
    found = select(everything, Limits(min_confidence=0.5))
    assert found.kept == {"a": "X"}
    assert found.dropped == {"b": "confidence 0.490 < 0.5"}


def test_length_beside_the_reference():
    """Characters without blanks: 4 beside 8, and 12 beside 8."""
    references = {u: "abcd efgh" for u in "ab"}
    everything = [decoded("a", "AB CD"), decoded("b", "ABCDEF GHIJKL")]
    limits = Limits(min_ratio=0.51, max_ratio=1.49)
    found = select(everything, limits, references)
    assert found.dropped == {
        "a": "length ratio 0.50 < 0.51",
        "b": "length ratio 1.50 > 1.49",
    }


def test_length_beside_what_the_audio_makes_expect():
    """Median rate 0.4 characters a frame, so ten frames make expect 4."""
    everything = [decoded(u, "ABCD") for u in "abc"]
    everything += [
        decoded("d", "AB"),
        decoded("e", "ABCDEFGHI"),
        decoded("f", "ABCDEFGH", length=20),
    ]
    found = select(everything, Limits(min_ratio=0.6, max_ratio=2.0))
    assert set(found.kept) == set("abcf")
    assert found.dropped == {
        "d": "length ratio 0.50 < 0.6",
        "e": "length ratio 2.25 > 2",
    }


def test_every_hypothesis_is_judged_and_none_counts_twice():
    everything = [decoded("a", "one two", "ONE, TWO", "one", "three")]
    found = select(everything, Limits(max_wer=50.0), {"a": "one two"})
    assert found.kept == {"a": "one two", "nb3-a": "one"}
    assert found.dropped == {"nb4-a": "wer 100.0 > 50"}
    assert len(found.pairs) == 1, "the error rate is of the best hypothesis"


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"max_wer": -1.0}, "max_wer"),
        ({"min_confidence": 1.5}, "min_confidence: is a probability"),
        ({"min_ratio": 2.0, "max_ratio": 1.0}, "max_ratio: must be above min_ratio"),
        ({"max_wer": -1.0, "min_ratio": -inf}, "min_ratio"),
    ],
)
def test_limits_that_mean_nothing_are_refused(limits, text):
    with pytest.raises(ArgumentsError, match=text):
        Limits(**limits)
