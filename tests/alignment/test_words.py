"""The count of word errors and what is right, by hand."""

import random
from itertools import pairwise

import editdistance
import pytest

from espnet_kd.alignment.words import matches, word_error_rate, word_errors


def test_errors_by_hand():
    assert word_errors("a b c", "a x c d") == 2
    # a: one of two words wrong; b: one of two missing. 2 errors in 4 words.
    assert word_error_rate([("x y", "x q"), ("z w", "z")]) == 50.0
    assert word_error_rate([("", "a")]) == 100.0
    assert word_error_rate([]) == 0.0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "pairs"),
    [
        ("abc", "abc", [(0, 0), (1, 1), (2, 2)]),
        ("abc", "axc", [(0, 0), (2, 2)]),
        ("abc", "bc", [(1, 0), (2, 1)]),
        ("abc", "xabc", [(0, 1), (1, 2), (2, 3)]),
        ("ab", "ba", []),  # two changes, rather than a loss and an insertion
        ("aab", "ab", [(1, 0), (2, 1)]),  # the later of the two
        ("", "ab", []),
        ("ab", "", []),
    ],
)
def test_matches_by_hand(reference, hypothesis, pairs):
    found = matches(reference, hypothesis)
    assert found == pairs
    assert all(reference[i] == hypothesis[j] for i, j in found)


def test_matches_are_those_of_a_shortest_edit():
    """What is not matched is an error: a change, a loss or an insertion."""
    rng = random.Random(0)
    for _ in range(200):
        a, b = ("".join(rng.choices("abc", k=rng.randrange(8))) for _ in range(2))
        pairs = [(-1, -1), *matches(a, b), (len(a), len(b))]
        gaps = [(i - p - 1, j - q - 1) for (p, q), (i, j) in pairwise(pairs)]
        errors = sum(max(gap) for gap in gaps)
        assert errors == editdistance.eval(a, b)
