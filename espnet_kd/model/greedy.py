"""What CTC posteriors say greedily: the best token of each frame, collapsed."""

from itertools import groupby

from torch import Tensor


def greedy_ctc(logits: Tensor, lengths: Tensor, blank_id: int = 0) -> list[list[int]]:
    """Decode each utterance of a batch.

    Args:
        logits: (B, T, V).
        lengths: Real frames, (B,).
        blank_id: CTC's blank.

    Returns:
        The labels of each utterance.
    """
    paths: list[list[int]] = logits.argmax(-1).tolist()
    pairs = zip(paths, lengths.tolist(), strict=True)
    return [collapse(path[:length], blank_id) for path, length in pairs]


def collapse(path: list[int], blank_id: int) -> list[int]:
    """Map a CTC path to its labels: join repeats, then drop blanks."""
    return [label for label, _ in groupby(path) if label != blank_id]
