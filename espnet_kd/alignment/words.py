"""Two transcripts laid side by side, and the errors between them."""

from collections.abc import Sequence

import editdistance


def word_errors(reference: str, hypothesis: str) -> int:
    """Least number of substituted, deleted and inserted words."""
    return int(editdistance.eval(reference.split(), hypothesis.split()))


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Errors a hundred reference words, of (reference, hypothesis) pairs, in percent.

    Every error counts one, which may differ a little from sclite's weights. Without a
    reference word every hypothesis word is an error of 100 %.
    """
    errors = sum(word_errors(*pair) for pair in pairs)
    words = sum(len(reference.split()) for reference, _ in pairs)
    return 100.0 * errors / max(words, 1)
