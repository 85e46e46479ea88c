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


def matches(
    reference: Sequence[object], hypothesis: Sequence[object]
) -> list[tuple[int, int]]:
    """Pairs of places at which two sequences have the same, on a shortest edit.

    Of several shortest edits it is the one that changes rather than inserts and drops, and
    whose matches are latest.

    Returns:
        (place in the reference, place in the hypothesis), both rising.
    """
    rows = [list(range(len(hypothesis) + 1))]  # errors between two beginnings
    for i, wanted in enumerate(reference):
        row = [i + 1]
        for j, found in enumerate(hypothesis):
            change = rows[i][j] + (wanted != found)
            row.append(min(change, rows[i][j + 1] + 1, row[j] + 1))
        rows.append(row)
    pairs = []
    i, j = len(reference), len(hypothesis)
    while i and j:
        same = reference[i - 1] == hypothesis[j - 1]
        if rows[i][j] == rows[i - 1][j - 1] + (not same):
            i, j = i - 1, j - 1
            if same:
                pairs.append((i, j))
        elif rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return pairs[::-1]
