"""The interval against its closed form, and cases that are certain."""

import numpy as np
import pytest

from espnet_kd.errors import KDError
from espnet_kd.report.bootstrap import paired_interval


def test_the_interval_is_the_normal_one_for_many_utterances():
    """Utterances of ten words: the mean's standard error, by the textbook."""
    random = np.random.default_rng(1)
    first, second = random.binomial(10, 0.3, 2000), random.binomial(10, 0.33, 2000)
    apart = (first - second) * 10.0  # percent of an utterance
    error = apart.std() / 2000**0.5
    found = paired_interval(first, second, [10] * 2000)
    assert found.difference == pytest.approx(apart.mean())
    assert found.low == pytest.approx(apart.mean() - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(apart.mean() + 1.96 * error, abs=0.1 * error)
    assert found.is_clear
    assert found.better > 0.99


def test_the_same_errors_everywhere_leave_no_doubt():
    found = paired_interval([2, 2, 2], [1, 1, 1], [4, 4, 4], draws=100)
    assert (found.difference, found.low, found.high, found.better) == (25, 25, 25, 0)
    assert paired_interval([1, 0], [1, 0], [3, 3], draws=50).is_clear is False


def test_utterances_are_drawn_for_both_alike():
    """Each utterance is bad in both systems or in none: the difference stays one error."""
    first, second = [9, 1, 9, 1], [8, 0, 8, 0]
    found = paired_interval(first, second, [10] * 4, draws=200)
    assert (found.low, found.high) == (10.0, 10.0)


@pytest.mark.parametrize("words", [[1], [0, 0]])
def test_nothing_to_compare_on_is_refused(words):
    with pytest.raises(KDError, match="on the same utterances, with words"):
        paired_interval([0, 0], [0, 0], words)
