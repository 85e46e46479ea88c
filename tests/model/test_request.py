"""What is asked of a model's pass."""

import pytest

from espnet_kd.model.request import Request


def test_what_is_not_wanted_is_as_if_it_had_not_been_mentioned():
    assert Request(ctc=True, decoder=False, nbest=0, taps=()) == Request(ctc=True)
    assert hash(Request(ctc=True, nbest=0)) == hash(Request(ctc=True))
    assert not Request(ctc=False)
    assert list(Request(taps=("encoder",), ctc=True)) == ["ctc", "taps"]


def test_how_much_of_a_part_is_wanted():
    request = Request(nbest=4, taps=("a", "b"))
    assert request.count("nbest") == 4
    assert request.count("ctc") == 0
    assert request.listed("taps") == ("a", "b")
    assert request.listed("interctc") == ()


def test_a_union_is_any_flag_the_most_hypotheses_and_each_name_once():
    one = Request(ctc=True, nbest=2, taps=("a", "b"))
    other = Request(decoder=True, nbest=5, taps=("b", "c"))
    expected = Request(ctc=True, decoder=True, nbest=5, taps=("a", "b", "c"))
    assert Request.union([one, other]) == expected
    assert Request.union([]) == Request()


def test_one_part_cannot_be_counted_and_listed():
    with pytest.raises(TypeError, match=r"both as \('a',\) and as True"):
        Request.union([Request(taps=("a",)), Request(taps=True)])


def test_a_changed_request_leaves_the_first_as_it_was():
    one = Request(ctc=True)
    assert one.changed(ctc=False, nbest=1) == Request(nbest=1)
    assert repr(one) == "Request(ctc=True)"
