"""Whether two systems differ by more than the choice of the test utterances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espnet_kd.errors import KDError


@dataclass(frozen=True)
class Interval:
    """Difference of two systems' word error rates, in percent absolute.

    Attributes:
        difference: Rate of the first minus the second's; negative if the first errs less.
        low: Lower end of the interval.
        high: Upper end of the interval.
        better: Share of the drawn sets on which the first errs less, 0 to 1.
    """

    difference: float
    low: float
    high: float
    better: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


def paired_interval(
    first: Sequence[int],
    second: Sequence[int],
    words: Sequence[int],
    *,
    draws: int = 10000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    r"""Find the bootstrap interval of the difference of two word error rates.

    .. math:: 100 \Big( \sum_u e^1_u - \sum_u e^2_u \Big) / \sum_u n_u

    As many utterances as there are, drawn with replacement, the same for both systems;
    percentiles of the differences found. Utterances are taken as independent, which they
    are not within a speaker: the interval is then too narrow.

    Args:
        first: Word errors of the first system in each utterance.
        second: Word errors of the second system in each utterance.
        words: Number of reference words in each utterance.
        draws: Number of sets drawn.
        level: Share of the drawn sets inside the interval.
        seed: Seed of the drawing.

    Raises:
        KDError: If the three are not of one length, or there is no word.

    Source: Bisani, Ney. Bootstrap Estimates for Confidence Intervals in ASR Performance
    Evaluation. 2004, section 4.
    """
    if not len(first) == len(second) == len(words) or not sum(words):
        raise KDError("both systems are compared on the same utterances, with words")
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    counts = np.asarray(words, np.float64)
    random, size = np.random.default_rng(seed), len(counts)
    found = np.empty(draws)
    for draw in range(draws):
        rows = random.integers(0, size, size)
        found[draw] = 100 * apart[rows].sum() / max(counts[rows].sum(), 1)
    edge = 50 * (1 - level)
    low, high = np.percentile(found, [edge, 100 - edge])
    difference = 100 * apart.sum() / counts.sum()
    return Interval(difference, float(low), float(high), float((found < 0).mean()))
