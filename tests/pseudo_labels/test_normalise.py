"""The normaliser, by hand."""

import pytest

from espnet_kd.pseudo_labels.normalise import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  HELLO,  World! ", "hello world"),
        ("don't", "don't"),
        ("'tis the dogs' bone", "tis the dogs bone"),
        ("DON\u2019T", "don't"),
        ("well-known", "well known"),
        ("\uff21\uff22\uff23 \u2167", "abc viii"),
        ("stra\u00dfe", "strasse"),
        ("caf\u00e9 cafe\u0301", "caf\u00e9 caf\u00e9"),
        ("\u0928\u092e\u0938\u094d\u0924\u0947", "\u0928\u092e\u0938\u094d\u0924\u0947"),
        ("2 \u20ac", "2"),
        ("' , .", ""),
        ("", ""),
    ],
)
def test_transcripts_made_alike(text, expected):
    assert normalise(text) == expected
