"""When words were written and how late, counted by hand."""

import pytest

from espnet_kd.streaming.emission import (
    Delays,
    Spoken,
    Spread,
    revised_words,
    written_times,
)


def test_a_token_is_written_when_it_stays():
    # 7 comes at 200 ms; 8 comes at 400 ms, is 9 at 600 ms, and 8 again from 800 ms on.
    partial = [[], [7], [7, 8], [7, 9], [7, 8, 5]]
    assert written_times([0, 200, 400, 600, 800], partial) == [200, 800, 800]


def test_what_is_taken_back_is_not_written():
    assert written_times([1, 2, 3], [[4, 5], [], [4, 5]]) == [3, 3]
    assert written_times([1, 2], [[4, 5], [4]]) == [1]
    assert written_times([1, 2], [[4], []]) == []


def test_tokens_behind_a_changed_one_wait_for_it():
    # 3 is there from the start, but before it 1 becomes 2.
    assert written_times([10, 20], [[1, 3], [2, 3]]) == [20, 20]


def test_delays_by_hand():
    spoken = Spoken([1, 2, 3], begun_ms=[100, 300, 500], end_ms=540)
    found = Delays.of([1, 2, 3], [400, 400, 900], spoken)
    assert found == Delays(tokens=[300, 100, 400], first=300, last=360)


def test_delays_are_those_of_right_tokens_alone():
    # 9 stands for 2, and 3 is missing: only 1 is right. First and last are counted anyhow.
    spoken = Spoken([1, 2, 3], begun_ms=[100, 300, 500], end_ms=540)
    assert Delays.of([1, 9], [400, 700], spoken) == Delays([300], 300, 160)


def test_a_token_may_be_written_early():
    spoken = Spoken([1], begun_ms=[500], end_ms=520)
    assert Delays.of([1], [400], spoken) == Delays([-100], -100, -120)


def test_where_nothing_was_written_or_said_nothing_is_late():
    spoken = Spoken([1], begun_ms=[500], end_ms=520)
    assert Delays.of([], [], spoken) == Delays.of([1], [5], Spoken([], [], 0)) == Delays()


def test_spread_by_hand():
    # Nine of ten steps between 11 values lie at the tenth of them.
    assert Spread.of([float(n) for n in range(11)]) == Spread(5.0, 5.0, 9.0, 11)
    assert Spread.of([1.0, 2.0, 6.0]) == Spread(3.0, 2.0, pytest.approx(5.2), 3)
    assert Spread.of([4.0]) == Spread(4.0, 4.0, 4.0, 1)
    assert Spread.of([]) is None


@pytest.mark.parametrize(
    ("partial", "count"),
    [
        (["", "HEL", "HELLO", "HELLO WORLD"], 0),  # a word that grows
        (["A B", "A C"], 1),
        (["A B C", "A X C"], 2),  # and the one behind it
        (["A B", "A"], 1),  # taken back
        (["A B", ""], 2),
        (["AN", "A"], 1),  # shrunk
        (["A B", "A C", "A B"], 2),
        (["HEL", "HELLO", "HELP"], 1),
        (["A"], 0),
    ],
)
def test_revised_words_by_hand(partial, count):
    assert revised_words(partial) == count
