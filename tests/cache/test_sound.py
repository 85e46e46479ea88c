"""Entries that contradict themselves or their header are told apart from sound ones."""

from dataclasses import replace

import numpy as np
import pytest
from targets import HEADER_OF, targets

from espnet_kd.cache.entries import entries_of
from espnet_kd.cache.header import Coded
from espnet_kd.cache.sound import faults_of


@pytest.fixture
def entry():
    """The first of the two utterances: five frames, two labels."""
    return entries_of(targets(), ["a", "b"], HEADER_OF)[0]


def test_what_was_written_is_sound():
    for entry in entries_of(targets(), ["a", "b"], HEADER_OF):
        assert list(faults_of(entry, HEADER_OF)) == []


@pytest.mark.parametrize(
    ("part", "name", "value", "fault"),
    [
        ("ctc", "tokens", lambda v: v * 0 + 6, "ctc tokens that are none of"),
        ("ctc", "runs", lambda v: v + 1, "posteriors of 8 places instead of 5"),
        ("decoder", "runs", lambda v: v * 2, "posteriors of 6 places instead of 3"),
        ("ctc", "counts", lambda v: v[:-1], "ctc rows of several numbers"),
        ("ctc", "log_probs", lambda v: v[1:], "ctc tokens of several numbers"),
        ("ctc", "log_probs", lambda v: v * np.nan, "ctc posteriors that are no numbers"),
        ("ctc", "tails", lambda v: v[None], "ctc of another shape or type"),
        ("ctc", "runs", lambda v: v.astype(np.float32), "ctc of another shape or type"),
        ("ctc", "lost", lambda v: v[:0], "ctc losses of other temperatures"),
    ],
)
def test_posteriors_that_make_no_sense_are_told(entry, part, name, value, fault):
    wrong = replace(entry.rows[part], **{name: value(getattr(entry.rows[part], name))})
    entry.rows[part] = wrong
    assert any(fault in found for found in faults_of(entry, HEADER_OF))


@pytest.mark.parametrize(
    ("codes", "fault"),
    [
        (np.zeros((5, 3), np.uint8), "codes of encoder of another shape or type"),
        (np.zeros((5, 2), np.int64), "codes of encoder of another shape or type"),
        (np.full((5, 2), 4, np.uint8), "codes of encoder beyond the codebooks' 4 cent"),
        (None, "other parts than the header lists"),
    ],
)
def test_codes_that_make_no_sense_are_told(entry, codes, fault):
    coded = Coded("encoder", 2, 4, "d", 0.3)
    header = replace(HEADER_OF, codebooks=(coded,))
    entry.codes = {} if codes is None else {"encoder": codes}
    assert any(fault in found for found in faults_of(entry, header))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"frames": 1 << 21}, "2097152 frames"),
        ({"labels": None}, "posteriors without labels"),
        ({"labels": np.array([1, 9], np.uint32)}, "labels tokens that are none of"),
        ({"nbest": None}, "other parts than the header lists"),
        ({"nbest": [([7], -1.0)]}, "nbest tokens that are none of"),
        ({"rows": {}}, "other parts than the header lists"),
        ({"hidden": {"encoder": np.ones((5, 4), np.float16)}}, "encoder of another shape"),
        ({"hidden": {}}, "other parts than the header lists"),
    ],
)
def test_parts_that_make_no_sense_are_told(entry, change, fault):
    assert any(fault in f for f in faults_of(replace(entry, **change), HEADER_OF))
