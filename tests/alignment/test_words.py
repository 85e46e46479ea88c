"""The count of word errors, by hand."""

from espnet_kd.alignment.words import word_error_rate, word_errors


def test_errors_by_hand():
    assert word_errors("a b c", "a x c d") == 2
    # a: one of two words wrong; b: one of two missing. 2 errors in 4 words.
    assert word_error_rate([("x y", "x q"), ("z w", "z")]) == 50.0
    assert word_error_rate([("", "a")]) == 100.0
    assert word_error_rate([]) == 0.0
